#include "data/synth/backdrop.h"

#include <cmath>
#include <numbers>

namespace mcn {
namespace {

constexpr double pi = std::numbers::pi;

double lattice(std::uint64_t key, std::int64_t x, std::int64_t y) {
  return static_cast<double>(hash_stream(key, x, y) >> 11) * 0x1.0p-53;
}

}  // namespace

Color random_color(Philox& random) {
  return {static_cast<float>(random.uniform(0, 255)), static_cast<float>(random.uniform(0, 255)),
          static_cast<float>(random.uniform(0, 255))};
}

double luma_of(const Color& c) { return 0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2]; }

Color contrasting(Philox& random, const Color& other, double least) {
  for (int tries = 0; tries < 200; ++tries) {
    const Color c = random_color(random);
    if (std::abs(luma_of(c) - luma_of(other)) >= least) return c;
  }
  const float v = luma_of(other) < 128 ? 255.0F : 0.0F;
  return {v, v, v};
}

Backdrop::Backdrop(int pattern, double height, Philox& random)
    : pattern_(pattern),
      period_(height * std::exp(random.uniform(std::log(0.11), std::log(0.34)))),
      angle_(random.uniform(0, 2 * pi)),
      phase_x_(random.uniform(0, 100)),
      phase_y_(random.uniform(0, 100)),
      height_(height),
      key_(random()) {}

double Backdrop::at(double x, double y) const {
  const double u = (x * std::cos(angle_) + y * std::sin(angle_)) / period_ + phase_x_;
  const double v = (y * std::cos(angle_) - x * std::sin(angle_)) / period_ + phase_y_;
  // Sharp but for about a pixel.
  const auto sharp = [this](double wave) { return std::clamp(0.5 + wave * period_ / pi / 2, 0.0, 1.0); };
  switch (pattern_) {
    case stripes:
      return sharp(std::sin(2 * pi * u));
    case checker:
      return sharp(std::sin(pi * u) * std::sin(pi * v) * 2);
    case dots: {
      const double du = u - std::floor(u) - 0.5, dv = v - std::floor(v) - 0.5;
      return coverage((std::hypot(du, dv) - 0.28) * period_);
    }
    case rings:
      return sharp(std::sin(2 * pi * std::hypot(x / period_ - phase_x_ / 25, y / period_ - phase_y_ / 25)));
    case noise:
      return std::clamp(value_noise(u, v) * 2 - 0.5, 0.0, 1.0);
    case gradient:
      return std::clamp(0.5 + (u - phase_x_) * period_ / (1.6 * height_), 0.0, 1.0);
    case grid: {
      const double du = std::abs(u - std::floor(u) - 0.5), dv = std::abs(v - std::floor(v) - 0.5);
      return coverage((0.38 - std::max(du, dv)) * period_);
    }
    default:
      return 0;
  }
}

double Backdrop::value_noise(double u, double v) const {
  const double fu = std::floor(u), fv = std::floor(v);
  const auto x = static_cast<std::int64_t>(fu), y = static_cast<std::int64_t>(fv);
  const auto smooth = [](double t) { return t * t * (3 - 2 * t); };
  const double a = smooth(u - fu), b = smooth(v - fv);
  return std::lerp(std::lerp(lattice(key_, x, y), lattice(key_, x + 1, y), a),
                   std::lerp(lattice(key_, x, y + 1), lattice(key_, x + 1, y + 1), a), b);
}

}  // namespace mcn
