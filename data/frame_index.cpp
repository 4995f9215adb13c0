// Two ways to an index: by the packets, where container and codec leave no doubt about what a decode will give, and by
// that decode.
#include "data/frame_index.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <span>
#include <string_view>

#include "kernels/error.h"

namespace mcn {
namespace {

using Bytes = std::span<const std::uint8_t>;

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

/// What the units of an H.264 or HEVC packet in an MP4 or Matroska file say.
class UnitReader {
 public:
  explicit UnitReader(const AVCodecContext& codec) : hevc_(codec.codec_id == AV_CODEC_ID_HEVC) {
    const Bytes extra(codec.extradata, static_cast<std::size_t>(std::max(0, codec.extradata_size)));
    const std::size_t at = hevc_ ? 21 : 4;
    if (extra.size() > at + 2 && extra[0] == 1) length_bytes_ = (extra[at] & 3U) + 1U;
  }

  /// False where decoding could not start, or another parameter set would apply, or the packet makes no sense.
  struct Verdict {
    bool sound = false;
    bool entry = false;
  };
  Verdict read(Bytes packet) {
    Verdict verdict;
    if (length_bytes_ == 0 || packet.empty()) return verdict;
    while (!packet.empty()) {
      if (packet.size() <= length_bytes_) return {};
      std::size_t length = 0;
      for (std::size_t i = 0; i < length_bytes_; ++i) length = length << 8U | packet[i];
      packet = packet.subspan(length_bytes_);
      if (length == 0 || length > packet.size()) return {};
      if (!take(packet.first(length), verdict)) return {};
      packet = packet.subspan(length);
    }
    verdict.sound = true;
    return verdict;
  }

 private:
  bool take(Bytes unit, Verdict& verdict) {
    const unsigned type = hevc_ ? (unit[0] >> 1U) & 63U : unit[0] & 31U;
    if (hevc_) {
      // IDR and CRA. What follows one of them in presentation needs nothing from before it.
      verdict.entry = verdict.entry || (type >= 19 && type <= 21);
      if (type == 33) return same_as_before(unit);
      return type != 36 && type != 37;  // the end of a sequence: the order starts anew
    }
    verdict.entry = verdict.entry || type == 5;
    if (type == 7) return same_as_before(unit);
    return type != 10 && type != 11;
  }

  bool same_as_before(Bytes parameters) {
    if (parameters_.empty()) parameters_.assign(parameters.begin(), parameters.end());
    return std::ranges::equal(parameters_, parameters);
  }

