// The draws of augmentation, and colour operations as one affine map.
#include "data/augment.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>

#include "kernels/error.h"

namespace mcn {
namespace {

using Matrix = std::array<std::array<double, 3>, 3>;

/// y = a x + b + m mean on RGB in [0, 1].
struct ColorMap {
  Matrix a{{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};
  std::array<double, 3> b{0, 0, 0};
  Matrix m{};
};

constexpr std::array<double, 3> luma{0.299, 0.587, 0.114};

constexpr double most_sigma = 2;
static_assert(3 * most_sigma <= AugmentClip::most_radius);

Matrix product(const Matrix& x, const Matrix& y) {
  Matrix result{};
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 3; ++j)
      for (std::size_t k = 0; k < 3; ++k) result[i][j] += x[i][k] * y[k][j];
  return result;
}

/// next, which does not look at the mean, after map.
ColorMap then(const ColorMap& map, const ColorMap& next) {
  ColorMap result{product(next.a, map.a), next.b, product(next.a, map.m)};
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 3; ++j) result.b[i] += next.a[i][j] * map.b[j];
  return result;
}

ColorMap scaling(double factor) {
  ColorMap map;
  for (std::size_t i = 0; i < 3; ++i) map.a[i][i] = factor;
  return map;
}

/// Away from or towards the luma of what map makes of the clip's mean.
ColorMap with_contrast(const ColorMap& map, double factor) {
  ColorMap result = then(map, scaling(factor));
  double b = 0;
  std::array<double, 3> m{};  // luma of map(mean) = m mean + b
  for (std::size_t i = 0; i < 3; ++i) {
    b += luma[i] * map.b[i];
    for (std::size_t j = 0; j < 3; ++j) m[j] += luma[i] * (map.a[i][j] + map.m[i][j]);
  }
  for (std::size_t i = 0; i < 3; ++i) {
    result.b[i] += (1 - factor) * b;
    for (std::size_t j = 0; j < 3; ++j) result.m[i][j] += (1 - factor) * m[j];
  }
  return result;
}

/// Blends with luma: 1 leaves the colour, 0 takes it away.
ColorMap saturation_map(double factor) {
  ColorMap map;
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 3; ++j) map.a[i][j] = (1 - factor) * luma[j] + (i == j ? factor : 0);
  return map;
}

Matrix inverse(const Matrix& m) {
  Matrix result{};
  double determinant = 0;
  for (std::size_t i = 0; i < 3; ++i)
    determinant += m[0][i] * (m[1][(i + 1) % 3] * m[2][(i + 2) % 3] - m[1][(i + 2) % 3] * m[2][(i + 1) % 3]);
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 3; ++j)
      result[j][i] = (m[(i + 1) % 3][(j + 1) % 3] * m[(i + 2) % 3][(j + 2) % 3] -
                      m[(i + 1) % 3][(j + 2) % 3] * m[(i + 2) % 3][(j + 1) % 3]) /
                     determinant;
  return result;
}

/// Turns chroma in NTSC's YIQ; luma and grays stay.
ColorMap hue_map(double turn) {
  constexpr Matrix yiq{{{0.299, 0.587, 0.114}, {0.5959, -0.2746, -0.3213}, {0.2115, -0.5227, 0.3112}}};
  const double c = std::cos(2 * std::numbers::pi * turn);
  const double s = std::sin(2 * std::numbers::pi * turn);
  const Matrix turned = product({{{1, 0, 0}, {0, c, -s}, {0, s, c}}}, yiq);
  return {product(inverse(yiq), turned), {0, 0, 0}, {}};
}

struct Draws {
  double x, y;
  bool flip, jitter, grayscale, blur, shuffle;
  double brightness, contrast, saturation, hue, sigma;
  std::array<std::size_t, 4> order{0, 1, 2, 3};
  std::array<std::size_t, 3> channels{0, 1, 2};
};

