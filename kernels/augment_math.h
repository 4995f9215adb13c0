// The arithmetic of augmentation, one pixel at a time, for the host and the device. Sources that include it are
// compiled without contraction of multiply-adds (CMakeLists.txt), so that all of them round alike.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/augment.h"

#if defined(__CUDACC__)
#define MCN_EVERYWHERE __host__ __device__
#else
#define MCN_EVERYWHERE
#endif

namespace mcn::augment {

struct Rgb {
  float r, g, b;
};

/// The input pixels of one output pixel on one axis of the resize.
struct Taps {
  int first, width;
  double centre, support, total;

  /// Of output pixel i of `output`, from `input` pixels.
  MCN_EVERYWHERE Taps(int input, int output, int i) {
    const double scale = static_cast<double>(input) / static_cast<double>(output);
    support = scale > 1 ? scale : 1;
    const int wanted = static_cast<int>(std::ceil(2 * support)) + 1;
    width = wanted < input ? wanted : input;
    centre = (static_cast<double>(i) + 0.5) * scale;
    const int low = static_cast<int>(std::floor(centre - support + 0.5));
    const int last = input - width;
    first = low < 0 ? 0 : (low > last ? last : low);
    total = 0;
    for (int k = 0; k < width; ++k) total += raw(k);
  }
  [[nodiscard]] MCN_EVERYWHERE float weight(int k) const { return static_cast<float>(raw(k) / total); }

 private:
  [[nodiscard]] MCN_EVERYWHERE double raw(int k) const {
    const double w = 1 - std::abs(static_cast<double>(first + k) + 0.5 - centre) / support;
    return w > 0 ? w : 0;
  }
};

/// The pixel of the resized frame, 0 to 255: rows first, then columns.
MCN_EVERYWHERE inline Rgb resized(const std::uint8_t* frame, int width, const Taps& rows, const Taps& columns) {
  Rgb sum{0, 0, 0};
  for (int j = 0; j < columns.width; ++j) {
    Rgb line{0, 0, 0};
    for (int k = 0; k < rows.width; ++k) {
      const std::uint8_t* in = frame + (static_cast<std::int64_t>(rows.first + k) * width + columns.first + j) * 3;
      const float w = rows.weight(k);
      line.r += w * static_cast<float>(in[0]);
      line.g += w * static_cast<float>(in[1]);
      line.b += w * static_cast<float>(in[2]);
    }
    const float w = columns.weight(j);
    sum.r += w * line.r;
    sum.g += w * line.g;
    sum.b += w * line.b;
  }
  return sum;
}

/// Means are sums of whole numbers, which no order of addition changes: a value in 1 / 65536.
MCN_EVERYWHERE inline std::int64_t fixed_point(float value) { return std::llrint(value * 65536.0F); }
MCN_EVERYWHERE inline double mean_of(std::int64_t sum, std::int64_t pixels) {
  return static_cast<double>(sum) / (65536.0 * 255.0 * static_cast<double>(pixels));
}

/// The colour map of a clip whose crop has that mean, for values 0 to 255.
struct Color {
  float a[9], b[3];
};
MCN_EVERYWHERE inline Color color_of(const AugmentClip& clip, const double (&mean)[3]) {
  Color color{};
  for (int i = 0; i < 9; ++i) color.a[i] = static_cast<float>(clip.a[i] / 255.0);
  for (int i = 0; i < 3; ++i) {
    double b = clip.b[i];
    for (int j = 0; j < 3; ++j) b += clip.m[3 * i + j] * mean[j];
    color.b[i] = static_cast<float>(b);
  }
  return color;
}

MCN_EVERYWHERE inline float unit(float v) {
  const float low = v > 0.0F ? v : 0.0F;
  return low < 1.0F ? low : 1.0F;
}

/// Mapped, clamped, normalised.
MCN_EVERYWHERE inline Rgb recolored(const Color& c, const AugmentParams& p, const Rgb& x) {
  return {unit(c.a[0] * x.r + c.a[1] * x.g + c.a[2] * x.b + c.b[0]) * p.scale[0] + p.shift[0],
          unit(c.a[3] * x.r + c.a[4] * x.g + c.a[5] * x.b + c.b[1]) * p.scale[1] + p.shift[1],
          unit(c.a[6] * x.r + c.a[7] * x.g + c.a[8] * x.b + c.b[2]) * p.scale[2] + p.shift[2]};
}

/// Mirrored at the border without repeating it, as often as a wide blur of a small picture needs.
MCN_EVERYWHERE inline int mirrored(int i, int size) {
  if (size == 1) return 0;
  const int period = 2 * (size - 1);
  i = ((i % period) + period) % period;
  return i < size ? i : period - i;
}

}  // namespace mcn::augment
