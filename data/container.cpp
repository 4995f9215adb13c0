// Lengths at the outermost level of MP4, AVI and Matroska.
#include "data/container.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>

namespace mcn {
namespace {

constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max() / 4;

/// What is wanted of a video's bytes here.
class Bytes {
 public:
  Bytes(const VideoSource& source, const Deadline& deadline) : file_(source, deadline), deadline_(deadline) {}

  [[nodiscard]] std::int64_t size() const { return file_.size(); }

  /// False if they are not all there.
  bool read(std::int64_t at, unsigned char* out, std::int64_t count) {
    const auto wanted = static_cast<std::size_t>(count);
    return file_.read(at, {out, wanted}, deadline_) == wanted;
  }

 private:
  FileBytes file_;
  const Deadline& deadline_;
};

std::int64_t big_endian(const unsigned char* bytes, int count) {
  std::uint64_t value = 0;
  for (int i = 0; i < count; ++i) value = value << 8 | bytes[i];
  return static_cast<std::int64_t>(std::min<std::uint64_t>(value, largest));
}

std::optional<std::int64_t> of_mp4(Bytes& bytes) {
  constexpr std::array<std::string_view, 12> known{"ftyp", "moov", "mdat", "moof", "free", "skip",
                                                   "wide", "udta", "sidx", "styp", "mfra", "uuid"};
  std::int64_t at = 0;
  unsigned char header[16];
  while (at < bytes.size() && bytes.read(at, header, 8)) {
    // Junk behind the last box says nothing.
    if (std::ranges::find(known, std::string_view(reinterpret_cast<const char*>(header) + 4, 4)) == known.end()) break;
    std::int64_t size = big_endian(header, 4);
    if (size == 0) return std::nullopt;
    if (size == 1) {
      if (!bytes.read(at, header, 16)) break;
      size = big_endian(header + 8, 8);
    }
    if (size < 8) break;
    at += size;
  }
  return at > 0 ? std::optional(at) : std::nullopt;
}

std::optional<std::int64_t> of_avi(Bytes& bytes) {
  // Some writers count the header of the chunk, too.
  constexpr std::int64_t slack = 8;
  std::int64_t at = 0;
  unsigned char header[8];
  while (bytes.read(at, header, 8) && std::string_view(reinterpret_cast<const char*>(header), 4) == "RIFF") {
    std::reverse(header + 4, header + 8);
    const std::int64_t size = big_endian(header + 4, 4);
    // What a writer that was killed, or cannot seek, leaves there.
    if (size == 0 || size == 0xFFFFFFFF) return std::nullopt;
    at += 8 + size + size % 2;
  }
  return at > slack ? std::optional(at - slack) : std::nullopt;
}

/// An EBML number at a place: its length in bytes and its value, -1 for a size that is not known.
struct Number {
  std::int64_t length = 0, value = 0;
};

std::optional<Number> ebml_number(Bytes& bytes, std::int64_t at) {
  unsigned char raw[8];
  if (!bytes.read(at, raw, 1) || raw[0] == 0) return std::nullopt;
  int length = 1;
  while ((raw[0] & (0x80 >> (length - 1))) == 0) ++length;
  if (!bytes.read(at, raw, length)) return std::nullopt;
  raw[0] = static_cast<unsigned char>(raw[0] & (0xFF >> length));
  std::int64_t value = 0;
  for (int i = 0; i < length; ++i) value = value << 8 | raw[i];
  if (value == (std::int64_t{1} << (7 * length)) - 1) value = -1;
  return Number{length, value};
}

std::optional<std::int64_t> of_matroska(Bytes& bytes) {
  std::int64_t at = 0;
  unsigned char id[4];
  while (bytes.read(at, id, 4)) {
    const std::int64_t name = big_endian(id, 4);
    constexpr std::int64_t header = 0x1A45DFA3, segment = 0x18538067;
    if (name != header && name != segment) return std::nullopt;
    const auto size = ebml_number(bytes, at + 4);
    if (!size || size->value < 0) return std::nullopt;
    at += 4 + size->length + size->value;
    if (name == segment) return at;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::int64_t> declared_bytes(const VideoSource& source, const Deadline& deadline) {
  Bytes bytes(source, deadline);
  unsigned char start[12] = {};
  if (!bytes.read(0, start, 12)) return std::nullopt;
  const std::string_view text(reinterpret_cast<const char*>(start), 12);
  if (text.starts_with("RIFF") && text.ends_with("AVI ")) return of_avi(bytes);
  if (text.starts_with("\x1A\x45\xDF\xA3")) return of_matroska(bytes);
  return of_mp4(bytes);
}

}  // namespace mcn
