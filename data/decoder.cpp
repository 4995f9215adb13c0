// The sequential decode and the conversion to RGB.
#include "data/decoder.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/error.h"

namespace mcn {
namespace {

// A damaged header must not make the decoder reserve gigabytes: 8192 x 8192 and no more.
constexpr std::int64_t max_pixels = std::int64_t{1} << 26;

}  // namespace

Decoder::Decoder(const VideoSource& source) {
  const std::string& path = source.name;
  ffmpeg::silence();
  check_source(source);
  // The whitelist keeps a playlist's content from opening anything else.
  ffmpeg::Options options;
  options.set("protocol_whitelist", source.protocols());
  AVFormatContext* opened = nullptr;
  int code = avformat_open_input(&opened, source.url().c_str(), nullptr, options.get());
  if (code < 0)
    fail<DataError>("video", "{}: not a video file that FFmpeg can read ({})", path, ffmpeg::error_text(code));
  format_.reset(opened);
  // FFmpeg takes any text for "ANSI art", one frame of letters.
  if (std::string_view(format_->iformat->name) == "tty") fail<DataError>("video", "{}: a text file, not a video", path);
  code = avformat_find_stream_info(format_.get(), nullptr);
  if (code < 0) fail<DataError>("video", "{}: cannot read its streams ({})", path, ffmpeg::error_text(code));
  const AVCodec* decoder = nullptr;
  const int index = av_find_best_stream(format_.get(), AVMEDIA_TYPE_VIDEO, -1, -1, &decoder, 0);
  if (index < 0 || decoder == nullptr)
    fail<DataError>("video", "{}: {}", path,
                    index == AVERROR_DECODER_NOT_FOUND ? "no decoder for its video stream" : "it has no video stream");
  stream_ = format_->streams[index];
  if ((stream_->disposition & AV_DISPOSITION_ATTACHED_PIC) != 0)
    fail<DataError>("video", "{}: it has no video stream, only a cover picture", path);
  for (unsigned i = 0; i < format_->nb_streams; ++i)
    if (static_cast<int>(i) != index) format_->streams[i]->discard = AVDISCARD_ALL;

  codec_.reset(avcodec_alloc_context3(decoder));
  packet_.reset(av_packet_alloc());
  frame_.reset(av_frame_alloc());
  if (!codec_ || !packet_ || !frame_) throw std::bad_alloc();
  code = avcodec_parameters_to_context(codec_.get(), stream_->codecpar);
  codec_->pkt_timebase = stream_->time_base;
  codec_->thread_count = 1;
  codec_->max_pixels = max_pixels;
  if (code >= 0) code = avcodec_open2(codec_.get(), decoder, nullptr);
  if (code < 0) fail<DataError>("video", "{}: cannot decode {} ({})", path, decoder->name, ffmpeg::error_text(code));
}

void Decoder::feed() {
  while (true) {
    av_packet_unref(packet_.get());
    // Any error of the demuxer ends the stream: what was read before it counts.
    if (const int code = av_read_frame(format_.get(), packet_.get()); code < 0) {
      if (code != AVERROR_EOF) ++cut_off_;
      draining_ = true;
      avcodec_send_packet(codec_.get(), nullptr);
      return;
    }
    if (packet_->stream_index == stream_->index) break;
  }
  if ((packet_->flags & AV_PKT_FLAG_KEY) != 0 && on_key_packet_) on_key_packet_({packet_->dts, packet_->pts});
  if ((packet_->flags & AV_PKT_FLAG_CORRUPT) != 0) ++cut_off_;
  if (avcodec_send_packet(codec_.get(), packet_.get()) < 0) ++damaged_;
  av_packet_unref(packet_.get());
}

AVFrame* Decoder::next() {
  while (true) {
    const int code = avcodec_receive_frame(codec_.get(), frame_.get());
    if (code >= 0) {
      // A decoder in trouble may hand out a frame without a picture.
      if (frame_->data[0] != nullptr && frame_->width > 0 && frame_->height > 0) return frame_.get();
    } else if (code == AVERROR(EAGAIN) && !draining_) {
      feed();
    } else if (code == AVERROR_EOF || code == AVERROR(EAGAIN)) {
      return nullptr;
    } else {
      ++damaged_;
      if (!draining_) feed();
    }
  }
}

bool Decoder::seek(const KeyPacket& key) {
  const std::int64_t time = key.dts != AV_NOPTS_VALUE ? key.dts : key.pts;
  if (time == AV_NOPTS_VALUE) return false;
  if (av_seek_frame(format_.get(), stream_->index, time, AVSEEK_FLAG_BACKWARD) < 0) return false;
  avcodec_flush_buffers(codec_.get());
  draining_ = false;
  return true;
}

double Decoder::guessed_fps() const {
  AVRational rate = stream_->avg_frame_rate;
  if (rate.num <= 0 || rate.den <= 0) rate = stream_->r_frame_rate;
  return rate.num > 0 && rate.den > 0 ? av_q2d(rate) : 0;
}

Orientation orientation_of(const AVStream& stream) {
  const std::int32_t* m = ffmpeg::display_matrix(stream);
  if (m == nullptr) return {};
  // The matrix takes coded (x, y) to shown (a x + c y, b x + d y), in 16.16 fixed point.
  const auto unit = [](std::int32_t v) { return v > 0x8000 ? 1 : v < -0x8000 ? -1 : 0; };
  const auto small = [](std::int32_t v) { return std::abs(static_cast<double>(v)) < 0.02 * 65536; };
  const int a = unit(m[0]), b = unit(m[1]), c = unit(m[3]), d = unit(m[4]);
  if (a != 0 && d != 0 && small(m[1]) && small(m[3])) return {false, a < 0, d < 0, a < 0 && d < 0 ? 180 : 0};
  if (b != 0 && c != 0 && small(m[0]) && small(m[4]))
    return {true, c < 0, b<0, b> 0 && c < 0 ? 90 : b < 0 && c > 0 ? 270 : 0};
  return {};
}

void RgbConverter::prepare(const AVFrame& frame, int height, int width) {
  // Matrices that swscale knows; the rest is read as BT.601, as the ffmpeg program does.
  const int space = frame.colorspace;
  const int matrix = space < 1 || space > 10 || space == 8 ? SWS_CS_DEFAULT : space;
  const int range = frame.color_range;
  if (scaler_ && frame.width == source_width_ && frame.height == source_height_ && frame.format == format_ &&
      width == width_ && height == height_ && matrix == matrix_ && range == range_)
    return;
  const bool same_size = width == frame.width && height == frame.height;
  scaler_.reset(sws_alloc_context());
  if (!scaler_) throw std::bad_alloc();
  SwsContext* s = scaler_.get();
  av_opt_set_int(s, "srcw", frame.width, 0);
  av_opt_set_int(s, "srch", frame.height, 0);
  av_opt_set_int(s, "src_format", frame.format, 0);
  av_opt_set_int(s, "dstw", width, 0);
  av_opt_set_int(s, "dsth", height, 0);
  av_opt_set_int(s, "dst_format", AV_PIX_FMT_RGB24, 0);
  av_opt_set_int(s, "sws_flags", same_size ? SWS_BICUBIC : SWS_BILINEAR, 0);
  // The place of 4:2:0 chroma, as the ffmpeg program's scale filter sets it.
  if (frame.format == AV_PIX_FMT_YUV420P) av_opt_set_int(s, "src_v_chr_pos", 128, 0);
  const bool ok = sws_init_context(s, nullptr, nullptr) >= 0;
  if (!ok) {
    scaler_.reset();
    const char* name = av_get_pix_fmt_name(static_cast<AVPixelFormat>(frame.format));
    fail<DataError>("video", "cannot convert {} of {} x {} pixels to RGB of {} x {}", name != nullptr ? name : "frames",
                    frame.width, frame.height, width, height);
  }
  int *inverse = nullptr, *table = nullptr;
  int source_full = 0, full = 0, brightness = 0, contrast = 0, saturation = 0;
  // Fails for sources that have no matrix, RGB and gray, which need none.
  if (sws_getColorspaceDetails(s, &inverse, &source_full, &table, &full, &brightness, &contrast, &saturation) >= 0) {
    if (range != AVCOL_RANGE_UNSPECIFIED) source_full = range == AVCOL_RANGE_JPEG ? 1 : 0;
    sws_setColorspaceDetails(s, sws_getCoefficients(matrix), source_full, table, full, brightness, contrast,
                             saturation);
  }
  source_width_ = frame.width;
  source_height_ = frame.height;
  format_ = frame.format;
  width_ = width;
  height_ = height;
  matrix_ = matrix;
  range_ = range;
}

void RgbConverter::convert(const AVFrame& frame, const Orientation& orientation, int height, int width,
                           std::span<std::uint8_t> out) {
  const bool upright = !orientation.transpose && !orientation.flip_x && !orientation.flip_y;
  const int coded_width = orientation.transpose ? height : width;
  const int coded_height = orientation.transpose ? width : height;
  prepare(frame, coded_height, coded_width);
  // swscale's vector code may write past a row's end, so rows are padded there and copied.
  const std::size_t row = static_cast<std::size_t>(coded_width) * 3;
  const std::size_t stride = (row + 63) / 64 * 64 + 64;
  upright_.resize(stride * static_cast<std::size_t>(coded_height));
  std::uint8_t* planes[4] = {upright_.data(), nullptr, nullptr, nullptr};
  const int strides[4] = {static_cast<int>(stride), 0, 0, 0};
  sws_scale(scaler_.get(), frame.data, frame.linesize, 0, frame.height, planes, strides);
  if (upright) {
    for (std::size_t y = 0; y < static_cast<std::size_t>(height); ++y)
      std::memcpy(out.data() + y * row, upright_.data() + y * stride, row);
    return;
  }
  for (int y = 0; y < height; ++y) {
    const int shown_y = orientation.flip_y ? height - 1 - y : y;
    for (int x = 0; x < width; ++x) {
      const int shown_x = orientation.flip_x ? width - 1 - x : x;
      const int coded_x = orientation.transpose ? shown_y : shown_x;
      const int coded_y = orientation.transpose ? shown_x : shown_y;
      std::memcpy(out.data() +
                      (static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(x)) * 3,
                  upright_.data() + static_cast<std::size_t>(coded_y) * stride + static_cast<std::size_t>(coded_x) * 3,
                  3);
    }
  }
}

std::uint64_t fingerprint(const AVFrame& frame) {
  constexpr std::uint64_t prime = 0x9E3779B97F4A7C15U;
  std::uint64_t lanes[4] = {1, 2, 3, 4};
  const auto mix = [&](int lane, std::uint64_t word) {
    lanes[lane] = (lanes[lane] ^ word) * prime;
    lanes[lane] ^= lanes[lane] >> 29;
  };
  mix(0, static_cast<std::uint64_t>(frame.format));
  mix(1, static_cast<std::uint64_t>(frame.width));
  mix(2, static_cast<std::uint64_t>(frame.height));
  const auto format = static_cast<AVPixelFormat>(frame.format);
  int bytes[4] = {};
  const AVPixFmtDescriptor* description = av_pix_fmt_desc_get(format);
  if (description != nullptr && av_image_fill_linesizes(bytes, format, frame.width) >= 0) {
    for (int plane = 0; plane < 4 && frame.data[plane] != nullptr; ++plane) {
      const bool palette = plane == 1 && (description->flags & AV_PIX_FMT_FLAG_PAL) != 0;
      const bool chroma = (plane == 1 || plane == 2) && (description->flags & AV_PIX_FMT_FLAG_RGB) == 0;
      const int rows = palette ? 1 : chroma ? -((-frame.height) >> description->log2_chroma_h) : frame.height;
      const auto length = static_cast<std::size_t>(palette ? 1024 : bytes[plane]);
      for (int y = 0; y < rows; ++y) {
        const std::uint8_t* line = frame.data[plane] + static_cast<std::ptrdiff_t>(y) * frame.linesize[plane];
        std::size_t x = 0;
        std::uint64_t words[4];
        for (; x + sizeof words <= length; x += sizeof words) {
          std::memcpy(words, line + x, sizeof words);
          for (int lane = 0; lane < 4; ++lane) mix(lane, words[lane]);
        }
        for (; x < length; x += 8) {
          std::uint64_t word = 0;
          std::memcpy(&word, line + x, std::min<std::size_t>(8, length - x));
          mix(0, word);
        }
      }
    }
  }
  for (int lane = 1; lane < 4; ++lane) mix(0, lanes[lane]);
  return lanes[0];
}

}  // namespace mcn
