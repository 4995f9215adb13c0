// Two ways to an index: by the packets, where container and codec leave no doubt about what a decode will give, and by
// that decode.
#include "data/frame_index.h"

#include <algorithm>

#include "data/packet_reader.h"
#include "kernels/error.h"

namespace mcn {
namespace {

std::string text(const char* s) { return s != nullptr ? s : "unknown"; }

std::int64_t bytes_of(const AVFrame& frame) {
  std::int64_t bytes = 0;
  for (const AVBufferRef* buffer : frame.buf)
    if (buffer != nullptr) bytes += static_cast<std::int64_t>(buffer->size);
  return bytes;
}

void describe(const VideoSource& source, const Decoder& decoder, VideoIndex& index) {
  VideoInfo& info = index.info;
  index.orientation = orientation_of(decoder.stream());
  info.path = source.name;
  info.container = decoder.format().iformat->name;
  info.codec = avcodec_get_name(decoder.codec().codec_id);
  info.fps = decoder.guessed_fps();
  info.rotation = index.orientation.degrees_clockwise;
  info.header_frames = std::max<std::int64_t>(0, decoder.stream().nb_frames);
}

void describe(const AVFrame& first, VideoIndex& index) {
  VideoInfo& info = index.info;
  info.pixel_format = text(av_get_pix_fmt_name(static_cast<AVPixelFormat>(first.format)));
  info.color_matrix = text(av_color_space_name(first.colorspace));
  info.color_range = text(av_color_range_name(first.color_range));
  info.width = index.orientation.transpose ? first.height : first.width;
  info.height = index.orientation.transpose ? first.width : first.height;
}

void finish(VideoIndex& index) {
  VideoInfo& info = index.info;
  if (info.fps > 0) info.seconds = static_cast<double>(info.frames) / info.fps;
}

bool plain(const AVPacket& packet) {
  if ((packet.flags & (AV_PKT_FLAG_CORRUPT | AV_PKT_FLAG_DISCARD)) != 0) return false;
  for (int i = 0; i < packet.side_data_elems; ++i) {
    const AVPacketSideDataType type = packet.side_data[i].type;
    if (type == AV_PKT_DATA_NEW_EXTRADATA || type == AV_PKT_DATA_PARAM_CHANGE) return false;
  }
  return true;
}

/// Decodes the first frames, and some after the first B-frame: they must come in the order that the packets promise,
/// undamaged.
bool head_agrees(const VideoSource& source, const VideoOptions& options, std::int64_t first_b, VideoIndex& index) {
  const std::int64_t frames = std::min(index.info.frames, std::max<std::int64_t>(16, first_b + 4));
  Decoder decoder(source, {.timeout_seconds = options.timeout_seconds});
  for (std::int64_t i = 0; i < frames; ++i) {
    const AVFrame* frame = decoder.next();
    if (frame == nullptr || frame->pts != index.packets[static_cast<std::size_t>(i)]) return false;
    if (i == 0) describe(*frame, index);
    const bool transposed = index.orientation.transpose;
    if ((transposed ? frame->height : frame->width) != index.info.width ||
        (transposed ? frame->width : frame->height) != index.info.height)
      return false;
  }
  return decoder.damaged() == 0;
}

}  // namespace

VideoIndex::VideoIndex(const VideoIndex& other)
    : info(other.info),
      orientation(other.orientation),
      fingerprints(other.fingerprints),
      packets(other.packets),
      keys(other.keys),
      doubtful(other.doubtful),
      may_skip(other.may_skip) {}

std::shared_ptr<const VideoIndex> index_by_packets(const VideoSource& source, const VideoOptions& options) {
  Decoder decoder(source, {.timeout_seconds = options.timeout_seconds});
  const auto reader = PacketReader::of(decoder);
  if (reader == nullptr) return nullptr;
  auto index = std::make_shared<VideoIndex>();
  describe(source, decoder, *index);

  std::vector<VideoIndex::Key> keys;
  std::int64_t first_b = -1;
  while (const AVPacket* packet = decoder.read()) {
    PacketFacts facts;
    if (!plain(*packet) || !reader->read(*packet, facts)) return nullptr;
    const std::int64_t number = decoder.number();
    if (number == 0 && !facts.entry) return nullptr;
    if (facts.b_frame && first_b < 0) first_b = number;
    if (facts.key) ++index->info.keyframes;
    if (facts.entry) keys.push_back({0, number, decoder.place()});
  }
  index->info.b_frames = first_b >= 0;
  index->info.frames = decoder.number() + 1;
  index->packets = reader->order();
  if (decoder.end() != AVERROR_EOF || index->packets.empty()) return nullptr;
  // An AVI file says how many frames it has; one that was cut off says so by this alone.
  if (index->info.header_frames != 0 && index->info.header_frames != index->info.frames) return nullptr;

  std::vector<std::int64_t> frame_of(index->packets.size());
  for (std::size_t i = 0; i < frame_of.size(); ++i)
    frame_of[static_cast<std::size_t>(index->packets[i])] = static_cast<std::int64_t>(i);
  for (VideoIndex::Key& key : keys) key.frame = frame_of[static_cast<std::size_t>(key.packet)];
  index->keys = std::move(keys);
  std::ranges::sort(index->keys, {}, &VideoIndex::Key::frame);
  index->may_skip = reader->may_skip();
  if (!head_agrees(source, options, first_b, *index)) return nullptr;
  finish(*index);
  return index;
}

std::shared_ptr<const VideoIndex> index_by_decoding(const VideoSource& source, const VideoOptions& options,
                                                    FrameCache& cache) {
  // With one thread: what several make of damage depends on their number.
  Decoder decoder(source, {.timeout_seconds = options.timeout_seconds, .clear_frames = true});
  auto index = std::make_shared<VideoIndex>();
  describe(source, decoder, *index);
  VideoInfo& info = index->info;
  std::vector<VideoIndex::Key> keys;
  decoder.on_packet([&](const AVPacket& packet) {
    if ((packet.flags & AV_PKT_FLAG_KEY) != 0) keys.push_back({-1, decoder.number(), decoder.place()});
  });
  int width = 0, height = 0;
  std::int64_t room = options.cache_bytes;
  bool caching = room > 0;
  std::vector<bool> key_frame;
  cache.clear();
  while (AVFrame* frame = decoder.next()) {
    if (info.frames == 0) {
      describe(*frame, *index);
      width = frame->width;
      height = frame->height;
    } else if (frame->width != width || frame->height != height) {
      ++info.other_sizes;
    }
    info.b_frames = info.b_frames || frame->pict_type == AV_PICTURE_TYPE_B;
    key_frame.push_back(ffmpeg::is_key(*frame));
    if (key_frame.back()) ++info.keyframes;
    index->fingerprints.push_back(fingerprint(*frame));
    index->packets.push_back(frame->pts);
    ++info.frames;
    if (caching) {
      room -= bytes_of(*frame);
      caching = room >= 0;
      if (!caching) {
        cache.clear();
        continue;
      }
      cache.emplace_back(av_frame_clone(frame));
      if (!cache.back()) fail_without_memory(source.name);
    }
  }
  info.damaged = decoder.damaged();
  index->doubtful = info.damaged > 0 || decoder.cut_off() > 0 || info.frames == 0;
  finish(*index);

  const std::int64_t packets = decoder.number() + 1;
  std::vector<std::int64_t> frame_of(static_cast<std::size_t>(packets), -1);
  for (std::size_t i = 0; i < index->packets.size(); ++i) {
    const std::int64_t packet = index->packets[i];
    if (packet < 0 || packet >= packets || frame_of[static_cast<std::size_t>(packet)] >= 0) {
      index->packets.clear();  // two frames of one packet: from its start only
      return index;
    }
    frame_of[static_cast<std::size_t>(packet)] = static_cast<std::int64_t>(i);
  }
  index->may_skip = packets == info.frames;
  for (VideoIndex::Key& key : keys) {
    key.frame = frame_of[static_cast<std::size_t>(key.packet)];
    if (key.frame >= 0 && key_frame[static_cast<std::size_t>(key.frame)]) index->keys.push_back(key);
  }
  std::ranges::sort(index->keys, {}, &VideoIndex::Key::frame);
  return index;
}

}  // namespace mcn
