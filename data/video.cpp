// The index of a video file and reading frames by number. Truth is the sequential decode: the index holds a fingerprint
// of every frame of it, and what a seek led to counts only where the fingerprints agree.
#include "data/video.h"

#include <algorithm>
#include <atomic>
#include <numeric>
#include <optional>
#include <utility>

#include "data/decoder.h"
#include "kernels/error.h"

namespace mcn {

struct VideoIndex {
  struct Key {
    std::int64_t frame = 0;  // its number in order of presentation
    KeyPacket packet;
  };

  VideoInfo info;
  Orientation orientation;
  std::vector<std::uint64_t> fingerprints;  // a frame each
  std::vector<Key> keys;                    // by frame; empty if the file cannot be entered in its middle
  // Cleared by the first Video whose seek went astray, so that others need not try. Never changes what is read.
  mutable std::atomic<bool> seekable{true};
};

namespace {

using FrameCache = std::vector<ffmpeg::Frame>;

std::string text(const char* s) { return s != nullptr ? s : "unknown"; }

std::int64_t bytes_of(const AVFrame& frame) {
  std::int64_t bytes = 0;
  for (const AVBufferRef* buffer : frame.buf)
    if (buffer != nullptr) bytes += static_cast<std::int64_t>(buffer->size);
  return bytes;
}

/// Decodes the whole file. cache receives all its frames if they fit into cache_bytes, else nothing.
std::shared_ptr<const VideoIndex> build_index(const VideoSource& source, std::int64_t cache_bytes, FrameCache& cache) {
  Decoder decoder(source);
  auto index = std::make_shared<VideoIndex>();
  index->orientation = orientation_of(decoder.stream());
  VideoInfo& info = index->info;
  info.path = source.name;
  info.container = decoder.format().iformat->name;
  info.codec = avcodec_get_name(decoder.codec().codec_id);
  info.fps = decoder.guessed_fps();
  info.rotation = index->orientation.degrees_clockwise;
  info.header_frames = std::max<std::int64_t>(0, decoder.stream().nb_frames);

  std::vector<KeyPacket> packets;
  std::vector<std::int64_t> key_frames;
  decoder.on_key_packet([&](const KeyPacket& packet) { packets.push_back(packet); });
  int coded_width = 0, coded_height = 0;
  bool caching = cache_bytes > 0;
  while (AVFrame* frame = decoder.next()) {
    if (info.frames == 0) {
      coded_width = frame->width;
      coded_height = frame->height;
      info.pixel_format = text(av_get_pix_fmt_name(static_cast<AVPixelFormat>(frame->format)));
      info.color_matrix = text(av_color_space_name(frame->colorspace));
      info.color_range = text(av_color_range_name(frame->color_range));
    } else if (frame->width != coded_width || frame->height != coded_height) {
      ++info.other_sizes;
    }
    info.b_frames = info.b_frames || frame->pict_type == AV_PICTURE_TYPE_B;
    if (ffmpeg::is_key(*frame)) key_frames.push_back(info.frames);
    index->fingerprints.push_back(fingerprint(*frame));
    ++info.frames;
    if (caching) {
      cache_bytes -= bytes_of(*frame);
      caching = cache_bytes >= 0;
      if (caching) cache.emplace_back(av_frame_clone(frame));
      if (!caching || !cache.back()) cache.clear();
    }
  }
  if (!caching) cache.clear();
  if (info.frames == 0)
    fail<DataError>("video", "{}: no frame of its {} stream can be decoded", source.name, info.codec);
  info.damaged = decoder.damaged();
  info.keyframes = static_cast<std::int64_t>(key_frames.size());
  info.width = index->orientation.transpose ? coded_height : coded_width;
  info.height = index->orientation.transpose ? coded_width : coded_height;
  if (info.fps > 0) info.seconds = static_cast<double>(info.frames) / info.fps;
  // Keyframes are never reordered among themselves, so where there are as many packets as frames the n-th is the
  // n-th's. A wrong guess costs time, not truth.
  if (packets.size() == key_frames.size())
    for (std::size_t i = 0; i < packets.size(); ++i) index->keys.push_back({key_frames[i], packets[i]});
  return index;
}

}  // namespace

struct Video::Impl {
  VideoSource source;
  std::shared_ptr<const VideoIndex> index;
  FrameCache cache;
  std::optional<Decoder> decoder;
  std::int64_t position = 0;  // number of the frame that decoder gives next
  std::int64_t failed_seeks = 0;
  RgbConverter converter;

  /// The last keyframe that is no later than a frame; nullptr if there is none but the start.
  [[nodiscard]] const VideoIndex::Key* key_before(std::int64_t frame) const {
    const auto& keys = index->keys;
    auto after = std::upper_bound(keys.begin(), keys.end(), frame,
                                  [](std::int64_t f, const VideoIndex::Key& key) { return f < key.frame; });
    return after == keys.begin() ? nullptr : &*--after;
  }

