// Demuxing and decoding.
#include "data/decoder.h"

#include <cmath>
#include <cstring>

#include "data/hardware.h"
#include "kernels/error.h"

namespace mcn {
namespace {

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

int Decoder::get_buffer(AVCodecContext* codec, AVFrame* frame, int flags) {
  auto& decoder = *static_cast<Decoder*>(codec->opaque);
  const int code = avcodec_default_get_buffer2(codec, frame, flags);
  if (code == AVERROR(ENOMEM)) decoder.no_memory_ = true;
  if (code < 0 || !decoder.clear_frames_) return code;
  for (AVBufferRef* buffer : frame->buf)
    if (buffer != nullptr) std::memset(buffer->data, 0, buffer->size);
  return code;
}

void Decoder::check(int code) const { input_.check(no_memory_ ? AVERROR(ENOMEM) : code); }

Decoder::Decoder(const VideoSource& source, const DecoderOptions& options)
    : name_(source.name), input_(source, options.timeout_seconds), clear_frames_(options.clear_frames) {
  AVFormatContext& format = input_.format();
  const int index = video_stream(format);
  if (index < 0)
    fail<DataError>("video", "{}: {}", name_,
                    index == AVERROR_DECODER_NOT_FOUND ? "no decoder for its video stream" : "it has no video stream");
  stream_ = format.streams[index];
  const AVCodec* decoder = avcodec_find_decoder(stream_->codecpar->codec_id);
  if ((stream_->disposition & AV_DISPOSITION_ATTACHED_PIC) != 0)
    fail<DataError>("video", "{}: it has no video stream, only a cover picture", name_);
  for (unsigned i = 0; i < format.nb_streams; ++i)
    if (static_cast<int>(i) != index) format.streams[i]->discard = AVDISCARD_ALL;

  codec_.reset(avcodec_alloc_context3(decoder));
  packet_.reset(av_packet_alloc());
  frame_.reset(av_frame_alloc());
  if (!codec_ || !packet_ || !frame_) throw std::bad_alloc();
  int code = avcodec_parameters_to_context(codec_.get(), stream_->codecpar);
  codec_->pkt_timebase = stream_->time_base;
  codec_->thread_count = options.threads;
  codec_->thread_type = FF_THREAD_FRAME;
  codec_->max_pixels = most_pixels;
  codec_->opaque = this;
  codec_->get_buffer2 = get_buffer;
  if (options.cuda) decode_on_cuda(*codec_, *decoder);
  if (code >= 0) code = avcodec_open2(codec_.get(), decoder, nullptr);
  check(code);
  if (code == AVERROR(EAGAIN)) fail_by_errno("video", name_, EAGAIN);  // no thread for the codec
  if (code < 0) fail<DataError>("video", "{}: cannot decode {} ({})", name_, decoder->name, ffmpeg::error_text(code));
}

const AVPacket* Decoder::read() {
  while (true) {
    av_packet_unref(packet_.get());
    check(0);
    end_ = av_read_frame(&input_.format(), packet_.get());
    check(end_);
    if (end_ < 0) {
      if (end_ != AVERROR_EOF) ++cut_off_;
      return nullptr;
    }
    if (packet_->size > most_packet_bytes)
      fail<DataError>("video", "{}: a packet of {} bytes, more than the {} that it may have", name_, packet_->size,
                      most_packet_bytes);
    if (packet_->stream_index == stream_->index) break;
  }
  if ((packet_->flags & AV_PKT_FLAG_CORRUPT) != 0) ++cut_off_;
  if (++number_ >= most_packets)
    fail<DataError>("video", "{}: more than {} packets, the most that a video may have", name_, most_packets);
  place_ = {packet_->pos, packet_->dts, packet_->pts, packet_->size};
  return packet_.get();
}

void Decoder::feed() {
  // Any error of the demuxer ends the stream: what was read before it counts.
  if (!std::exchange(held_, false) && read() == nullptr) {
    draining_ = true;
    check(avcodec_send_packet(codec_.get(), nullptr));
    return;
  }
  if (on_packet_) on_packet_(*packet_);
  // FFmpeg forgets what it should keep of a chunk if it leaves out the frame before that.
  const bool kept = codec_->codec_id == AV_CODEC_ID_MPEG4 && late_vops_.take(*packet_);
  codec_->skip_frame = !kept && spare_ && spare_(number_) ? AVDISCARD_NONREF : AVDISCARD_DEFAULT;
  packet_->pts = number_;
  packet_->dts = AV_NOPTS_VALUE;
  const int code = avcodec_send_packet(codec_.get(), packet_.get());
  check(code);
  if (code < 0) ++damaged_;
  av_packet_unref(packet_.get());
}

AVFrame* Decoder::next() {
  while (true) {
    const int code = avcodec_receive_frame(codec_.get(), frame_.get());
    check(code);
    if (code >= 0) {
      // A decoder in trouble may hand out a frame without a picture.
      if (frame_->data[0] == nullptr || frame_->width <= 0 || frame_->height <= 0) continue;
      const int fetched = fetch(*frame_);
      check(fetched);
      if (fetched < 0)
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
  const int code = av_seek_frame(&input_.format(), stream_->index, time, AVSEEK_FLAG_BACKWARD);
  check(code);
  if (code < 0) return false;
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