Draws draw(const AugmentConfig& config, Philox& random) {
  const auto factor = [&](double range) { return random.uniform(std::max(0.0, 1 - range), 1 + range); };
  Draws d{};
  d.x = random.uniform();
  d.y = random.uniform();
  d.flip = random.chance(config.flip);
  d.jitter = random.chance(config.jitter);
  d.grayscale = random.chance(config.grayscale);
  d.blur = random.chance(config.blur);
  d.shuffle = random.chance(config.channel_shuffle);
  d.brightness = factor(config.brightness);
  d.contrast = factor(config.contrast);
  d.saturation = factor(config.saturation);
  d.hue = random.uniform(-config.hue, config.hue);
  d.sigma = random.uniform(0.1, most_sigma);
  random.shuffle(std::span<std::size_t>(d.order));
  random.shuffle(std::span<std::size_t>(d.channels));
  return d;
}

ColorMap color_map(const Draws& d) {
  ColorMap map;
  if (d.jitter) {
    for (const std::size_t step : d.order) {
      if (step == 0) map = then(map, scaling(d.brightness));
      if (step == 1) map = with_contrast(map, d.contrast);
      if (step == 2) map = then(map, saturation_map(d.saturation));
      if (step == 3) map = then(map, hue_map(d.hue));
    }
  }
  if (d.shuffle) {
    ColorMap permuted;
    for (std::size_t i = 0; i < 3; ++i) {
      permuted.a[i] = map.a[d.channels[i]];
      permuted.b[i] = map.b[d.channels[i]];
      permuted.m[i] = map.m[d.channels[i]];
    }
    map = permuted;
  }
  if (d.grayscale) map = then(map, saturation_map(0));
  return map;
}

// Weights of a Gaussian of that many pixels.
void set_blur(AugmentClip& clip, double sigma) {
  clip.radius = static_cast<int>(std::ceil(3 * sigma));
  const auto height = [&](int k) { return std::exp(-0.5 * k * k / (sigma * sigma)); };
  double total = 0;
  for (int k = -clip.radius; k <= clip.radius; ++k) total += height(k);
  for (int k = 0; k <= clip.radius; ++k) clip.blur[k] = static_cast<float>(height(k) / total);
}

}  // namespace

void check(const AugmentConfig& config) {
  if (config.size < 1 || config.size > config.resize_height || config.size > config.resize_width)
    fail("augment", "a crop of {0} x {0} (size) does not fit into frames of {1} x {2} (resize-height x resize-width)",
         config.size, config.resize_height, config.resize_width);
  for (const double p : {config.flip, config.jitter, config.grayscale, config.blur, config.channel_shuffle})
    if (!(p >= 0 && p <= 1)) fail("augment", "expected a probability in [0, 1], got {}", p);
  for (const double range : {config.brightness, config.contrast, config.saturation})
    if (!(range >= 0 && range <= 10)) fail("augment", "expected a range of jitter in [0, 10], got {}", range);
  if (!(config.hue >= 0 && config.hue <= 0.5)) fail("augment", "expected hue in [0, 0.5], got {}", config.hue);
  for (const float s : config.std)
    if (!(s > 0)) fail("augment", "expected a positive standard deviation, got {}", s);
}

AugmentParams augment_params(const AugmentConfig& config, bool residual) {
  AugmentParams params;
  params.size = config.size;
  params.resize_height = config.resize_height;
  params.resize_width = config.resize_width;
  params.residual = residual;
  for (std::size_t i = 0; i < 3; ++i) {
    params.scale[i] = 1 / config.std[i];
    params.shift[i] = -config.mean[i] / config.std[i];
  }
  return params;
}

AugmentClip random_augmentation(const AugmentConfig& config, Philox random) {
  const Draws d = draw(config, random);
  const auto offset = [](double u, int room) { return static_cast<int>(u * (room + 1)); };
  AugmentClip clip;
  clip.top = offset(d.y, config.resize_height - config.size);
  clip.left = offset(d.x, config.resize_width - config.size);
  clip.flip = d.flip;
  const ColorMap map = color_map(d);
  for (std::size_t i = 0; i < 3; ++i) {
    clip.b[i] = map.b[i];
    for (std::size_t j = 0; j < 3; ++j) {
      clip.a[3 * i + j] = map.a[i][j];
      clip.m[3 * i + j] = map.m[i][j];
    }
  }
  if (d.blur) set_blur(clip, d.sigma);
  return clip;
}

AugmentClip centre_crop(const AugmentConfig& config) {
  AugmentClip clip;
  clip.top = (config.resize_height - config.size) / 2;
  clip.left = (config.resize_width - config.size) / 2;
  return clip;
}

}  // namespace mcn
