// Orientation, swscale, and fingerprints.
#include "data/rgb.h"

#include <xxhash.h>

#include <cmath>
#include <cstring>

#include "data/media_input.h"

namespace mcn {

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
  // Of RGB, chroma would else be made of pairs of pixels: for an odd width of one that is not there.
  av_opt_set_int(s, "sws_flags", same_size ? SWS_BICUBIC : SWS_BILINEAR | SWS_FULL_CHR_H_INP, 0);
  // The place of 4:2:0 chroma, as the ffmpeg program's scale filter sets it.
  if (frame.format == AV_PIX_FMT_YUV420P) av_opt_set_int(s, "src_v_chr_pos", 128, 0);
  // Without memory swscale may crash, or say no more than that it failed.
  expect_headroom("frames");
  const int code = sws_init_context(s, nullptr, nullptr);
  if (code < 0) {
    scaler_.reset();
    if (code == AVERROR(ENOMEM)) fail_without_memory("frames");
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
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(), &XXH3_freeState);
  if (!state) throw std::bad_alloc();
  XXH3_64bits_reset(state.get());
  // What a frame says of its colors is part of it: FFmpeg 7.1's VP8 decoder gets the range wrong with several threads.
  const int shape[] = {frame.format, frame.width, frame.height, frame.colorspace, frame.color_range};
  XXH3_64bits_update(state.get(), shape, sizeof shape);
  const auto format = static_cast<AVPixelFormat>(frame.format);
  int bytes[4] = {};
  const AVPixFmtDescriptor* description = av_pix_fmt_desc_get(format);
  if (description != nullptr && av_image_fill_linesizes(bytes, format, frame.width) >= 0) {
    for (int plane = 0; plane < 4 && frame.data[plane] != nullptr; ++plane) {
      const bool palette = plane == 1 && (description->flags & AV_PIX_FMT_FLAG_PAL) != 0;
      const bool chroma = (plane == 1 || plane == 2) && (description->flags & AV_PIX_FMT_FLAG_RGB) == 0;
      const int rows = palette ? 1 : chroma ? -((-frame.height) >> description->log2_chroma_h) : frame.height;
      const auto length = static_cast<std::size_t>(palette ? 1024 : bytes[plane]);
      for (int y = 0; y < rows; ++y)
        XXH3_64bits_update(state.get(), frame.data[plane] + static_cast<std::ptrdiff_t>(y) * frame.linesize[plane],
                           length);
    }
  }
  return XXH3_64bits_digest(state.get());
}

}  // namespace mcn
