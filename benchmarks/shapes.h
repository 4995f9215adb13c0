// The layer shapes of R(2+1)D-18, for benchmarks at their real size and for tests scaled down: one table for both.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "kernels/conv.h"
#include "kernels/elementwise.h"

namespace mcn::shapes {

/// A convolution; count is how often it occurs in the network.
struct ConvCase {
  std::string name;
  Shape x, w;
  Conv3dParams params;
  int count = 1;

  [[nodiscard]] Shape y() const {
    Shape out{x.n()};
    for (int a = 1; a <= 3; ++a) {
      const auto i = static_cast<std::size_t>(a - 1);
      out.append((x[a] + 2 * params.padding[i] - w[a]) / params.stride[i] + 1);
    }
    out.append(w.o());
    return out;
  }
  /// Floating-point operations of fprop, dgrad or wgrad, padding counted as if it were data.
  [[nodiscard]] double flops() const {
    return 2.0 * static_cast<double>(y().numel()) * static_cast<double>(w.numel() / w.o());
  }
};

/// A batch normalisation of rows x channels with ReLU, and with a residual where it ends a block.
struct NormCase {
  std::string name;
  std::int64_t rows, channels;
  bool relu, residual;
  int count = 1;
};

/// A matrix product op(a) op(b), op(a): m x k, op(b): k x n.
struct GemmCase {
  std::string name;
  Transpose transpose_a, transpose_b;
  std::int64_t m, n, k;

