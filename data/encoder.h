// Writes small video files, the synthetic data set's and those that tests decode again; and pictures as JPEG.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace mcn {

struct VideoWriterConfig {
  std::string codec;          ///< FFmpeg's name of an encoder, such as libx264 or mpeg4
  int width = 0, height = 0;  ///< pixels; even where the pixel format halves its chroma and the codec insists
  int fps = 25;
  int gop = 12;      ///< most frames from one keyframe to the next
  int b_frames = 0;  ///< most B-frames between two others
  int quality = 0;   ///< quantiser (mpeg4: 1 to 31, libx264: CRF 1 to 51); 0: the codec's default
  int rotation = 0;  ///< degrees clockwise to be shown at, of containers that can say so
  std::string pixel_format = "yuv420p";
  std::string options{};  ///< the encoder's own options, "key=value:key=value"
};

/// True if this FFmpeg has the encoder.
bool has_encoder(const std::string& name);

/// Encodes RGB frames into one file, its container by the name's extension. The bytes depend on nothing but the frames
/// and the config. The file is complete only after finish(). DataError if it cannot be written, UsageError for an
/// encoder or a format that does not exist.
class VideoWriter {
 public:
  VideoWriter(const std::string& path, const VideoWriterConfig& config);
  VideoWriter(VideoWriter&&) noexcept;
  ~VideoWriter();

  /// height x width x 3 bytes.
  void write(std::span<const std::uint8_t> rgb);
  void finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// An RGB frame, height x width x 3 bytes, as the bytes of a PNG file. UsageError if this FFmpeg has no encoder for it.
std::string encode_png(std::span<const std::uint8_t> rgb, int height, int width);

/// One picture, height x width x 3 bytes of RGB, as a JPEG file of full chroma. quantizer: 2 (fine) to 31 (coarse). The
/// bytes depend on nothing but the arguments. UsageError for another number of bytes.
std::string encode_jpeg(std::span<const std::uint8_t> rgb, int height, int width, int quantizer);

}  // namespace mcn
