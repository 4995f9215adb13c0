// Augmentation on the CPU: two passes over the crop (resample; colour and normalisation), and a third if it is blurred.
#include "data/augment.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <vector>

#include "kernels/error.h"

namespace mcn {
namespace {

constexpr std::size_t z(std::int64_t i) { return static_cast<std::size_t>(i); }

/// y = a x + b on RGB in [0, 1].
struct ColorMap {
  std::array<std::array<double, 3>, 3> a{{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};
  std::array<double, 3> b{0, 0, 0};
};

using Matrix = std::array<std::array<double, 3>, 3>;
using Rgb = std::array<double, 3>;

constexpr Rgb luma{0.299, 0.587, 0.114};

Rgb mapped(const ColorMap& map, const Rgb& x) {
  Rgb y = map.b;
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 3; ++j) y[i] += map.a[i][j] * x[j];
  return y;
}

/// next after map.
ColorMap then(const ColorMap& map, const ColorMap& next) {
  ColorMap result;
  for (std::size_t i = 0; i < 3; ++i) {
    result.b[i] = next.b[i];
    for (std::size_t j = 0; j < 3; ++j) {
      result.b[i] += next.a[i][j] * map.b[j];
      result.a[i][j] = 0;
      for (std::size_t k = 0; k < 3; ++k) result.a[i][j] += next.a[i][k] * map.a[k][j];
    }
  }
  return result;
}

ColorMap scaling(double factor, double offset) {
  ColorMap map;
  for (std::size_t i = 0; i < 3; ++i) {
    map.a[i][i] = factor;
    map.b[i] = offset;
  }
  return map;
}

/// Blends with luma: 1 leaves the colour, 0 takes it away.
ColorMap saturation_map(double factor) {
  ColorMap map;
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 3; ++j) map.a[i][j] = (1 - factor) * luma[j] + (i == j ? factor : 0);
  return map;
}

Matrix product(const Matrix& x, const Matrix& y) {
  Matrix result{};
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 3; ++j)
      for (std::size_t k = 0; k < 3; ++k) result[i][j] += x[i][k] * y[k][j];
  return result;
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
  return {product(inverse(yiq), turned), {0, 0, 0}};
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
  d.sigma = random.uniform(0.1, 2.0);
  random.shuffle(std::span<std::size_t>(d.order));
  random.shuffle(std::span<std::size_t>(d.channels));
  return d;
}

/// mean: the clip's mean colour, about whose luma contrast works.
ColorMap color_map(const Draws& d, const Rgb& mean) {
  ColorMap map;
  if (d.jitter) {
    for (const std::size_t step : d.order) {
      if (step == 0) map = then(map, scaling(d.brightness, 0));
      if (step == 1) {
        const Rgb now = mapped(map, mean);
        const double gray = std::inner_product(now.begin(), now.end(), luma.begin(), 0.0);
        map = then(map, scaling(d.contrast, (1 - d.contrast) * gray));
      }
      if (step == 2) map = then(map, saturation_map(d.saturation));
      if (step == 3) map = then(map, hue_map(d.hue));
    }
  }
  if (d.shuffle) {
    ColorMap permuted;
    for (std::size_t i = 0; i < 3; ++i) {
      permuted.a[i] = map.a[d.channels[i]];
      permuted.b[i] = map.b[d.channels[i]];
    }
    map = permuted;
  }
  if (d.grayscale) map = then(map, saturation_map(0));
  return map;
}

/// Weights of one axis of the resize, for the output pixels of the crop only.
struct Taps {
  std::vector<std::int64_t> first;  // an output pixel's first input pixel
  std::vector<float> weights;       // width of them an output pixel, zero-padded
  std::int64_t width = 1;

  Taps(std::int64_t input, std::int64_t output, std::int64_t begin, std::int64_t count) {
    const double scale = static_cast<double>(input) / static_cast<double>(output);
    const double support = std::max(1.0, scale);
    width = std::min(input, static_cast<std::int64_t>(std::ceil(2 * support)) + 1);
    weights.assign(z(count * width), 0);
    for (std::int64_t i = 0; i < count; ++i) {
      const double centre = (static_cast<double>(begin + i) + 0.5) * scale;
      const auto low = static_cast<std::int64_t>(std::floor(centre - support + 0.5));
      const std::int64_t from = std::clamp<std::int64_t>(low, 0, input - width);
      first.push_back(from);
      double total = 0;
      std::vector<double> w(z(width));
      for (std::int64_t k = 0; k < width; ++k) {
        w[z(k)] = std::max(0.0, 1 - std::abs(static_cast<double>(from + k) + 0.5 - centre) / support);
        total += w[z(k)];
      }
      for (std::int64_t k = 0; k < width; ++k) weights[z(i * width + k)] = static_cast<float>(w[z(k)] / total);
    }
  }
};

