// Reading frames by number. Truth is the sequential decode; what a seek led to counts only where the index vouches for
// it.
#include "data/video.h"

#include <algorithm>
#include <cerrno>
#include <numeric>
#include <optional>
#include <set>
#include <utility>

#include "data/frame_index.h"
#include "data/index_cache.h"
#include "data/media_input.h"
#include "kernels/error.h"

namespace mcn {

struct Video::Impl {
  Impl(VideoSource s, const VideoOptions& o) : source(std::move(s)), options(o) {
    if (options.index) {
      use(options.index);
      return;
    }
    std::optional<IndexCacheEntry> entry;
    if (!options.index_folder.empty()) {
      entry.emplace(options.index_folder, source);
      if (auto kept = entry->load()) {
        use(std::move(kept));
        return;
      }
    }
    auto made = with_memory(source.name, [&] {
      auto by_packets = options.always_decode ? nullptr : index_by_packets(source, options);
      return by_packets ? by_packets : proven_index();
    });
    if (entry) entry->store(*made);
    use(std::move(made));
  }

  VideoSource source;
  VideoOptions options;
  std::vector<std::shared_ptr<const VideoIndex>> indices;  // the last counts; the others keep info() valid
  std::vector<std::int64_t> frame_of;                      // a packet each; -1: none
  FrameCache cache;
  std::optional<Decoder> decoder;
  std::int64_t last = -1;           // frame that the decoder gave last, or as if it had
  std::int64_t damaged_before = 0;  // that the decoder had noticed when it was where `last` says
  bool counted = false;             // it gave every frame since the start of the file
  std::set<std::int64_t> skipped;   // packets that it was allowed to leave out
  std::vector<std::int64_t> wanted_packets;
  bool skipping = true;
  std::int64_t failed_seeks = 0;
  RgbConverter converter;

  [[nodiscard]] const VideoIndex& index() const { return *indices.back(); }

  /// By decoding. FFmpeg does not always tell when it had no memory for something: what looks like damage, or like an
  /// early end, is believed when two readings find as much of it.
  std::shared_ptr<const VideoIndex> proven_index() {
    auto index = index_by_decoding(source, options, cache);
    for (int more = 3; index->doubtful; --more) {
      if (more == 0) {
        if (!memory_to_be_had()) fail_by_errno("video", source.name, ENOMEM);
        fail<DataError>("video", "{}: it is damaged, and every reading of it finds something else", source.name);
      }
      auto again = index_by_decoding(source, options, cache);
      const bool agreed = again->info.frames == index->info.frames && again->packets == index->packets &&
                          again->info.damaged == index->info.damaged;
      index = std::move(again);
      if (agreed) break;
    }
    if (index->info.frames == 0)
      fail<DataError>("video", "{}: no frame of its {} stream can be decoded", source.name, index->info.codec);
    return index;
  }

  void use(std::shared_ptr<const VideoIndex> index) {
    indices.push_back(std::move(index));
    const VideoIndex& now = this->index();
    frame_of.clear();
    for (std::size_t i = 0; i < now.packets.size(); ++i) {
      const auto packet = static_cast<std::size_t>(now.packets[i]);
      if (packet >= frame_of.size()) frame_of.resize(packet + 1, -1);
      frame_of[packet] = static_cast<std::int64_t>(i);
    }
  }

  [[nodiscard]] std::int64_t packet_of(std::int64_t frame) const {
    return index().packets[static_cast<std::size_t>(frame)];
  }

  [[nodiscard]] bool agrees(const AVFrame& frame, std::int64_t number) const {
    return !index().proven() || fingerprint(frame) == index().fingerprints[static_cast<std::size_t>(number)];
  }

  /// The last keyframe that is no later than a frame; nullptr if there is none.
  [[nodiscard]] const VideoIndex::Key* key_before(std::int64_t frame) const {
    const auto& keys = index().keys;
    auto after = std::ranges::upper_bound(keys, frame, {}, &VideoIndex::Key::frame);
    return after == keys.begin() ? nullptr : &*--after;
  }

  void restart() {
    // Damaged frames must come out as they did when the index was made.
    const bool unsound = index().info.damaged > 0 || by_counting_only();
    decoder.emplace(source, DecoderOptions{.timeout_seconds = options.timeout_seconds,
                                           .threads = unsound ? 1 : options.threads,
                                           .clear_frames = unsound,
                                           .cuda = options.cuda && !unsound});
    decoder->skip([this](std::int64_t packet) { return spare(packet); });
    last = -1;
    damaged_before = 0;
    counted = true;
    skipped.clear();
  }

  [[nodiscard]] bool by_counting_only() const { return index().packets.empty() || !index().seekable; }

  /// Packets after the last that is wanted are decoded, since the next call may want them.
  bool spare(std::int64_t packet) {
    if (!skipping || wanted_packets.empty() || packet >= wanted_packets.back() ||
        std::ranges::binary_search(wanted_packets, packet))
      return false;
    skipped.insert(packet);
    counted = false;
    return true;
  }

  bool enter(const VideoIndex::Key& key) {
    if (!decoder) {
      restart();
      decoder->learn();
    }
    if (!decoder->enter(key.place, key.packet)) {
      decoder.reset();
      return false;
    }
    last = key.frame - 1;
    damaged_before = decoder->damaged();
    counted = false;
    skipped.clear();
    return true;
  }

  /// Puts the decoder where the wanted frame comes next but for some between; false if that fails.
  bool approach(std::int64_t wanted) {
    const VideoIndex::Key* key = key_before(wanted);
    const bool ahead = decoder && last < wanted && !skipped.contains(packet_of(wanted));
    if (ahead && (key == nullptr || key->frame <= last + 1)) return true;
    if (key != nullptr && (decoder || key->frame > 0) && enter(*key)) return true;
    if (key != nullptr && key->frame > 0) return false;
    restart();
    return true;
  }

