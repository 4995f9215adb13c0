// The format: a checksum, then everything else as 8-byte numbers and length-prefixed texts, little-endian.
#include "data/index_cache.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <bit>
#include <cstring>
#include <filesystem>

#include "engine/atomic_file.h"
#include "kernels/error.h"

namespace mcn {
namespace {

constexpr std::int64_t format_version = 4;

class Writer {
 public:
  void number(std::int64_t v) { bytes_.append(reinterpret_cast<const char*>(&v), sizeof v); }
  void real(double v) { number(std::bit_cast<std::int64_t>(v)); }
  void text(const std::string& s) {
    number(std::ssize(s));
    bytes_ += s;
  }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

struct Malformed {};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  std::int64_t number() {
    std::int64_t v = 0;
    std::memcpy(&v, take(sizeof v).data(), sizeof v);
    return v;
  }
  double real() { return std::bit_cast<double>(number()); }
  std::string text() { return std::string(take(number())); }
  /// Of things that take at least that many bytes each.
  std::int64_t count(std::int64_t bytes_each) {
    const std::int64_t n = number();
    if (n < 0 || n > std::ssize(bytes_) / bytes_each) throw Malformed();
    return n;
  }
  [[nodiscard]] bool empty() const { return bytes_.empty(); }

 private:
  std::string_view take(std::int64_t n) {
    if (n < 0 || n > std::ssize(bytes_)) throw Malformed();
    const std::string_view front = bytes_.substr(0, static_cast<std::size_t>(n));
    bytes_.remove_prefix(static_cast<std::size_t>(n));
    return front;
  }
  std::string_view bytes_;
};

/// What names the entry: where the video is.
std::string place_of(const VideoSource& video) {
  std::error_code error;
  const std::string canonical = std::filesystem::canonical(video.path, error).string();
  Writer w;
  w.text(error ? video.path : canonical);
  w.number(video.offset);
  w.number(video.bytes);
  return w.bytes();
}

/// What the entry is for.
std::string header(const VideoSource& video) {
  std::error_code error;
  const auto size = std::filesystem::file_size(video.path, error);
  if (error) return {};
  const auto time = std::filesystem::last_write_time(video.path, error);
  if (error) return {};
  Writer w;
  w.text("mcn frame index");
  w.number(format_version);
  w.number(avcodec_version());
  w.number(avformat_version());
  w.text(place_of(video));
  w.number(static_cast<std::int64_t>(size));
  w.number(time.time_since_epoch().count());
  return w.bytes();
}

void write(Writer& w, const VideoIndex& index) {
  const VideoInfo& i = index.info;
  for (const std::string* s : {&i.container, &i.codec, &i.pixel_format, &i.color_matrix, &i.color_range}) w.text(*s);
  for (const std::int64_t v :
       {std::int64_t{i.width}, std::int64_t{i.height}, i.frames, i.keyframes, std::int64_t{i.b_frames},
        std::int64_t{i.rotation}, i.damaged, i.other_sizes, i.header_frames, std::int64_t{index.may_skip}})
    w.number(v);
  w.real(i.fps);
  w.real(i.seconds);
  const Orientation& o = index.orientation;
  for (const bool b : {o.transpose, o.flip_x, o.flip_y}) w.number(b ? 1 : 0);
  w.number(std::ssize(index.fingerprints));
  for (const std::uint64_t f : index.fingerprints) w.number(static_cast<std::int64_t>(f));
  w.number(std::ssize(index.packets));
  for (const std::int64_t p : index.packets) w.number(p);
  w.number(std::ssize(index.keys));
  for (const VideoIndex::Key& k : index.keys)
    for (const std::int64_t v :
         {k.frame, k.packet, k.place.position, k.place.dts, k.place.pts, std::int64_t{k.place.bytes}})
      w.number(v);
}

std::shared_ptr<VideoIndex> read(Reader& r) {
  auto index = std::make_shared<VideoIndex>();
  VideoInfo& i = index->info;
  for (std::string* s : {&i.container, &i.codec, &i.pixel_format, &i.color_matrix, &i.color_range}) *s = r.text();
  i.width = static_cast<int>(r.number());
  i.height = static_cast<int>(r.number());
  i.frames = r.number();
  i.keyframes = r.number();
  i.b_frames = r.number() != 0;
  i.rotation = static_cast<int>(r.number());
  i.damaged = r.number();
  i.other_sizes = r.number();
  i.header_frames = r.number();
  index->may_skip = r.number() != 0;
  i.fps = r.real();
  i.seconds = r.real();
  Orientation& o = index->orientation;
  for (bool* b : {&o.transpose, &o.flip_x, &o.flip_y}) *b = r.number() != 0;
  o.degrees_clockwise = i.rotation;
  index->fingerprints.resize(static_cast<std::size_t>(r.count(8)));
  for (std::uint64_t& f : index->fingerprints) f = static_cast<std::uint64_t>(r.number());
  index->packets.resize(static_cast<std::size_t>(r.count(8)));
  for (std::int64_t& p : index->packets) p = r.number();
  index->keys.resize(static_cast<std::size_t>(r.count(48)));
  for (VideoIndex::Key& k : index->keys) {
    for (std::int64_t* v : {&k.frame, &k.packet, &k.place.position, &k.place.dts, &k.place.pts}) *v = r.number();
    k.place.bytes = static_cast<int>(r.number());
  }
  const auto either = [&](std::size_t n) { return n == 0 || std::cmp_equal(n, i.frames); };
  if (!r.empty() || i.frames < 1 || !either(index->fingerprints.size()) || !either(index->packets.size()) ||
      (index->fingerprints.empty() && index->packets.empty()))
    throw Malformed();
  return index;
}

}  // namespace

IndexCacheEntry::IndexCacheEntry(const std::string& folder, const VideoSource& video)
    : folder_(folder), name_(video.name) {
  const std::string place = place_of(video);
  file_ = fmt::format("{}/{:016x}.index", folder, XXH3_64bits(place.data(), place.size()));
  header_ = header(video);
}

std::shared_ptr<const VideoIndex> IndexCacheEntry::load() const {
  if (header_.empty()) return nullptr;
  const auto bytes = bytes_of_file(file_);
  constexpr std::size_t sum_bytes = sizeof(std::uint64_t);
  if (!bytes || bytes->size() < sum_bytes + header_.size()) return nullptr;
  std::uint64_t sum = 0;
  std::memcpy(&sum, bytes->data(), sum_bytes);
  const std::string_view rest = std::string_view(*bytes).substr(sum_bytes);
  if (sum != XXH3_64bits(rest.data(), rest.size()) || !rest.starts_with(header_)) return nullptr;
  try {
    Reader reader(rest.substr(header_.size()));
    std::shared_ptr<VideoIndex> index = read(reader);
    index->info.path = name_;
    return index;
  } catch (const Malformed&) {
    return nullptr;
  }
}

void IndexCacheEntry::store(const VideoIndex& index) const {
  if (header_.empty()) return;
  Writer w;
  write(w, index);
  const std::string rest = header_ + w.bytes();
  const std::uint64_t sum = XXH3_64bits(rest.data(), rest.size());
  try {
    std::error_code ignored;
    std::filesystem::create_directories(folder_, ignored);
    AtomicFile file("video", file_);
    file.write(std::as_bytes(std::span<const std::uint64_t>(&sum, 1)));
    file.write(rest);
    file.commit();
  } catch (const DataError&) {
    return;
  }
}

}  // namespace mcn
