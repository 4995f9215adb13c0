// Encoding with libavcodec, one thread and bit-exact flags so that files are the same every time.
#include "data/encoder.h"

#include "data/ffmpeg.h"
#include "kernels/error.h"

namespace mcn {

namespace {

ffmpeg::Scaler from_rgb(int width, int height, AVPixelFormat pixels) {
  return ffmpeg::Scaler(sws_getContext(width, height, AV_PIX_FMT_RGB24, width, height, pixels,
                                       SWS_BICUBIC | SWS_ACCURATE_RND | SWS_BITEXACT, nullptr, nullptr, nullptr));
}

// Puts height x width x 3 bytes into a frame of that size.
void fill(AVFrame& frame, SwsContext* scaler, std::span<const std::uint8_t> rgb) {
  const std::size_t row = static_cast<std::size_t>(frame.width) * 3;
  if (rgb.size() != row * static_cast<std::size_t>(frame.height))
    fail("encode", "expected {} bytes a frame, got {}", row * static_cast<std::size_t>(frame.height), rgb.size());
  const std::uint8_t* planes[4] = {rgb.data(), nullptr, nullptr, nullptr};
  const int strides[4] = {static_cast<int>(row), 0, 0, 0};
  sws_scale(scaler, planes, strides, 0, frame.height, frame.data, frame.linesize);
}

}  // namespace

bool has_encoder(const std::string& name) { return avcodec_find_encoder_by_name(name.c_str()) != nullptr; }

struct VideoWriter::Impl {
  std::string path;
  VideoWriterConfig config;
  ffmpeg::Output format;
  ffmpeg::Codec codec;
  ffmpeg::Frame frame;
  ffmpeg::Packet packet;
  ffmpeg::Scaler scaler;
  AVStream* stream = nullptr;
  std::int64_t next_pts = 0;

  void check(int code, const char* what) const {
    if (code < 0) fail<DataError>("encode", "{}: {} ({})", path, what, ffmpeg::error_text(code));
  }

  void open() {
    ffmpeg::set_up();
    const AVCodec* encoder = avcodec_find_encoder_by_name(config.codec.c_str());
    if (encoder == nullptr) fail("encode", "this FFmpeg has no encoder {}", config.codec);
    const AVPixelFormat pixels = av_get_pix_fmt(config.pixel_format.c_str());
    if (pixels == AV_PIX_FMT_NONE) fail("encode", "no pixel format {}", config.pixel_format);
    AVFormatContext* made = nullptr;
    avformat_alloc_output_context2(&made, nullptr, nullptr, path.c_str());
    if (made == nullptr) fail("encode", "{}: no container goes by this extension", path);
    format.reset(made);
    format->flags |= AVFMT_FLAG_BITEXACT;

    codec.reset(avcodec_alloc_context3(encoder));
    frame.reset(av_frame_alloc());
    packet.reset(av_packet_alloc());
    if (!codec || !frame || !packet) throw std::bad_alloc();
    codec->width = config.width;
    codec->height = config.height;
    codec->pix_fmt = pixels;
    codec->time_base = {1, config.fps};
    codec->framerate = {config.fps, 1};
    codec->gop_size = config.gop;
    codec->max_b_frames = config.b_frames;
    codec->thread_count = 1;
    codec->flags |= AV_CODEC_FLAG_BITEXACT;
    if ((format->oformat->flags & AVFMT_GLOBALHEADER) != 0) codec->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    ffmpeg::Options options;
    if (config.codec == "libx264") {
      options.set("preset", "veryfast");
      // x264's macroblock tree reads memory that it never wrote, at least in short videos: bytes would differ by
      // chance.
      options.set("mbtree", "0");
      if (config.quality > 0) options.set("crf", std::to_string(config.quality));
    } else if (config.quality > 0) {
      codec->flags |= AV_CODEC_FLAG_QSCALE;
      codec->global_quality = config.quality * FF_QP2LAMBDA;
    }
    av_dict_parse_string(options.get(), config.options.c_str(), "=", ":", 0);
    check(avcodec_open2(codec.get(), encoder, options.get()), "the encoder refuses these settings");

    stream = avformat_new_stream(format.get(), nullptr);
    if (stream == nullptr) throw std::bad_alloc();
    stream->time_base = codec->time_base;
    stream->avg_frame_rate = codec->framerate;
    check(avcodec_parameters_from_context(stream->codecpar, codec.get()), "codec parameters");
    if (config.rotation != 0 && !ffmpeg::set_rotation(*stream, config.rotation)) throw std::bad_alloc();
    check(avio_open(&format->pb, ("file:" + path).c_str(), AVIO_FLAG_WRITE), "cannot be written");
    check(avformat_write_header(format.get(), nullptr), "cannot write the header");

    frame->format = pixels;
    frame->width = config.width;
    frame->height = config.height;
    check(av_frame_get_buffer(frame.get(), 0), "out of memory");
    scaler = from_rgb(config.width, config.height, pixels);
    if (!scaler) fail("encode", "cannot convert RGB to {}", config.pixel_format);
  }

