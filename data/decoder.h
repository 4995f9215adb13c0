// One decode of a file's video stream, from its start or from a keyframe on. Internal to data/.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "data/ffmpeg.h"
#include "data/media_input.h"
#include "data/packet_reader.h"
#include "data/source.h"

namespace mcn {

/// Where a packet lies in its file, and when in the stream's time base: enough to know it again.
struct PacketPlace {
  std::int64_t position = -1;  ///< bytes; -1: the container does not say
  std::int64_t dts = AV_NOPTS_VALUE, pts = AV_NOPTS_VALUE;
  int bytes = 0;

  [[nodiscard]] bool found_again(const PacketPlace& other) const {
    return position >= 0 && position == other.position && bytes == other.bytes;
  }
};

struct DecoderOptions {
  double timeout_seconds = 0;  ///< 0: none
  int threads = 1;             ///< of the codec, for frames
  /// Frames start out black, so that what damage leaves undecoded is the same every time. Else it is what the buffer
  /// last held, which depends on the frames that are still in use.
  bool clear_frames = false;
  bool cuda = false;  ///< decode_on_cuda
};

/// Demuxer and decoder of one file. Packets are numbered from 0 in the order of the file. DataError from the
/// constructor as Video's, and from every call that the deadline or a limit (data/media_input.h) ends. What the system
/// fails to give is a SystemError from whichever call meets it, never damage and never the end of a file.
class Decoder {
 public:
  explicit Decoder(const VideoSource& source, const DecoderOptions& options = {});
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  /// The next frame in the order of presentation, owned by the decoder and valid until the next call; nullptr at the
  /// end. Its pts is the number of its packet. Damage in the file is skipped, as the ffmpeg program does.
  AVFrame* next();

  /// Decodes the first packet, as long as none was read: only that may say which encoder's habits to follow.
  void learn();

  /// Goes to a key packet, whose number is then `number`; false if the container cannot. Afterwards next() gives the
  /// frames from there on, and perhaps some before it that are not right.
  bool enter(const PacketPlace& key, std::int64_t number);

  /// Packets for which this is true may be left undecoded if no other frame needs theirs; none at first.
  void skip(std::function<bool(std::int64_t)> spare) { spare_ = std::move(spare); }

  /// Reads the next packet without decoding it; nullptr at the end, or where the file cannot be read on.
  const AVPacket* read();
  /// Where the last packet came from, and its number.
  [[nodiscard]] PacketPlace place() const { return place_; }
  [[nodiscard]] std::int64_t number() const { return number_; }
  /// FFmpeg's code with which reading ended; AVERROR_EOF if it was the end of the file.
  [[nodiscard]] int end() const { return end_; }

  /// Called with every packet before it is decoded.
  void on_packet(std::function<void(const AVPacket&)> f) { on_packet_ = std::move(f); }

  /// A new time allowance for what follows.
  void restart_deadline() { input_.deadline().restart(); }

  [[nodiscard]] const AVStream& stream() const { return *stream_; }
  [[nodiscard]] const AVFormatContext& format() const { return input_.format(); }
  [[nodiscard]] AVCodecContext& codec() const { return *codec_; }
  /// Packets that the decoder refused, and frames that it calls damaged.
  [[nodiscard]] std::int64_t damaged() const { return damaged_; }
  /// Packets that were not in the file to their end, and an end of the stream that is not the file's.
  [[nodiscard]] std::int64_t cut_off() const { return cut_off_; }
  [[nodiscard]] double guessed_fps() const;

 private:
  /// Hands the decoder its next packet, or the end of the stream.
  void feed();
  /// Throws if a code of FFmpeg's, or what its threads met, is the system's failure.
  void check(int code) const;
  static int get_buffer(AVCodecContext* codec, AVFrame* frame, int flags);

  std::string name_;
  MediaInput input_;
  bool clear_frames_;
  std::atomic<bool> no_memory_{false};  // a decoder may go on without the frame
  ffmpeg::Codec codec_;
  ffmpeg::Packet packet_;
  ffmpeg::Frame frame_;
  AVStream* stream_ = nullptr;
  std::function<void(const AVPacket&)> on_packet_;
  std::function<bool(std::int64_t)> spare_;
  LateVops late_vops_;
  PacketPlace place_;
  std::int64_t number_ = -1;
  std::int64_t damaged_ = 0, cut_off_ = 0;
  int end_ = 0;
  bool held_ = false;  // packet_ was read by enter() and not yet decoded
  bool draining_ = false;
};

}  // namespace mcn
