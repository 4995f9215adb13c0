// Convolution kernels. Convolution is bilinear in (x, w), so sums of these three maps are all that its four rules need.
#pragma once

#include <span>

#include "kernels/kernel.h"
#include "kernels/precision.h"

namespace mcn {

/// A 3-D convolution's step and zero padding along D, H, W. Dilation and groups are 1.
struct Conv3dParams {
  using HasNoMembersToVisit = void;
  std::array<std::int64_t, 3> stride{1, 1, 1};
  std::array<std::int64_t, 3> padding{0, 0, 0};
  Precision precision = Precision::fp32;  ///< of float32; UsageError on a device that has no other than fp32
  friend bool operator==(const Conv3dParams&, const Conv3dParams&) = default;
};

/// The factors of one product of a sum. A sum has one product or two, of the same shapes.
struct ConvProduct {
  ConstView a, b;
  static auto members(auto& product) { return std::tie(product.a, product.b); }
};

/// x: N D H W I, w: O KD KH KW I, y: N D' H' W' O with D' = (D + 2 padding - KD) / stride + 1 and so on.
/// All views have one floating-point dtype; shapes are checked by the caller (engine/ops/conv3d.cpp).
namespace kernel {

/// y (+)= the sum of a * b; a: x, b: w. Two products cost one pass of twice the length, not two passes.
struct Conv3dFprop {
  static constexpr std::string_view name = "conv3d_fprop";
  Conv3dParams params = {};
  std::span<const ConvProduct> products;
  View y;
  Mode mode = Mode::overwrite;
  static auto members(auto& k) { return std::tie(k.params, k.products, k.y, k.mode); }
};

/// x_bar (+)= the sum of the adjoints of fprop in x, with weights b, applied to a; a: y_bar, b: w
struct Conv3dDgrad {
  static constexpr std::string_view name = "conv3d_dgrad";
  Conv3dParams params = {};
  std::span<const ConvProduct> products;
  View x_bar;
  Mode mode = Mode::overwrite;
  static auto members(auto& k) { return std::tie(k.params, k.products, k.x_bar, k.mode); }
};

/// w_bar (+)= the sum of the adjoints of fprop in w, with inputs a, applied to b; a: x, b: y_bar
struct Conv3dWgrad {
  static constexpr std::string_view name = "conv3d_wgrad";
  Conv3dParams params = {};
  std::span<const ConvProduct> products;
  View w_bar;
  Mode mode = Mode::overwrite;
  static auto members(auto& k) { return std::tie(k.params, k.products, k.w_bar, k.mode); }
};

}  // namespace kernel
}  // namespace mcn