  void restart() {
    decoder.emplace(source);
    position = 0;
  }

  AVFrame* step() {
    AVFrame* frame = decoder->next();
    if (frame != nullptr) ++position;
    return frame;
  }

  /// From a keyframe on: what comes before it is told apart by the fingerprint. nullptr if any does not agree.
  AVFrame* by_seek(const VideoIndex::Key& key, std::int64_t wanted) {
    if (!decoder) decoder.emplace(source);
    if (!decoder->seek(key.packet)) return nullptr;
    const auto& prints = index->fingerprints;
    const auto at = [&](std::int64_t i) { return prints[static_cast<std::size_t>(i)]; };
    AVFrame* frame = decoder->next();
    while (frame != nullptr && fingerprint(*frame) != at(key.frame)) frame = decoder->next();
    if (frame == nullptr) return nullptr;
    position = key.frame + 1;
    while (position <= wanted) {
      frame = step();
      if (frame == nullptr) return nullptr;
    }
    return fingerprint(*frame) == at(wanted) ? frame : nullptr;
  }

  /// From where the decoder stands; nullptr at the end.
  AVFrame* onwards(std::int64_t wanted) {
    AVFrame* frame = nullptr;
    while (position <= wanted) {
      frame = step();
      if (frame == nullptr) return nullptr;
    }
    return frame;
  }

  AVFrame* decode(std::int64_t wanted) {
    const auto expected = index->fingerprints[static_cast<std::size_t>(wanted)];
    if (index->seekable) {
      const VideoIndex::Key* key = key_before(wanted);
      const bool ahead = decoder && position <= wanted;
      if (key != nullptr && key->frame > (ahead ? position : 0)) {
        if (AVFrame* frame = by_seek(*key, wanted)) return frame;
      } else {
        if (!ahead) restart();
        AVFrame* frame = onwards(wanted);
        if (frame != nullptr && fingerprint(*frame) == expected) return frame;
      }
      index->seekable = false;
      ++failed_seeks;
      decoder.reset();
    }
    if (!decoder || position > wanted) restart();
    AVFrame* frame = onwards(wanted);
    if (frame == nullptr)
      fail<DataError>("video", "{}: frame {} of {} is gone; has the file changed?", source.name, wanted,
                      index->info.frames);
    return frame;
  }

  Frames read(std::span<const std::int64_t> indices, int height, int width) {
    const std::int64_t last = index->info.frames - 1;
    if (height < 1 || width < 1) fail("video", "expected a positive size, got {} x {}", height, width);
    for (const std::int64_t i : indices)
      if (i < 0 || i > last)
        fail<DataError>("video", "{} has {} frames, frame {} was asked for (the first is 0)", source.name, last + 1, i);
    Frames result{static_cast<std::int64_t>(indices.size()), height, width, {}};
    const std::size_t bytes = result.frame_bytes();
    result.rgb.resize(indices.size() * bytes);
    const std::span<std::uint8_t> all(result.rgb);
    std::vector<std::size_t> order(indices.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return indices[a] < indices[b]; });
    for (std::size_t k = 0; k < order.size(); ++k) {
      const auto out = all.subspan(order[k] * bytes, bytes);
      const std::int64_t wanted = indices[order[k]];
      if (k > 0 && indices[order[k - 1]] == wanted) {
        std::ranges::copy(all.subspan(order[k - 1] * bytes, bytes), out.begin());
        continue;
      }
      const AVFrame* frame = cache.empty() ? decode(wanted) : cache[static_cast<std::size_t>(wanted)].get();
      converter.convert(*frame, index->orientation, height, width, out);
    }
    return result;
  }
};

Video::Video(const VideoSource& source, const VideoOptions& options) : impl_(std::make_unique<Impl>()) {
  impl_->source = source;
  impl_->index = options.index ? options.index : build_index(source, options.cache_bytes, impl_->cache);
}

Video::Video(Video&&) noexcept = default;
Video& Video::operator=(Video&&) noexcept = default;
Video::~Video() = default;

const VideoInfo& Video::info() const { return impl_->index->info; }
std::shared_ptr<const VideoIndex> Video::index() const { return impl_->index; }
std::int64_t Video::failed_seeks() const { return impl_->failed_seeks; }

Frames Video::frames(std::span<const std::int64_t> indices) {
  return impl_->read(indices, info().height, info().width);
}

Frames Video::frames(std::span<const std::int64_t> indices, int height, int width) {
  return impl_->read(indices, height, width);
}

}  // namespace mcn
