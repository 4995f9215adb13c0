// One sequential decode of a file's video stream, and the conversion of a decoded frame to RGB: what data/video.cpp is
// made of. Internal to data/.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "data/ffmpeg.h"
#include "data/video.h"

namespace mcn {

/// A packet that starts at a keyframe: where a decode may begin. Times in the stream's time base.
struct KeyPacket {
  std::int64_t dts = AV_NOPTS_VALUE, pts = AV_NOPTS_VALUE;
};

/// Demuxer and decoder of one file. DataError from the constructor as Video's.
class Decoder {
 public:
  explicit Decoder(const VideoSource& source);

  /// The next frame in the order of presentation, owned by the decoder and valid until the next call; nullptr at the
  /// end. Damage in the file is skipped, as the ffmpeg program does.
  AVFrame* next();

  /// Goes to the keyframe at or before a key packet; false if the container cannot. next() then gives some frame there.
  bool seek(const KeyPacket& key);

  /// Called with every packet that carries a keyframe.
  void on_key_packet(std::function<void(const KeyPacket&)> f) { on_key_packet_ = std::move(f); }

  [[nodiscard]] const AVStream& stream() const { return *stream_; }
  [[nodiscard]] const AVFormatContext& format() const { return *format_; }
  [[nodiscard]] const AVCodecContext& codec() const { return *codec_; }
  [[nodiscard]] std::int64_t damaged() const { return damaged_; }
  /// Packets that were not in the file to their end, and an end of the stream that is not the file's.
  [[nodiscard]] std::int64_t cut_off() const { return cut_off_; }
  [[nodiscard]] double guessed_fps() const;

 private:
  /// Hands the decoder its next packet, or the end of the stream.
  void feed();

  ffmpeg::Input format_;
  ffmpeg::Codec codec_;
  ffmpeg::Packet packet_;
  ffmpeg::Frame frame_;
  AVStream* stream_ = nullptr;
  std::function<void(const KeyPacket&)> on_key_packet_;
  std::int64_t damaged_ = 0, cut_off_ = 0;
  bool draining_ = false;
};

/// The turn and mirroring that a display matrix asks for: shown(x, y) = coded(column, row) with axes perhaps swapped,
/// each then perhaps reversed. Angles other than quarter turns are not applied.
struct Orientation {
  bool transpose = false, flip_x = false, flip_y = false;
  int degrees_clockwise = 0;
};
Orientation orientation_of(const AVStream& stream);

/// Converts decoded frames to RGB at a size; keeps its scaler between calls.
class RgbConverter {
 public:
  /// out: height x width x 3 bytes, the size as shown. Same size as the frame's: the bytes of `ffmpeg -pix_fmt rgb24`.
  void convert(const AVFrame& frame, const Orientation& orientation, int height, int width,
               std::span<std::uint8_t> out);

 private:
  void prepare(const AVFrame& frame, int height, int width);

  ffmpeg::Scaler scaler_;
  // What scaler_ was made for.
  int source_width_ = 0, source_height_ = 0, format_ = -1, width_ = 0, height_ = 0, matrix_ = -1, range_ = -1;
  std::vector<std::uint8_t> upright_;
};

/// A 64-bit fingerprint of a frame's pixels, format and size.
std::uint64_t fingerprint(const AVFrame& frame);

}  // namespace mcn