  [[nodiscard]] Shape a() const { return transpose_a == Transpose::yes ? Shape{k, m} : Shape{m, k}; }
  [[nodiscard]] Shape b() const { return transpose_b == Transpose::yes ? Shape{n, k} : Shape{k, n}; }
  [[nodiscard]] Shape c() const { return {m, n}; }
  [[nodiscard]] double flops() const {
    return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  }
};

/// Every distinct convolution of R(2+1)D with `blocks` blocks a stage; midplanes as in torchvision.
/// width multiplies the channels of every stage and of the stem, as the models' own option does.
inline std::vector<ConvCase> r2plus1d_convs(std::int64_t batch, std::int64_t frames, std::int64_t size, double width,
                                            int blocks) {
  const auto scaled = [width](std::int64_t channels) {
    return std::max<std::int64_t>(1, std::llround(static_cast<double>(channels) * width));
  };
  std::vector<ConvCase> cases;
  const auto add = [&](const std::string& name, const Shape& x, std::int64_t out, std::array<std::int64_t, 3> kernel,
                       std::array<std::int64_t, 3> stride, std::array<std::int64_t, 3> padding, int count) {
    cases.push_back({name, x, {out, kernel[0], kernel[1], kernel[2], x.c()}, {stride, padding}, count});
    return cases.back().y();
  };
  const auto spatial = [&](const std::string& name, const Shape& x, std::int64_t out, std::int64_t stride, int count) {
    return add(name + ".spatial", x, out, {1, 3, 3}, {1, stride, stride}, {0, 1, 1}, count);
  };
  const auto temporal = [&](const std::string& name, const Shape& x, std::int64_t out, std::int64_t stride, int count) {
    return add(name + ".temporal", x, out, {3, 1, 1}, {stride, 1, 1}, {1, 0, 0}, count);
  };
  Shape x = add("stem.spatial", {batch, frames, size, size, 3}, scaled(45), {1, 7, 7}, {1, 2, 2}, {0, 3, 3}, 1);
  x = temporal("stem", x, scaled(64), 1, 1);
  const std::int64_t base = x.c();
  const std::int64_t base_mid = base * base * 27 / (base * 9 + 3 * base);
  x = temporal("layer1", spatial("layer1", x, base_mid, 1, 2 * blocks), base, 1, 2 * blocks);
  for (int stage = 2; stage <= 4; ++stage) {
    const std::int64_t in = x.c();
    const std::int64_t out = scaled(std::int64_t{64} << (stage - 1));
    const std::int64_t first_mid = in * out * 27 / (in * 9 + 3 * out);
    const std::int64_t mid = out * out * 27 / (out * 9 + 3 * out);
    const std::string name = "layer" + std::to_string(stage);
    add(name + ".downsample", x, out, {1, 1, 1}, {2, 2, 2}, {0, 0, 0}, 1);
    x = temporal(name + ".0.conv1", spatial(name + ".0.conv1", x, first_mid, 2, 1), out, 2, 1);
    x = temporal(name + ".0.conv2", spatial(name + ".0.conv2", x, first_mid, 1, 1), out, 1, 1);
    if (blocks > 1) x = temporal(name + ".1", spatial(name + ".1", x, mid, 1, 2), out, 1, 2);
  }
  return cases;
}

/// r2plus1d_18 on clips of batch x frames x size x size.
inline std::vector<ConvCase> r2plus1d_18_convs(std::int64_t batch, std::int64_t frames, std::int64_t size) {
  return r2plus1d_convs(batch, frames, size, 1.0, 2);
}

/// The demo's network: r2plus1d_10 of a quarter of the width on 48 clips of 8 x 48 x 48.
inline std::vector<ConvCase> small_convs() { return r2plus1d_convs(48, 8, 48, 0.25, 1); }

/// The normalisations that follow a network's convolutions.
inline std::vector<NormCase> norms_of(const std::vector<ConvCase>& convs) {
  std::vector<NormCase> cases;
  for (const ConvCase& conv : convs) {
    const bool downsample = conv.name.ends_with("downsample");
    const bool ends_block =
        conv.name.ends_with("temporal") && !conv.name.starts_with("stem") && !conv.name.ends_with("conv1.temporal");
    cases.push_back({conv.name, conv.y().rows(), conv.y().c(), !downsample, ends_block, conv.count});
  }
  return cases;
}
inline std::vector<NormCase> r2plus1d_18_norms(std::int64_t batch, std::int64_t frames, std::int64_t size) {
  return norms_of(r2plus1d_18_convs(batch, frames, size));
}

/// The products of the heads at their real widths, and large ones that are all arithmetic.
inline std::vector<GemmCase> gemms() {
  using enum Transpose;
  return {
      {"fc_feat", no, yes, 256, 128, 512},
      {"fc_feat, x_bar", no, no, 256, 512, 128},
      {"fc_feat, w_bar", yes, no, 128, 512, 256},
      {"similarities", no, yes, 64, 2112, 128},
      {"square 2048", no, no, 2048, 2048, 2048},
      {"square 2048, a^T", yes, no, 2048, 2048, 2048},
      {"square 2048, b^T", no, yes, 2048, 2048, 2048},
      {"square 2048, both", yes, yes, 2048, 2048, 2048},
      {"few columns", no, no, 4096, 8, 512},
      {"few columns, a^T", yes, no, 4096, 8, 512},
      {"few columns, both", yes, yes, 4096, 8, 512},
  };
}

/// The same kernel, channels and parity of extents on few positions: what a slow reference can follow.
inline ConvCase scaled_down(ConvCase c) {
  const auto shrink = [](std::int64_t extent, std::int64_t most) {
    return extent <= most ? extent : most - (most - extent) % 2;
  };
  c.x = {2, shrink(c.x.d(), 4), shrink(c.x.h(), 8), shrink(c.x.w(), 8), c.x.c()};
  return c;
}

/// Shapes that the network has not: full 3-D kernels, extents of one, remainders under a stride, odd channels.
inline std::vector<ConvCase> odd_convs() {
  return {
      {"full 3-D", {2, 4, 6, 5, 16}, {24, 3, 3, 3, 16}, {{1, 1, 1}, {1, 1, 1}}},
      {"full 3-D, stride 2, odd extents", {1, 5, 7, 9, 12}, {20, 3, 3, 3, 12}, {{2, 2, 2}, {1, 1, 1}}},
      {"full 3-D, stride 2, even extents", {2, 4, 6, 8, 12}, {20, 3, 3, 3, 12}, {{2, 2, 2}, {1, 1, 1}}},
      {"stem of R3D", {1, 4, 10, 10, 3}, {64, 3, 7, 7, 3}, {{1, 2, 2}, {1, 3, 3}}},
      {"stem of S3D, temporal", {1, 5, 2, 2, 64}, {64, 7, 1, 1, 64}, {{2, 1, 1}, {3, 0, 0}}},
      {"branch of S3D", {1, 1, 5, 5, 24}, {64, 1, 3, 3, 24}, {{1, 1, 1}, {0, 1, 1}}},
      {"one of everything", {1, 1, 1, 1, 1}, {1, 1, 1, 1, 1}, {{1, 1, 1}, {0, 0, 0}}},
      {"one frame, one pixel", {3, 1, 1, 1, 45}, {64, 3, 1, 1, 45}, {{1, 1, 1}, {1, 0, 0}}},
      {"one frame, stride 2", {2, 1, 3, 3, 230}, {128, 3, 1, 1, 230}, {{2, 1, 1}, {1, 0, 0}}},
      {"downsample with a remainder", {2, 5, 7, 3, 17}, {33, 1, 1, 1, 17}, {{2, 2, 2}, {0, 0, 0}}},
      {"stride past the kernel", {1, 7, 8, 9, 5}, {6, 2, 1, 2, 5}, {{3, 2, 3}, {0, 0, 0}}},
      {"padding past the input", {1, 2, 2, 2, 3}, {4, 5, 5, 5, 3}, {{1, 1, 1}, {3, 3, 3}}},
      {"even kernel", {2, 3, 6, 6, 7}, {9, 2, 4, 4, 7}, {{1, 2, 2}, {1, 1, 2}}},
      {"width 0.25", {3, 4, 8, 8, 16}, {36, 1, 3, 3, 16}, {{1, 1, 1}, {0, 1, 1}}},
      {"odd channels, larger than a tile", {1, 1, 9, 9, 33}, {65, 1, 1, 1, 33}, {{1, 1, 1}, {0, 0, 0}}},
      {"nine hundred and twenty-one", {1, 2, 3, 3, 921}, {13, 3, 1, 1, 921}, {{1, 1, 1}, {1, 0, 0}}},
  };
}

}  // namespace mcn::shapes
