// Demuxing and decoding.
#include "data/decoder.h"

#include <cmath>
#include <cstring>

#include "data/hardware.h"
#include "kernels/error.h"

namespace mcn {
namespace {

// A damaged header must not make the decoder reserve gigabytes: 8192 x 8192 and no more.
constexpr std::int64_t max_pixels = std::int64_t{1} << 26;

int clear_buffer(AVCodecContext* codec, AVFrame* frame, int flags) {
  const int code = avcodec_default_get_buffer2(codec, frame, flags);
  if (code < 0) return code;
  for (AVBufferRef* buffer : frame->buf)
    if (buffer != nullptr) std::memset(buffer->data, 0, buffer->size);
  return code;
}

/// The stream that the ffmpeg program takes, which is not av_find_best_stream()'s choice: of those of which packets
/// were seen, and that are to be shown by default, the one with the most pixels. Of those that can be decoded; else
/// FFmpeg's code.
int video_stream(const AVFormatContext& format) {
  int best = AVERROR_STREAM_NOT_FOUND;
  std::int64_t best_score = 0;
  for (unsigned i = 0; i < format.nb_streams; ++i) {
    const AVStream& stream = *format.streams[i];
    if (stream.codecpar->codec_type != AVMEDIA_TYPE_VIDEO) continue;
    if (avcodec_find_decoder(stream.codecpar->codec_id) == nullptr) {
      if (best < 0) best = AVERROR_DECODER_NOT_FOUND;
      continue;
    }
    std::int64_t score = std::int64_t{stream.codecpar->width} * stream.codecpar->height;
    if ((stream.event_flags & AVSTREAM_EVENT_FLAG_NEW_PACKETS) != 0) score += 100'000'000;
    if ((stream.disposition & AV_DISPOSITION_DEFAULT) != 0) score += 5'000'000;
    if ((stream.disposition & AV_DISPOSITION_ATTACHED_PIC) != 0) score = 1;
    if (score <= best_score) continue;
    best = static_cast<int>(i);
    best_score = score;
  }
  return best;
}

}  // namespace

void Deadline::restart() {
  if (seconds_ > 0)
    end_ = std::chrono::steady_clock::now() +
           std::chrono::duration_cast<std::chrono::steady_clock::duration>(std::chrono::duration<double>(seconds_));
}

bool Deadline::over() const { return seconds_ > 0 && std::chrono::steady_clock::now() >= end_; }

void Deadline::check(const std::string& name) const {
  if (over()) fail<DataError>("video", "{}: not done after {} s", name, seconds_);
}

int Decoder::interrupted(void* self) { return static_cast<Decoder*>(self)->deadline_.over() ? 1 : 0; }

Decoder::Decoder(const VideoSource& source, const DecoderOptions& options)
    : name_(source.name), deadline_(options.timeout_seconds) {
  ffmpeg::silence();
  check_source(source);
  // The whitelist keeps a playlist's content from opening anything else.
  ffmpeg::Options dictionary;
  dictionary.set("protocol_whitelist", source.protocols());
  AVFormatContext* opened = avformat_alloc_context();
  if (opened == nullptr) throw std::bad_alloc();
  opened->interrupt_callback = {&Decoder::interrupted, this};
  int code = avformat_open_input(&opened, source.url().c_str(), nullptr, dictionary.get());
  deadline_.check(name_);
  if (code < 0)
    fail<DataError>("video", "{}: not a video file that FFmpeg can read ({})", name_, ffmpeg::error_text(code));
  format_.reset(opened);
  // FFmpeg takes any text for "ANSI art", one frame of letters.
  if (std::string_view(format_->iformat->name) == "tty")
    fail<DataError>("video", "{}: a text file, not a video", name_);
  code = avformat_find_stream_info(format_.get(), nullptr);
  deadline_.check(name_);
  if (code < 0) fail<DataError>("video", "{}: cannot read its streams ({})", name_, ffmpeg::error_text(code));
  const int index = video_stream(*format_);
  if (index < 0)
    fail<DataError>("video", "{}: {}", name_,
                    index == AVERROR_DECODER_NOT_FOUND ? "no decoder for its video stream" : "it has no video stream");
  stream_ = format_->streams[index];
  const AVCodec* decoder = avcodec_find_decoder(stream_->codecpar->codec_id);
  if ((stream_->disposition & AV_DISPOSITION_ATTACHED_PIC) != 0)
    fail<DataError>("video", "{}: it has no video stream, only a cover picture", name_);
  for (unsigned i = 0; i < format_->nb_streams; ++i)
    if (static_cast<int>(i) != index) format_->streams[i]->discard = AVDISCARD_ALL;

  codec_.reset(avcodec_alloc_context3(decoder));
  packet_.reset(av_packet_alloc());
  frame_.reset(av_frame_alloc());
  if (!codec_ || !packet_ || !frame_) throw std::bad_alloc();
  code = avcodec_parameters_to_context(codec_.get(), stream_->codecpar);
  codec_->pkt_timebase = stream_->time_base;
  codec_->thread_count = options.threads;
  codec_->thread_type = FF_THREAD_FRAME;
  codec_->max_pixels = max_pixels;
  if (options.clear_frames) codec_->get_buffer2 = clear_buffer;
  if (options.cuda) decode_on_cuda(*codec_, *decoder);
  if (code >= 0) code = avcodec_open2(codec_.get(), decoder, nullptr);
  if (code < 0) fail<DataError>("video", "{}: cannot decode {} ({})", name_, decoder->name, ffmpeg::error_text(code));
}

const AVPacket* Decoder::read() {
  while (true) {
    av_packet_unref(packet_.get());
    deadline_.check(name_);
    end_ = av_read_frame(format_.get(), packet_.get());
    if (end_ < 0) {
      deadline_.check(name_);
      if (end_ != AVERROR_EOF) ++cut_off_;
      return nullptr;
    }
    if (packet_->stream_index == stream_->index) break;
  }
  if ((packet_->flags & AV_PKT_FLAG_CORRUPT) != 0) ++cut_off_;
  ++number_;
  place_ = {packet_->pos, packet_->dts, packet_->pts, packet_->size};
  return packet_.get();
}

void Decoder::feed() {
  // Any error of the demuxer ends the stream: what was read before it counts.
  if (!std::exchange(held_, false) && read() == nullptr) {
    draining_ = true;
    avcodec_send_packet(codec_.get(), nullptr);
    return;
  }
  if (on_packet_) on_packet_(*packet_);
  // FFmpeg forgets what it should keep of a chunk if it leaves out the frame before that.
  const bool kept = codec_->codec_id == AV_CODEC_ID_MPEG4 && late_vops_.take(*packet_);
  codec_->skip_frame = !kept && spare_ && spare_(number_) ? AVDISCARD_NONREF : AVDISCARD_DEFAULT;
  packet_->pts = number_;
  packet_->dts = AV_NOPTS_VALUE;
  if (avcodec_send_packet(codec_.get(), packet_.get()) < 0) ++damaged_;
  av_packet_unref(packet_.get());
}

AVFrame* Decoder::next() {
  while (true) {
    deadline_.check(name_);
    const int code = avcodec_receive_frame(codec_.get(), frame_.get());
    if (code >= 0) {
      // A decoder in trouble may hand out a frame without a picture.
      if (frame_->data[0] == nullptr || frame_->width <= 0 || frame_->height <= 0) continue;
      if (const int fetched = fetch(*frame_); fetched < 0)
        fail<DeviceError>("video", "{}: a frame cannot be copied from the device ({})", name_,
                          ffmpeg::error_text(fetched));
      if (frame_->decode_error_flags != 0 || (frame_->flags & AV_FRAME_FLAG_CORRUPT) != 0) ++damaged_;
      return frame_.get();
    }
    if (code == AVERROR(EAGAIN) && !draining_) {
      feed();
    } else if (code == AVERROR_EOF || code == AVERROR(EAGAIN)) {
      return nullptr;
    } else {
      ++damaged_;
      if (!draining_) feed();
    }
  }
}

void Decoder::learn() {
  if (number_ < 0) feed();
}

bool Decoder::enter(const PacketPlace& key, std::int64_t number) {
  const std::int64_t time = key.dts != AV_NOPTS_VALUE ? key.dts : key.pts;
  if (time == AV_NOPTS_VALUE || key.position < 0) return false;
  if (av_seek_frame(format_.get(), stream_->index, time, AVSEEK_FLAG_BACKWARD) < 0) return false;
  avcodec_flush_buffers(codec_.get());
  late_vops_.reset();
  draining_ = false;
  held_ = false;
  do {
    if (read() == nullptr || (place_.dts != AV_NOPTS_VALUE && place_.dts > time)) return false;
  } while (!key.found_again(place_));
  number_ = number;
  held_ = true;
  return true;
}

double Decoder::guessed_fps() const {
  AVRational rate = stream_->avg_frame_rate;
  if (rate.num <= 0 || rate.den <= 0) rate = stream_->r_frame_rate;
  return rate.num > 0 && rate.den > 0 ? av_q2d(rate) : 0;
}

}  // namespace mcn
