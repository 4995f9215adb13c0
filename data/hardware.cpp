// One CUDA context for all decoders of the process.
#include "data/hardware.h"

#include <algorithm>
#include <cstring>
#include <mutex>

#include "kernels/error.h"

namespace mcn {
namespace {

bool exact(AVCodecID codec) {
  return codec == AV_CODEC_ID_H264 || codec == AV_CODEC_ID_HEVC || codec == AV_CODEC_ID_VP9 || codec == AV_CODEC_ID_AV1;
}

bool accelerated(const AVCodec& decoder) {
  for (int i = 0;; ++i) {
    const AVCodecHWConfig* config = avcodec_get_hw_config(&decoder, i);
    if (config == nullptr) return false;
    if (config->device_type == AV_HWDEVICE_TYPE_CUDA &&
        (config->methods & AV_CODEC_HW_CONFIG_METHOD_HW_DEVICE_CTX) != 0)
      return true;
  }
}

AVPixelFormat choose(AVCodecContext* codec, const AVPixelFormat* formats) {
  const bool eight_bits = codec->sw_pix_fmt == AV_PIX_FMT_YUV420P || codec->sw_pix_fmt == AV_PIX_FMT_YUVJ420P;
  AVPixelFormat software = AV_PIX_FMT_NONE;
  for (; *formats != AV_PIX_FMT_NONE; ++formats) {
    if (*formats == AV_PIX_FMT_CUDA && eight_bits) return *formats;
    const AVPixFmtDescriptor* description = av_pix_fmt_desc_get(*formats);
    if (software == AV_PIX_FMT_NONE && description != nullptr && (description->flags & AV_PIX_FMT_FLAG_HWACCEL) == 0)
      software = *formats;
  }
  return software;
}

struct BufferDeleter {
  void operator()(AVBufferRef* p) const { av_buffer_unref(&p); }
};

AVBufferRef* new_reference_to_device() {
  static std::mutex mutex;
  static std::unique_ptr<AVBufferRef, BufferDeleter> device;
  const std::lock_guard lock(mutex);
  if (!device) {
    AVBufferRef* made = nullptr;
    const int code = av_hwdevice_ctx_create(&made, AV_HWDEVICE_TYPE_CUDA, nullptr, nullptr, 0);
    if (code < 0)
      fail<DeviceError>("video", "--hwaccel cuda: FFmpeg cannot open a CUDA device ({})", ffmpeg::error_text(code));
    device.reset(made);
  }
  return av_buffer_ref(device.get());
}

}  // namespace

void decode_on_cuda(AVCodecContext& codec, const AVCodec& decoder) {
  if (!exact(codec.codec_id) || !accelerated(decoder)) return;
  codec.hw_device_ctx = new_reference_to_device();
  if (codec.hw_device_ctx == nullptr) throw std::bad_alloc();
  codec.get_format = choose;
}

int fetch(AVFrame& frame) {
  if (frame.format != AV_PIX_FMT_CUDA) return 0;
  const ffmpeg::Frame packed(av_frame_alloc()), planar(av_frame_alloc());
  if (!packed || !planar) return AVERROR(ENOMEM);
  packed->format = AV_PIX_FMT_NV12;
  if (const int code = av_hwframe_transfer_data(packed.get(), &frame, 0); code < 0) return code;
  planar->format = AV_PIX_FMT_YUV420P;
  planar->width = frame.width;
  planar->height = frame.height;
  if (const int code = av_frame_get_buffer(planar.get(), 0); code < 0) return code;
  if (const int code = av_frame_copy_props(planar.get(), &frame); code < 0) return code;
  const int rows = (frame.height + 1) / 2, columns = (frame.width + 1) / 2;
  for (int y = 0; y < frame.height; ++y)
    std::memcpy(planar->data[0] + std::ptrdiff_t{y} * planar->linesize[0],
                packed->data[0] + std::ptrdiff_t{y} * packed->linesize[0], static_cast<std::size_t>(frame.width));
  for (int y = 0; y < rows; ++y) {
    const std::uint8_t* from = packed->data[1] + std::ptrdiff_t{y} * packed->linesize[1];
    std::uint8_t* u = planar->data[1] + std::ptrdiff_t{y} * planar->linesize[1];
    std::uint8_t* v = planar->data[2] + std::ptrdiff_t{y} * planar->linesize[2];
    for (int x = 0; x < columns; ++x) {
      u[x] = from[2 * x];
      v[x] = from[2 * x + 1];
    }
  }
  av_frame_unref(&frame);
  av_frame_move_ref(&frame, planar.get());
  return 0;
}

}  // namespace mcn
