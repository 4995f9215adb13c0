// Elementwise kernels, reductions to a number, and matrix products.
#pragma once

#include <span>

#include "kernels/kernel.h"

namespace mcn {

/// op of a matrix product's factor.
enum class Transpose : std::uint8_t { no, yes };

namespace kernel {

/// y = value
struct Fill {
  static constexpr std::string_view name = "fill";
  double value = 0;
  View y;
  static auto members(auto& k) { return std::tie(k.value, k.y); }
};

/// y = alpha x
struct Scale {
  static constexpr std::string_view name = "scale";
  double alpha = 1;
  ConstView x;
  View y;
  static auto members(auto& k) { return std::tie(k.alpha, k.x, k.y); }
};

/// y = a + b (y may alias a or b)
struct Add {
  static constexpr std::string_view name = "add";
  ConstView a, b;
  View y;
  static auto members(auto& k) { return std::tie(k.a, k.b, k.y); }
};

/// y = max(x, 0)
struct Relu {
  static constexpr std::string_view name = "relu";
  ConstView x;
  View y;
  static auto members(auto& k) { return std::tie(k.x, k.y); }
};

/// out = g where y > 0, else 0: the mask of ReLU, applied to a tangent or a cotangent
struct ReluMask {
  static constexpr std::string_view name = "relu_mask";
  ConstView y, g;
  View out;
  static auto members(auto& k) { return std::tie(k.y, k.g, k.out); }
};

// Over lists, such as a network's parameters, in few launches; entries of the same number have the same shape.

/// y_i += alpha x_i
struct Axpy {
  static constexpr std::string_view name = "axpy";
  double alpha = 1;
  std::span<const ConstView> x;
  std::span<const View> y;
  static auto members(auto& k) { return std::tie(k.alpha, k.x, k.y); }
};

/// The sum over i of sum(a_i b_i), accumulated in float64, the same bits for any number of threads.
struct Dot {
  static constexpr std::string_view name = "dot";
  using Result = double;
  std::span<const ConstView> a, b;
  static auto members(auto& k) { return std::tie(k.a, k.b); }
};

/// False if any element of any x_i is NaN or infinite.
struct AllFinite {
  static constexpr std::string_view name = "all_finite";
  using Result = bool;
  std::span<const ConstView> x;
  static auto members(auto& k) { return std::tie(k.x); }
};

/// c (+)= op(a) op(b), row-major; op(a): m x k, op(b): k x n, c: m x n
struct Gemm {
  static constexpr std::string_view name = "gemm";
  Transpose transpose_a = Transpose::no, transpose_b = Transpose::no;
  ConstView a, b;
  View c;
  Mode mode = Mode::overwrite;
  static auto members(auto& k) { return std::tie(k.transpose_a, k.transpose_b, k.a, k.b, k.c, k.mode); }
};

/// y[r, :] += bias for every row r; y: rows x C (any rank, C last), bias: C
struct AddBias {
  static constexpr std::string_view name = "add_bias";
  ConstView bias;
  View y;
  static auto members(auto& k) { return std::tie(k.bias, k.y); }
};

/// out (+)= sum over rows of x; out: C
struct SumRows {
  static constexpr std::string_view name = "sum_rows";
  ConstView x;
  View out;
  Mode mode = Mode::overwrite;
  static auto members(auto& k) { return std::tie(k.x, k.out, k.mode); }
};

}  // namespace kernel
}  // namespace mcn
