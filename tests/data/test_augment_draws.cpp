// The draws of augmentation by their distribution. Before the one clamping every part of color jitter is linear and
// keeps grays gray, so that the parts commute, and what was drawn can be read from a clip's color map:
//   a x + m mean,  a = f c (s H + (1 - s) 1 l^T),  m = f (1 - c) 1 l^T
// with factors f of brightness, c of contrast and s of saturation, the luma l, and H, which turns chroma (I, Q) of
// NTSC's YIQ by 2 pi h and keeps luma.
#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <numbers>
#include <vector>

#include "data/augment.h"
#include "tests/catch.h"

namespace mcn {
namespace {

constexpr std::array<double, 3> luma{0.299, 0.587, 0.114};
constexpr std::array<double, 3> in_phase{0.5959, -0.2746, -0.3213}, quadrature{0.2115, -0.5227, 0.3112};

AugmentConfig nothing() {
  AugmentConfig c;
  c.size = 10;
  c.resize_height = 15;
  c.resize_width = 19;
  c.flip = c.jitter = c.grayscale = c.blur = c.channel_shuffle = 0;
  return c;
}

struct Factors {
  double brightness, contrast, saturation, hue;
};

double dot(const std::array<double, 3>& a, const std::array<double, 3>& b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

std::array<double, 3> times(const double* a, const std::array<double, 3>& x) {
  return {a[0] * x[0] + a[1] * x[1] + a[2] * x[2], a[3] * x[0] + a[4] * x[1] + a[5] * x[2],
          a[6] * x[0] + a[7] * x[1] + a[8] * x[2]};
}

// A color of luma 0 with the given chroma: the solution of luma x = 0, in_phase x = i, quadrature x = q.
std::array<double, 3> of_chroma(double i, double q) {
  const auto cross = [](const std::array<double, 3>& a, const std::array<double, 3>& b) -> std::array<double, 3> {
    return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
  };
  const double determinant = dot(luma, cross(in_phase, quadrature));
  const auto of_i = cross(quadrature, luma), of_q = cross(luma, in_phase);
  std::array<double, 3> x{};
  for (std::size_t k = 0; k < 3; ++k) x[k] = (i * of_i[k] + q * of_q[k]) / determinant;
  return x;
}

// What was drawn for a color map; the map must be what these factors make.
Factors factors_of(const AugmentClip& clip) {
  const std::array<double, 3> gray = times(clip.a, {1, 1, 1}), of_mean = times(clip.m, {1, 1, 1});
  Factors f{};
  f.brightness = gray[0] + of_mean[0];
  f.contrast = gray[0] / f.brightness;
  const std::array<double, 3> turned = times(clip.a, of_chroma(1, 0));
  const double i = dot(in_phase, turned) / gray[0], q = dot(quadrature, turned) / gray[0];
  f.saturation = std::hypot(i, q);
  f.hue = std::atan2(q, i) / (2 * std::numbers::pi);

  const double c = std::cos(2 * std::numbers::pi * f.hue), s = std::sin(2 * std::numbers::pi * f.hue);
  double worst = 0;
  for (std::size_t k = 0; k < 3; ++k) {
    std::array<double, 3> unit{};
    unit[k] = 1;
    const double y = dot(luma, unit), in = dot(in_phase, unit), qu = dot(quadrature, unit);
    const std::array<double, 3> chroma = of_chroma(c * in - s * qu, s * in + c * qu);
    for (std::size_t row = 0; row < 3; ++row) {
      const double a = f.brightness * f.contrast * (y + f.saturation * chroma[row]);
      const double m = f.brightness * (1 - f.contrast) * luma[k];
      worst = std::max({worst, std::abs(clip.a[3 * row + k] - a), std::abs(clip.m[3 * row + k] - m)});
    }
  }
  for (const double b : clip.b) worst = std::max(worst, std::abs(b));
  CHECK(worst <= 1e-12);
  return f;
}

// Are these uniform on [low, high]? By mean, variance, both ends, and the share of each tenth; four standard errors
// each.
void check_uniform(const std::vector<double>& values, double low, double high) {
  const auto n = static_cast<double>(values.size());
  double mean = 0;
  std::array<double, 10> tenths{};
  for (const double v : values) {
    const double u = (v - low) / (high - low);
    REQUIRE(u >= -1e-9);
    REQUIRE(u <= 1 + 1e-9);
    mean += u / n;
    tenths[static_cast<std::size_t>(std::clamp(10 * u, 0.0, 9.0))] += 1 / n;
  }
  CHECK(std::abs(mean - 0.5) <= 4 / std::sqrt(12 * n));
  for (const double share : tenths) CHECK(std::abs(share - 0.1) <= 4 * std::sqrt(0.09 / n));
}

double correlation(const std::vector<double>& a, const std::vector<double>& b) {
  const auto n = static_cast<double>(a.size());
  double ma = 0, mb = 0, aa = 0, bb = 0, ab = 0;
  for (std::size_t i = 0; i < a.size(); ++i) ma += a[i] / n, mb += b[i] / n;
  for (std::size_t i = 0; i < a.size(); ++i) {
    aa += (a[i] - ma) * (a[i] - ma);
    bb += (b[i] - mb) * (b[i] - mb);
    ab += (a[i] - ma) * (b[i] - mb);
  }
  return ab / std::sqrt(aa * bb);
}

constexpr std::uint64_t draws = 4000;

}  // namespace

TEST_CASE("color jitter draws each factor uniformly, hue to both sides, and each apart from the others", "[augment]") {
  AugmentConfig c = nothing();
  c.jitter = 1;
  c.brightness = 0.2;
  c.contrast = 0.3;
  c.saturation = 0.4;
  c.hue = 0.1;
  std::array<std::vector<double>, 4> found;
  for (std::uint64_t i = 0; i < draws; ++i) {
    const Factors f = factors_of(random_augmentation(c, Philox(1, i)));
    found[0].push_back(f.brightness);
    found[1].push_back(f.contrast);
    found[2].push_back(f.saturation);
    found[3].push_back(f.hue);
  }
  check_uniform(found[0], 0.8, 1.2);
  check_uniform(found[1], 0.7, 1.3);
  check_uniform(found[2], 0.6, 1.4);
  check_uniform(found[3], -0.1, 0.1);
  for (std::size_t i = 0; i < 4; ++i)
    for (std::size_t j = 0; j < i; ++j)
      CHECK(std::abs(correlation(found[i], found[j])) <= 4 / std::sqrt(double{draws}));
}

TEST_CASE("a factor of color jitter is not below 0, however wide its range", "[augment]") {
  AugmentConfig c = nothing();
  c.jitter = 1;
  c.contrast = c.saturation = c.hue = 0;
  c.brightness = 3;
  std::vector<double> found;
  for (std::uint64_t i = 0; i < draws; ++i) found.push_back(random_augmentation(c, Philox(1, i)).a[0]);
  check_uniform(found, 0, 4);
}

TEST_CASE("every choice of augmentation comes with its probability, whatever the others are", "[augment]") {
  const auto share = [](const AugmentConfig& c, const std::function<bool(const AugmentClip&)>& chosen) {
    double count = 0;
    for (std::uint64_t i = 0; i < draws; ++i) count += chosen(random_augmentation(c, Philox(2, i))) ? 1 : 0;
    return count / double{draws};
  };
  const auto near = [](double found, double p) {
    return std::abs(found - p) <= 4 * std::sqrt(p * (1 - p) / double{draws});
  };
  AugmentConfig c = nothing();
  c.flip = 0.3;
  c.jitter = 0.8;
  c.grayscale = 0.2;
  c.blur = 0.45;
  CHECK(near(share(c, [](const AugmentClip& clip) { return clip.flip; }), 0.3));
  CHECK(near(share(c, [](const AugmentClip& clip) { return clip.radius > 0; }), 0.45));
  // Gray: all rows of the map are one.
  CHECK(near(share(c, [](const AugmentClip& clip) { return std::abs(clip.a[0] - clip.a[3]) < 1e-9; }), 0.2));
  // Without jitter a map that is not gray is the identity.
  c.grayscale = 0;
  CHECK(near(share(c, [](const AugmentClip& clip) { return clip.a[1] != 0; }), 0.8));
  // Every order of the channels, the given one too, a sixth of the shuffles.
  c.jitter = 0;
  c.channel_shuffle = 0.6;
  for (const std::array<int, 3>& order : {std::array{0, 1, 2}, std::array{0, 2, 1}, std::array{1, 0, 2},
                                          std::array{1, 2, 0}, std::array{2, 0, 1}, std::array{2, 1, 0}}) {
    const double p = order == std::array{0, 1, 2} ? 0.4 + 0.1 : 0.1;
    CHECK(near(share(c,
                     [&](const AugmentClip& clip) {
                       for (int row = 0; row < 3; ++row)
                         if (clip.a[3 * row + order[static_cast<std::size_t>(row)]] != 1) return false;
                       return true;
                     }),
               p));
  }
}

TEST_CASE("shuffled channels keep their jitter: the map's rows change places", "[augment]") {
  AugmentConfig c = nothing();
  c.jitter = 1;
  AugmentConfig shuffled = c;
  shuffled.channel_shuffle = 1;
  int moved = 0;
  for (std::uint64_t i = 0; i < 100; ++i) {
    const AugmentClip a = random_augmentation(c, Philox(3, i)), b = random_augmentation(shuffled, Philox(3, i));
    int matched = 0;
    for (int row = 0; row < 3; ++row)
      for (int from = 0; from < 3; ++from) {
        const bool same = std::equal(b.a + 3 * row, b.a + 3 * row + 3, a.a + 3 * from) &&
                          std::equal(b.m + 3 * row, b.m + 3 * row + 3, a.m + 3 * from) && b.b[row] == a.b[from];
        matched += same ? 1 : 0;
        moved += same && from != row ? 1 : 0;
      }
    CHECK(matched == 3);
  }
  CHECK(moved > 100);  // of 300 rows two thirds
}

TEST_CASE("crops are uniform in both directions and apart, a blur's deviation is uniform from .1 to 2", "[augment]") {
  AugmentConfig c = nothing();
  c.blur = 1;
  std::vector<double> top, left, sigma;
  std::array<int, 6> rows{};
  std::array<int, 10> columns{};
  for (std::uint64_t i = 0; i < draws; ++i) {
    const AugmentClip clip = random_augmentation(c, Philox(4, i));
    ++rows.at(static_cast<std::size_t>(clip.top));
    ++columns.at(static_cast<std::size_t>(clip.left));
    top.push_back(clip.top);
    left.push_back(clip.left);
    // exp(-1 / (2 sigma^2)) is the weight beside the middle one's, by the middle one's.
    sigma.push_back(std::sqrt(-0.5 / std::log(static_cast<double>(clip.blur[1]) / static_cast<double>(clip.blur[0]))));
  }
  for (const int count : rows)
    CHECK(std::abs(count / double{draws} - 1.0 / 6) <= 4 * std::sqrt(5.0 / 36 / double{draws}));
  for (const int count : columns) CHECK(std::abs(count / double{draws} - 0.1) <= 4 * std::sqrt(0.09 / double{draws}));
  CHECK(std::abs(correlation(top, left)) <= 4 / std::sqrt(double{draws}));
  CHECK(std::abs(correlation(top, sigma)) <= 4 / std::sqrt(double{draws}));
  // Below a deviation of .2 the weight beside the middle is too small for a float to tell it.
  std::erase_if(sigma, [](double s) { return !(s >= 0.2); });
  CHECK(std::abs(static_cast<double>(sigma.size()) / double{draws} - 1.8 / 1.9) <= 4 * std::sqrt(0.05 / double{draws}));
  check_uniform(sigma, 0.2, 2);
}

}  // namespace mcn