  bool hevc_;
  std::size_t length_bytes_ = 0;
  std::vector<std::uint8_t> parameters_;
};

struct ParserDeleter {
  void operator()(AVCodecParserContext* p) const { av_parser_close(p); }
};

bool telling_container(const AVFormatContext& format) {
  const std::string_view name = format.iformat->name;
  return name.starts_with("mov,mp4") || name.starts_with("matroska,webm");
}

bool plain(const AVPacket& packet) {
  if ((packet.flags & (AV_PKT_FLAG_CORRUPT | AV_PKT_FLAG_DISCARD)) != 0 || packet.pts == AV_NOPTS_VALUE) return false;
  for (int i = 0; i < packet.side_data_elems; ++i) {
    const AVPacketSideDataType type = packet.side_data[i].type;
    if (type == AV_PKT_DATA_NEW_EXTRADATA || type == AV_PKT_DATA_PARAM_CHANGE) return false;
  }
  return true;
}

/// Decodes the first frames: they must come in the order that the packets promise, undamaged.
bool head_agrees(const VideoSource& source, const VideoOptions& options, VideoIndex& index) {
  constexpr std::int64_t frames = 16;
  Decoder decoder(source, options.timeout_seconds);
  for (std::int64_t i = 0; i < std::min(frames, index.info.frames); ++i) {
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
      one_by_one(other.one_by_one) {}

std::shared_ptr<const VideoIndex> index_by_packets(const VideoSource& source, const VideoOptions& options) {
  Decoder decoder(source, options.timeout_seconds);
  const AVCodecID codec = decoder.codec().codec_id;
  const bool units = codec == AV_CODEC_ID_H264 || codec == AV_CODEC_ID_HEVC;
  if (!telling_container(decoder.format()) || (!units && codec != AV_CODEC_ID_AV1)) return nullptr;
  auto index = std::make_shared<VideoIndex>();
  describe(source, decoder, *index);
  std::optional<UnitReader> reader;
  std::unique_ptr<AVCodecParserContext, ParserDeleter> parser;
  if (units) {
    reader.emplace(decoder.codec());
    parser.reset(av_parser_init(codec));
    if (!parser) return nullptr;
    parser->flags |= PARSER_FLAG_COMPLETE_FRAMES;
  }

  std::vector<std::int64_t> times;
  std::vector<VideoIndex::Key> keys;
  while (const AVPacket* packet = decoder.read()) {
    if (!plain(*packet)) return nullptr;
    const bool key = (packet->flags & AV_PKT_FLAG_KEY) != 0;
    bool entry = key;
    if (units) {
      const UnitReader::Verdict verdict =
          reader->read({packet->data, static_cast<std::size_t>(std::max(0, packet->size))});
      std::uint8_t* out = nullptr;
      int out_size = 0;
      av_parser_parse2(parser.get(), &decoder.codec(), &out, &out_size, packet->data, packet->size, packet->pts,
                       packet->dts, packet->pos);
      // A field by itself is not a frame.
      if (!verdict.sound || parser->pict_type == AV_PICTURE_TYPE_NONE ||
          (codec == AV_CODEC_ID_H264 && parser->picture_structure != AV_PICTURE_STRUCTURE_FRAME) ||
          parser->picture_structure == AV_PICTURE_STRUCTURE_TOP_FIELD ||
          parser->picture_structure == AV_PICTURE_STRUCTURE_BOTTOM_FIELD)
        return nullptr;
      entry = verdict.entry;
      index->info.b_frames = index->info.b_frames || parser->pict_type == AV_PICTURE_TYPE_B;
    }
    if (times.empty() && !entry) return nullptr;
    times.push_back(packet->pts);
    if (key) ++index->info.keyframes;
    if (entry) keys.push_back({0, decoder.number(), decoder.place()});
  }
  if (decoder.end() != AVERROR_EOF || times.empty()) return nullptr;

  // The order of presentation is that of the times, if those tell all frames apart and nothing comes before the start.
  index->packets.resize(times.size());
  std::iota(index->packets.begin(), index->packets.end(), std::int64_t{0});
  const auto time = [&](std::int64_t packet) { return times[static_cast<std::size_t>(packet)]; };
  std::ranges::sort(index->packets, {}, time);
  if (index->packets.front() != 0 || std::ranges::adjacent_find(index->packets, {}, time) != index->packets.end())
    return nullptr;
  std::vector<std::int64_t> frame_of(times.size());
  for (std::size_t i = 0; i < times.size(); ++i)
    frame_of[static_cast<std::size_t>(index->packets[i])] = static_cast<std::int64_t>(i);
  for (VideoIndex::Key& key : keys) key.frame = frame_of[static_cast<std::size_t>(key.packet)];
  index->keys = std::move(keys);
  std::ranges::sort(index->keys, {}, &VideoIndex::Key::frame);
  index->one_by_one = true;
  index->info.frames = static_cast<std::int64_t>(times.size());
  if (!head_agrees(source, options, *index)) return nullptr;
  finish(*index);
  return index;
}

std::shared_ptr<const VideoIndex> index_by_decoding(const VideoSource& source, const VideoOptions& options,
                                                    FrameCache& cache) {
  Decoder decoder(source, options.timeout_seconds, options.threads);
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
      if (caching) cache.emplace_back(av_frame_clone(frame));
      if (!caching || !cache.back()) cache.clear();
    }
  }
  if (!caching) cache.clear();
  if (info.frames == 0)
    fail<DataError>("video", "{}: no frame of its {} stream can be decoded", source.name, info.codec);
  info.damaged = decoder.damaged();
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
  index->one_by_one = packets == info.frames;
  for (VideoIndex::Key& key : keys) {
    key.frame = frame_of[static_cast<std::size_t>(key.packet)];
    if (key.frame >= 0 && key_frame[static_cast<std::size_t>(key.frame)]) index->keys.push_back(key);
  }
  std::ranges::sort(index->keys, {}, &VideoIndex::Key::frame);
  return index;
}

}  // namespace mcn