/// Writes the crop of the resized frames, 0 to 255.
void crop(const Frames& clip, const AugmentConfig& config, std::int64_t top, std::int64_t left, float* out) {
  const std::int64_t size = config.size;
  const std::int64_t row = std::int64_t{clip.width} * 3;
  const bool resized = clip.height != config.resize_height || clip.width != config.resize_width;
  if (!resized) {
    for (std::int64_t f = 0; f < clip.count; ++f) {
      const std::uint8_t* frame = clip.frame(f).data();
      for (std::int64_t y = 0; y < size; ++y) {
        const std::uint8_t* in = frame + (top + y) * row + left * 3;
        for (std::int64_t x = 0; x < size * 3; ++x) *out++ = in[x];
      }
    }
    return;
  }
  const Taps rows(clip.height, config.resize_height, top, size);
  const Taps columns(clip.width, config.resize_width, left, size);
  const std::int64_t begin = columns.first.front();
  const std::int64_t width = (columns.first.back() + columns.width - begin) * 3;
  std::vector<float> line(z(width));
  for (std::int64_t f = 0; f < clip.count; ++f) {
    const std::uint8_t* frame = clip.frame(f).data();
    for (std::int64_t y = 0; y < size; ++y) {
      std::ranges::fill(line, 0.0F);
      for (std::int64_t k = 0; k < rows.width; ++k) {
        const float w = rows.weights[z(y * rows.width + k)];
        if (w == 0) continue;
        const std::uint8_t* in = frame + (rows.first[z(y)] + k) * row + begin * 3;
        for (std::int64_t x = 0; x < width; ++x) line[z(x)] += w * static_cast<float>(in[x]);
      }
      for (std::int64_t x = 0; x < size; ++x, out += 3) {
        const float* in = line.data() + (columns.first[z(x)] - begin) * 3;
        const float* w = columns.weights.data() + x * columns.width;
        float r = 0, g = 0, b = 0;
        for (std::int64_t k = 0; k < columns.width; ++k) {
          r += w[k] * in[3 * k];
          g += w[k] * in[3 * k + 1];
          b += w[k] * in[3 * k + 2];
        }
        out[0] = r;
        out[1] = g;
        out[2] = b;
      }
    }
  }
}

Rgb mean_of(const float* pixels, std::int64_t count) {
  Rgb sum{0, 0, 0};
  for (std::int64_t i = 0; i < count; ++i)
    for (std::size_t c = 0; c < 3; ++c) sum[c] += static_cast<double>(pixels[3 * i + static_cast<std::int64_t>(c)]);
  for (double& s : sum) s /= 255.0 * static_cast<double>(count);
  return sum;
}

/// 0..255 to the map's colour, clamped to [0, 1], normalised; in place.
void recolor(const ColorMap& map, const AugmentConfig& config, float* pixels, std::int64_t count) {
  std::array<float, 9> a{};
  std::array<float, 3> b{}, scale{}, shift{};
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 3; ++j) a[3 * i + j] = static_cast<float>(map.a[i][j] / 255.0);
    b[i] = static_cast<float>(map.b[i]);
    scale[i] = 1 / config.std[i];
    shift[i] = -config.mean[i] / config.std[i];
  }
  const auto unit = [](float v) { return std::min(1.0F, std::max(0.0F, v)); };
  for (std::int64_t i = 0; i < count; ++i, pixels += 3) {
    const float r = pixels[0], g = pixels[1], bl = pixels[2];
    pixels[0] = unit(a[0] * r + a[1] * g + a[2] * bl + b[0]) * scale[0] + shift[0];
    pixels[1] = unit(a[3] * r + a[4] * g + a[5] * bl + b[1]) * scale[1] + shift[1];
    pixels[2] = unit(a[6] * r + a[7] * g + a[8] * bl + b[2]) * scale[2] + shift[2];
  }
}

/// Mirrored at the border without repeating it, as often as a wide kernel on a small picture needs.
std::int64_t mirrored(std::int64_t i, std::int64_t size) {
  if (size == 1) return 0;
  const std::int64_t period = 2 * (size - 1);
  i = ((i % period) + period) % period;
  return i < size ? i : period - i;
}

