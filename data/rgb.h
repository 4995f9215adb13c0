// What is done with a decoded frame: its fingerprint, and its conversion to upright RGB at a size. Internal to data/.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/ffmpeg.h"

namespace mcn {

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

/// A 64-bit fingerprint of a frame: its pixels, format and size, and the matrix and range that turn it into RGB.
std::uint64_t fingerprint(const AVFrame& frame);

}  // namespace mcn
