// The format: a checksum, then everything else as 8-byte numbers and length-prefixed texts, little-endian.
#include "data/index_cache.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <mutex>
#include <set>

#include "engine/atomic_file.h"
#include "kernels/error.h"

namespace mcn {
namespace {

// Entries of version 4 may be of a file that was read only in part.
constexpr std::int64_t format_version = 5;

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
  std::int64_t in_range(std::int64_t least, std::int64_t most) {
    const std::int64_t n = number();
    if (n < least || n > most) throw Malformed();
    return n;
  }
  int whole(int least) { return static_cast<int>(in_range(least, std::numeric_limits<int>::max())); }
  bool flag() { return in_range(0, 1) == 1; }
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

/// Removes what killed processes left, before this one writes into the folder for the first time.
void remove_left_entries(const std::string& folder) {
  static std::mutex mutex;
  static std::set<std::string> done;
  const std::lock_guard lock(mutex);
  if (done.insert(folder).second) remove_left_temporaries(folder);
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

std::shared_ptr<VideoIndex> read(Reader r) {
  auto index = std::make_shared<VideoIndex>();
  VideoInfo& i = index->info;
  for (std::string* s : {&i.container, &i.codec, &i.pixel_format, &i.color_matrix, &i.color_range}) *s = r.text();
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  i.width = r.whole(1);
  i.height = r.whole(1);
  i.frames = r.in_range(1, most);
  i.keyframes = r.in_range(0, i.frames);
  i.b_frames = r.flag();
  i.rotation = static_cast<int>(r.in_range(0, 270));
  i.damaged = r.in_range(0, most);
  i.other_sizes = r.in_range(0, i.frames);
  i.header_frames = r.in_range(0, most);
  index->may_skip = r.flag();
  i.fps = r.real();
  i.seconds = r.real();
  Orientation& o = index->orientation;
  for (bool* b : {&o.transpose, &o.flip_x, &o.flip_y}) *b = r.flag();
  o.degrees_clockwise = i.rotation;
  index->fingerprints.resize(static_cast<std::size_t>(r.count(8)));
  for (std::uint64_t& f : index->fingerprints) f = static_cast<std::uint64_t>(r.number());
  index->packets.resize(static_cast<std::size_t>(r.count(8)));
  for (std::int64_t& p : index->packets) p = r.in_range(0, most_packets - 1);
  index->keys.resize(static_cast<std::size_t>(r.count(48)));
  for (VideoIndex::Key& k : index->keys) {
    k.frame = r.in_range(0, i.frames - 1);
    k.packet = r.in_range(0, most_packets - 1);
    for (std::int64_t* v : {&k.place.position, &k.place.dts, &k.place.pts}) *v = r.number();
    k.place.bytes = r.whole(0);
  }
  const auto either = [&](std::size_t n) { return n == 0 || std::cmp_equal(n, i.frames); };
  if (!r.empty() || !std::isfinite(i.fps) || !std::isfinite(i.seconds) || !either(index->fingerprints.size()) ||
      !either(index->packets.size()) || (index->fingerprints.empty() && index->packets.empty()) ||
      !std::ranges::is_sorted(index->keys, {}, &VideoIndex::Key::frame))
    throw Malformed();
  return index;
}

}  // namespace

std::string bytes_of_index(const VideoIndex& index) {
  Writer w;
  write(w, index);
  return w.bytes();
}

std::shared_ptr<VideoIndex> index_of_bytes(std::string_view bytes) {
  try {
    return read(Reader(bytes));
  } catch (const Malformed&) {
    return nullptr;
  }
}

IndexCacheEntry::IndexCacheEntry(const std::string& folder, const VideoSource& video)
    : folder_(folder), source_(video) {
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
  std::shared_ptr<VideoIndex> index = index_of_bytes(rest.substr(header_.size()));
  if (index) index->info.path = source_.name;
  return index;
}

void IndexCacheEntry::store(const VideoIndex& index) const {
  // Not of a file that has changed while it was read.
  if (header_.empty() || header(source_) != header_) return;
  const std::string rest = header_ + bytes_of_index(index);
  const std::uint64_t sum = XXH3_64bits(rest.data(), rest.size());
  try {
    std::error_code ignored;
    std::filesystem::create_directories(folder_, ignored);
    remove_left_entries(folder_);
    AtomicFile file("video", file_);
    file.write(std::as_bytes(std::span<const std::uint64_t>(&sum, 1)));
    file.write(rest);
    file.commit();
  } catch (const DataError&) {
    return;
  }
}

}  // namespace mcn