void blur(double sigma, std::int64_t frames, std::int64_t size, float* pixels) {
  const auto radius = static_cast<std::int64_t>(std::ceil(3 * sigma));
  std::vector<float> kernel(z(2 * radius + 1));
  double total = 0;
  for (std::int64_t i = -radius; i <= radius; ++i)
    total += std::exp(-0.5 * static_cast<double>(i * i) / (sigma * sigma));
  for (std::int64_t i = -radius; i <= radius; ++i)
    kernel[z(i + radius)] = static_cast<float>(std::exp(-0.5 * static_cast<double>(i * i) / (sigma * sigma)) / total);

  const std::int64_t row = size * 3;
  std::vector<float> padded(z((size + 2 * radius) * 3)), across(z(size * row));
  for (std::int64_t f = 0; f < frames; ++f, pixels += size * row) {
    for (std::int64_t y = 0; y < size; ++y) {
      for (std::int64_t x = -radius; x < size + radius; ++x)
        for (std::int64_t c = 0; c < 3; ++c)
          padded[z((x + radius) * 3 + c)] = pixels[y * row + mirrored(x, size) * 3 + c];
      float* to = across.data() + y * row;
      std::fill(to, to + row, 0.0F);
      for (std::int64_t k = 0; k <= 2 * radius; ++k) {
        const float* from = padded.data() + k * 3;
        const float w = kernel[z(k)];
        for (std::int64_t x = 0; x < row; ++x) to[x] += w * from[x];
      }
    }
    for (std::int64_t y = 0; y < size; ++y) {
      float* to = pixels + y * row;
      std::fill(to, to + row, 0.0F);
      for (std::int64_t k = -radius; k <= radius; ++k) {
        const float* from = across.data() + mirrored(y + k, size) * row;
        const float w = kernel[z(k + radius)];
        for (std::int64_t x = 0; x < row; ++x) to[x] += w * from[x];
      }
    }
  }
}

void mirror_rows(std::int64_t rows, std::int64_t size, float* pixels) {
  for (std::int64_t y = 0; y < rows; ++y, pixels += size * 3)
    for (std::int64_t x = 0; x < size / 2; ++x)
      std::swap_ranges(pixels + x * 3, pixels + x * 3 + 3, pixels + (size - 1 - x) * 3);
}

void check_clip(const Frames& clip, const AugmentConfig& config, std::span<float> out) {
  check(config);
  if (clip.count < 1 || clip.height < 1 || clip.width < 1 || clip.rgb.size() != z(clip.count) * clip.frame_bytes())
    fail("augment", "a clip of {} frames of {} x {} pixels has {} bytes", clip.count, clip.height, clip.width,
         clip.rgb.size());
  if (out.size() != clip_floats(clip.count, config))
    fail("augment", "expected room for {} floats, got {}", clip_floats(clip.count, config), out.size());
}

}  // namespace

void check(const AugmentConfig& config) {
  if (config.size < 1 || config.size > config.resize_height || config.size > config.resize_width)
    fail("augment", "a crop of {0} x {0} does not fit into frames of {1} x {2}", config.size, config.resize_height,
         config.resize_width);
  for (const double p : {config.flip, config.jitter, config.grayscale, config.blur, config.channel_shuffle})
    if (!(p >= 0 && p <= 1)) fail("augment", "expected a probability in [0, 1], got {}", p);
  for (const double range : {config.brightness, config.contrast, config.saturation})
    if (!(range >= 0 && range <= 10)) fail("augment", "expected a range of jitter in [0, 10], got {}", range);
  if (!(config.hue >= 0 && config.hue <= 0.5)) fail("augment", "expected hue in [0, 0.5], got {}", config.hue);
  for (const float s : config.std)
    if (!(s > 0)) fail("augment", "expected a positive standard deviation, got {}", s);
}

std::size_t clip_floats(std::int64_t frames, const AugmentConfig& config) {
  return z(frames * config.size * config.size * 3);
}

void augment_clip(const Frames& clip, const AugmentConfig& config, Philox random, std::span<float> out) {
  check_clip(clip, config, out);
  const Draws d = draw(config, random);
  const auto offset = [](double u, int room) { return static_cast<std::int64_t>(u * (room + 1)); };
  crop(clip, config, offset(d.y, config.resize_height - config.size), offset(d.x, config.resize_width - config.size),
       out.data());
  const std::int64_t pixels = clip.count * config.size * config.size;
  recolor(color_map(d, mean_of(out.data(), pixels)), config, out.data(), pixels);
  // Linear and weights of sum 1, so it may as well come after the normalisation.
  if (d.blur) blur(d.sigma, clip.count, config.size, out.data());
  if (d.flip) mirror_rows(clip.count * config.size, config.size, out.data());
}

void centre_clip(const Frames& clip, const AugmentConfig& config, std::span<float> out) {
  check_clip(clip, config, out);
  crop(clip, config, (config.resize_height - config.size) / 2, (config.resize_width - config.size) / 2, out.data());
  recolor({}, config, out.data(), clip.count * config.size * config.size);
}

}  // namespace mcn
