// Augmentation, a clip at a time on each thread: resample the crop, take its mean, then colour, blur and flip in place.
#include <algorithm>
#include <vector>

#include "kernels/augment_math.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"

namespace mcn::cpu {
namespace {

using augment::Rgb;

/// Weights of one axis of the resize, for the output pixels of the crop only.
struct AxisWeights {
  int width = 1;
  std::vector<int> first;      // an output pixel's first input pixel
  std::vector<float> weights;  // `width` of them an output pixel

  AxisWeights(int input, int output, int begin, int count) {
    for (int i = 0; i < count; ++i) {
      const augment::Taps taps(input, output, begin + i);
      width = taps.width;
      first.push_back(taps.first);
      for (int k = 0; k < width; ++k) weights.push_back(taps.weight(k));
    }
  }
};

struct Frames {
  const std::uint8_t* data;
  std::int64_t count;
  int height, width;

  [[nodiscard]] const std::uint8_t* frame(std::int64_t f) const {
    return data + f * std::int64_t{height} * std::int64_t{width} * 3;
  }
};

// Writes the crop, 0 to 255. line: room for a row of the frame.
void crop(const AugmentParams& p, const AugmentClip& clip, const Frames& in, float* line, float* out) {
  const std::int64_t row = std::int64_t{in.width} * 3;
  if (in.height == p.resize_height && in.width == p.resize_width) {
    for (std::int64_t f = 0; f < in.count; ++f)
      for (std::int64_t y = 0; y < p.size; ++y) {
        const std::uint8_t* from = in.frame(f) + (clip.top + y) * row + std::int64_t{clip.left} * 3;
        for (std::int64_t x = 0; x < std::int64_t{p.size} * 3; ++x) *out++ = static_cast<float>(from[x]);
      }
    return;
  }
  const AxisWeights rows(in.height, p.resize_height, clip.top, p.size);
  const AxisWeights columns(in.width, p.resize_width, clip.left, p.size);
  const std::int64_t begin = columns.first.front();
  const std::int64_t width = (columns.first.back() + columns.width - begin) * 3;
  for (std::int64_t f = 0; f < in.count; ++f)
    for (int y = 0; y < p.size; ++y) {
      std::fill(line, line + width, 0.0F);
      for (int k = 0; k < rows.width; ++k) {
        const float w = rows.weights[static_cast<std::size_t>(std::int64_t{y} * rows.width + k)];
        const std::uint8_t* from = in.frame(f) + (rows.first[static_cast<std::size_t>(y)] + k) * row + begin * 3;
        for (std::int64_t x = 0; x < width; ++x) line[x] += w * static_cast<float>(from[x]);
      }
      for (int x = 0; x < p.size; ++x, out += 3) {
        const float* from = line + (columns.first[static_cast<std::size_t>(x)] - begin) * 3;
        Rgb sum{0, 0, 0};
        for (int k = 0; k < columns.width; ++k) {
          const float w = columns.weights[static_cast<std::size_t>(std::int64_t{x} * columns.width + k)];
          sum.r += w * from[3 * k];
          sum.g += w * from[3 * k + 1];
          sum.b += w * from[3 * k + 2];
        }
        out[0] = sum.r;
        out[1] = sum.g;
        out[2] = sum.b;
      }
    }
}

void recolor(const AugmentParams& p, const AugmentClip& clip, float* pixels, std::int64_t count) {
  std::int64_t sum[3] = {};
  // Without contrast the mean counts for nothing.
  if (std::ranges::any_of(clip.m, [](double m) { return m != 0; }))
    for (std::int64_t i = 0; i < count; ++i)
      for (int c = 0; c < 3; ++c) sum[c] += augment::fixed_point(pixels[3 * i + c]);
  double mean[3];
  for (int c = 0; c < 3; ++c) mean[c] = augment::mean_of(sum[c], count);
  const augment::Color color = augment::color_of(clip, mean);
  for (std::int64_t i = 0; i < count; ++i, pixels += 3) {
    const Rgb v = augment::recolored(color, p, {pixels[0], pixels[1], pixels[2]});
    pixels[0] = v.r;
    pixels[1] = v.g;
    pixels[2] = v.b;
  }
}

// padded: room for a row with its mirrored ends; across: for a picture.
void blur(const AugmentClip& clip, std::int64_t frames, int size, float* padded, float* across, float* pixels) {
  const int radius = clip.radius;
  const std::int64_t row = std::int64_t{size} * 3;
  const auto weight = [&](int k) { return clip.blur[k < 0 ? -k : k]; };
  for (std::int64_t f = 0; f < frames; ++f, pixels += size * row) {
    for (int y = 0; y < size; ++y) {
      for (int x = -radius; x < size + radius; ++x)
        for (int c = 0; c < 3; ++c) padded[(x + radius) * 3 + c] = pixels[y * row + augment::mirrored(x, size) * 3 + c];
      float* to = across + y * row;
      std::fill(to, to + row, 0.0F);
      for (int k = -radius; k <= radius; ++k) {
        const float* from = padded + (k + radius) * 3;
        const float w = weight(k);
        for (std::int64_t x = 0; x < row; ++x) to[x] += w * from[x];
      }
    }
    for (int y = 0; y < size; ++y) {
      float* to = pixels + y * row;
      std::fill(to, to + row, 0.0F);
      for (int k = -radius; k <= radius; ++k) {
        const float* from = across + augment::mirrored(y + k, size) * row;
        const float w = weight(k);
        for (std::int64_t x = 0; x < row; ++x) to[x] += w * from[x];
      }
    }
  }
}

void mirror_rows(std::int64_t rows, int size, float* pixels) {
  for (std::int64_t y = 0; y < rows; ++y, pixels += std::int64_t{size} * 3)
    for (int x = 0; x < size / 2; ++x)
      std::swap_ranges(pixels + x * 3, pixels + x * 3 + 3, pixels + (size - 1 - x) * 3);
}

}  // namespace

template <>
void CpuBackend::compute(const kernel::Augment& k) {
  if (k.clips.empty()) return;
  const std::int64_t depth = k.frames.shape[1];
  const auto height = static_cast<int>(k.frames.shape[2]), width = static_cast<int>(k.frames.shape[3]);
  const std::int64_t picture = std::int64_t{k.params.size} * k.params.size * 3;
  const std::int64_t line = 3 * std::max<std::int64_t>(width, k.params.size + 2 * AugmentClip::most_radius);
  const std::int64_t room = depth * picture + picture + line;
  const Scratch<float> scratch(allocator_, slot_count() * room);
  dispatch_float(k.y.dtype, [&]<class T>(T) {
    parallel_slots(static_cast<std::int64_t>(k.clips.size()), [&](std::int64_t n, std::int64_t slot) {
      const AugmentClip& clip = k.clips[static_cast<std::size_t>(n)];
      float* const pixels = scratch.get() + slot * room;
      float* const across = pixels + depth * picture;
      const Frames in{k.frames.as<std::uint8_t>() + n * depth * height * width * 3, depth, height, width};
      crop(k.params, clip, in, across + picture, pixels);
      recolor(k.params, clip, pixels, depth * k.params.size * k.params.size);
      if (clip.radius > 0) blur(clip, depth, k.params.size, across + picture, across, pixels);
      if (clip.flip) mirror_rows(depth * k.params.size, k.params.size, pixels);
      const std::int64_t step = k.params.residual ? 2 : 1;
      T* out = k.y.as<T>() + n * (depth / step) * picture;
      for (std::int64_t d = 0; d < depth / step; ++d) {
        const float* now = pixels + (step * d + step - 1) * picture;
        const float* before = pixels + step * d * picture;
        for (std::int64_t i = 0; i < picture; ++i)
          *out++ = static_cast<T>(k.params.residual ? now[i] - before[i] : now[i]);
      }
    });
  });
}

}  // namespace mcn::cpu
