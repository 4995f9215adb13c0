// Colours and background patterns of both kinds of synthetic scenes.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "engine/random.h"

namespace mcn {

/// Red, green, blue; 0 to 255.
using Color = std::array<float, 3>;

Color random_color(Philox& random);
double luma_of(const Color& color);

/// A color whose luma differs from the other's by `least`, so that grayscale tells them apart too. Every gray leaves
/// room for 70 on one side or the other.
Color contrasting(Philox& random, const Color& other, double least);

/// 0 to 1 across an edge one pixel wide; distance in pixels, negative inside.
inline double coverage(double distance) { return std::clamp(0.5 - distance, 0.0, 1.0); }

enum Pattern : std::uint8_t { stripes, checker, grid, rings, dots, noise, gradient, plain };

/// A pattern of two colors, its direction, period and phase drawn at random.
class Backdrop {
 public:
  Backdrop(int pattern, double height, Philox& random);

  /// How much of the second color a pixel takes, 0 to 1.
  [[nodiscard]] double at(double x, double y) const;

 private:
  [[nodiscard]] double value_noise(double u, double v) const;

  int pattern_;
  double period_, angle_, phase_x_, phase_y_, height_;
  std::uint64_t key_;
};

}  // namespace mcn