  /// Frames between two that the decoder gave must all have been left out on purpose.
  [[nodiscard]] bool accounted_for(std::int64_t from, std::int64_t to) const {
    for (std::int64_t i = from; i < to; ++i)
      if (!skipped.contains(packet_of(i))) return false;
    return true;
  }

  /// nullptr if anything is not as the index says.
  AVFrame* by_number(std::int64_t wanted) {
    if (!approach(wanted)) return nullptr;
    const std::int64_t first = last + 1;
    while (AVFrame* frame = decoder->next()) {
      const bool known = frame->pts >= 0 && frame->pts < std::ssize(frame_of);
      const std::int64_t number = known ? frame_of[static_cast<std::size_t>(frame->pts)] : -1;
      if (number <= last) {
        // Before the keyframe that was entered, some come out that lack what they refer to.
        if (number >= first || (number < 0 && !index().proven())) return nullptr;
        continue;
      }
      if (!index().proven() && (decoder->damaged() != damaged_before || !accounted_for(last + 1, number)))
        return nullptr;
      last = number;
      if (number > wanted) return nullptr;
      if (number == wanted) return agrees(*frame, wanted) ? frame : nullptr;
    }
    return nullptr;
  }

  /// The sequential decode.
  AVFrame* by_counting(std::int64_t wanted) {
    if (!decoder || !counted || last >= wanted) restart();
    AVFrame* frame = nullptr;
    while (last < wanted) {
      frame = decoder->next();
      if (frame == nullptr)
        fail<DataError>("video", "{}: frame {} of {} is gone; has the file changed?", source.name, wanted,
                        index().info.frames);
      ++last;
    }
    return frame;
  }

  void check_range(std::int64_t frame) const {
    const std::int64_t frames = index().info.frames;
    if (frame < 0 || frame >= frames)
      fail<DataError>("video", "{} has {} frames, frame {} was asked for (the first is 0)", source.name, frames, frame);
  }

  /// What the packets promised did not come true: the whole file is decoded.
  void prove() {
    decoder.reset();
    auto proven = proven_index();
    if (!options.index_folder.empty()) IndexCacheEntry(options.index_folder, source).store(*proven);
    use(std::move(proven));
  }

  AVFrame* decode(std::span<const std::int64_t> indices_wanted, std::int64_t wanted) {
    while (!by_counting_only()) {
      want(indices_wanted);
      skipping = index().may_skip;
      if (AVFrame* frame = by_number(wanted)) return frame;
      if (!index().proven()) {
        prove();
        check_range(wanted);
        if (!cache.empty()) return cache[static_cast<std::size_t>(wanted)].get();
        continue;
      }
      decoder.reset();
      if (skipping) {
        skipping = false;
        if (AVFrame* frame = by_number(wanted)) return frame;
        decoder.reset();
      }
      index().seekable = false;
      ++failed_seeks;
    }
    skipping = false;
    return by_counting(wanted);
  }

  void want(std::span<const std::int64_t> frames) {
    wanted_packets.clear();
    for (const std::int64_t i : frames)
      if (i < std::ssize(index().packets)) wanted_packets.push_back(packet_of(i));
    std::ranges::sort(wanted_packets);
  }

  Frames read(std::span<const std::int64_t> wanted, int height, int width) {
    if (height < 1 || width < 1) fail("video", "expected a positive size, got {} x {}", height, width);
    for (const std::int64_t i : wanted) check_range(i);
    return with_memory(source.name, [&] {
      try {
        return frames(wanted, height, width);
      } catch (...) {
        decoder.reset();  // it may stand anywhere
        throw;
      }
    });
  }

  Frames frames(std::span<const std::int64_t> wanted, int height, int width) {
    if (decoder) decoder->restart_deadline();
    Frames result{static_cast<std::int64_t>(wanted.size()), height, width, {}};
    const std::size_t bytes = result.frame_bytes();
    result.rgb.resize(wanted.size() * bytes);
    const std::span<std::uint8_t> all(result.rgb);
    std::vector<std::size_t> order(wanted.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, {}, [&](std::size_t i) { return wanted[i]; });
    for (std::size_t k = 0; k < order.size(); ++k) {
      const auto out = all.subspan(order[k] * bytes, bytes);
      const std::int64_t number = wanted[order[k]];
      if (k > 0 && wanted[order[k - 1]] == number) {
        std::ranges::copy(all.subspan(order[k - 1] * bytes, bytes), out.begin());
        continue;
      }
      const AVFrame* frame = cache.empty() ? decode(wanted, number) : cache[static_cast<std::size_t>(number)].get();
      converter.convert(*frame, index().orientation, height, width, out);
    }
    return result;
  }
};

Video::Video(const VideoSource& source, const VideoOptions& options) : impl_(std::make_unique<Impl>(source, options)) {}

Video::Video(Video&&) noexcept = default;
Video& Video::operator=(Video&&) noexcept = default;
Video::~Video() = default;

const VideoInfo& Video::info() const { return impl_->index().info; }
std::shared_ptr<const VideoIndex> Video::index() const { return impl_->indices.back(); }
std::int64_t Video::failed_seeks() const { return impl_->failed_seeks; }

Frames Video::frames(std::span<const std::int64_t> indices) {
  return impl_->read(indices, info().height, info().width);
}

Frames Video::frames(std::span<const std::int64_t> indices, int height, int width) {
  return impl_->read(indices, height, width);
}

}  // namespace mcn
