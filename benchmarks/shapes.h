// The layer shapes of R(2+1)D-18, for benchmarks at their real size and for tests scaled down: they come from the model
// itself (models/walk.h). Nothing of the models is included, for nvcc's sake.
#pragma once

#include <cstdint>
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

/// A batch normalization of rows x channels; count is how often it occurs in the network.
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

/// Every distinct convolution of r2plus1d_18 on clips of batch x frames x size x size, under the name of the first
/// layer that has it, and every distinct normalization.
std::vector<ConvCase> r2plus1d_18_convs(std::int64_t batch, std::int64_t frames, std::int64_t size);
std::vector<NormCase> r2plus1d_18_norms(std::int64_t batch, std::int64_t frames, std::int64_t size);

/// Those of the demo's network: r2plus1d_10 of a quarter of the width on 48 clips of 8 x 48 x 48.
std::vector<ConvCase> small_convs();
std::vector<NormCase> small_norms();

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