  void send(const AVFrame* next) {
    check(avcodec_send_frame(codec.get(), next), "cannot encode");
    while (true) {
      const int code = avcodec_receive_packet(codec.get(), packet.get());
      if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return;
      check(code, "cannot encode");
      av_packet_rescale_ts(packet.get(), codec->time_base, stream->time_base);
      packet->stream_index = stream->index;
      check(av_interleaved_write_frame(format.get(), packet.get()), "cannot be written");
    }
  }
};

VideoWriter::VideoWriter(const std::string& path, const VideoWriterConfig& config) : impl_(std::make_unique<Impl>()) {
  impl_->path = path;
  impl_->config = config;
  impl_->open();
}

VideoWriter::VideoWriter(VideoWriter&&) noexcept = default;
VideoWriter::~VideoWriter() = default;

void VideoWriter::write(std::span<const std::uint8_t> rgb) {
  Impl& w = *impl_;
  w.check(av_frame_make_writable(w.frame.get()), "out of memory");
  fill(*w.frame, w.scaler.get(), rgb);
  w.frame->pts = w.next_pts++;
  w.frame->quality = w.codec->global_quality;
  w.send(w.frame.get());
}

void VideoWriter::finish() {
  Impl& w = *impl_;
  w.send(nullptr);
  w.check(av_write_trailer(w.format.get()), "cannot be written");
  // Closing flushes what is buffered, and is where a full disk shows.
  w.check(avio_closep(&w.format->pb), "cannot be written");
}

namespace {

// quantizer: of a codec that loses something; 0 for one that does not.
std::string encode_image(AVCodecID id, AVPixelFormat pixels, int quantizer, std::span<const std::uint8_t> rgb,
                         int height, int width) {
  ffmpeg::set_up();
  const auto check = [id](int code) {
    if (code < 0)
      fail<DataError>("encode", "cannot make a {} image ({})", avcodec_get_name(id), ffmpeg::error_text(code));
  };
  if (width < 1 || height < 1) fail("encode", "expected an image of at least one pixel, got {} x {}", height, width);
  const AVCodec* encoder = avcodec_find_encoder(id);
  if (encoder == nullptr) fail("encode", "this FFmpeg has no encoder {}", avcodec_get_name(id));
  const ffmpeg::Codec codec(avcodec_alloc_context3(encoder));
  const ffmpeg::Frame frame(av_frame_alloc());
  const ffmpeg::Packet packet(av_packet_alloc());
  if (!codec || !frame || !packet) throw std::bad_alloc();
  codec->width = frame->width = width;
  codec->height = frame->height = height;
  codec->pix_fmt = pixels;
  codec->time_base = {1, 1};
  codec->thread_count = 1;
  codec->flags |= AV_CODEC_FLAG_BITEXACT;
  if (quantizer > 0) {
    codec->color_range = AVCOL_RANGE_JPEG;
    codec->flags |= AV_CODEC_FLAG_QSCALE;
    codec->global_quality = frame->quality = quantizer * FF_QP2LAMBDA;
  }
  check(avcodec_open2(codec.get(), encoder, nullptr));
  frame->format = codec->pix_fmt;
  check(av_frame_get_buffer(frame.get(), 0));
  const ffmpeg::Scaler scaler = from_rgb(width, height, codec->pix_fmt);
  if (!scaler) throw std::bad_alloc();
  fill(*frame, scaler.get(), rgb);
  check(avcodec_send_frame(codec.get(), frame.get()));
  check(avcodec_send_frame(codec.get(), nullptr));
  check(avcodec_receive_packet(codec.get(), packet.get()));
  return {reinterpret_cast<const char*>(packet->data), static_cast<std::size_t>(packet->size)};
}

}  // namespace

std::string encode_png(std::span<const std::uint8_t> rgb, int height, int width) {
  return encode_image(AV_CODEC_ID_PNG, AV_PIX_FMT_RGB24, 0, rgb, height, width);
}

std::string encode_jpeg(std::span<const std::uint8_t> rgb, int height, int width, int quantizer) {
  return encode_image(AV_CODEC_ID_MJPEG, AV_PIX_FMT_YUVJ444P, quantizer, rgb, height, width);
}

}  // namespace mcn
