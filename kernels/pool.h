// Pooling over D, H, W of NDHWC activations.
#pragma once

#include "kernels/kernel.h"

namespace mcn {

/// Window, step and padding along D, H, W. Max pooling pads with minus infinity; average pooling with zeros that
/// count (torch's count_include_pad).
struct PoolParams {
  using HasNoMembersToVisit = void;
  std::array<std::int64_t, 3> kernel{1, 1, 1};
  std::array<std::int64_t, 3> stride{1, 1, 1};
  std::array<std::int64_t, 3> padding{0, 0, 0};
};

namespace kernel {

/// index: i32, the shape of y: position (d * H + h) * W + w in x of the maximum; the first of equals; NaN wins.
struct MaxPool {
  static constexpr std::string_view name = "max_pool";
  PoolParams params = {};
  ConstView x;
  View y, index;
  static auto members(auto& k) { return std::tie(k.params, k.x, k.y, k.index); }
};

/// y_dot = x_dot at index: the tangent of max_pool
struct MaxPoolGather {
  static constexpr std::string_view name = "max_pool_gather";
  ConstView x_dot, index;
  View y_dot;
  static auto members(auto& k) { return std::tie(k.x_dot, k.index, k.y_dot); }
};

/// x_bar = sum of y_bar over the outputs whose index it is (overwrites all of x_bar): the adjoint of the gather
struct MaxPoolScatter {
  static constexpr std::string_view name = "max_pool_scatter";
  ConstView y_bar, index;
  View x_bar;
  static auto members(auto& k) { return std::tie(k.y_bar, k.index, k.x_bar); }
};

/// y = mean over the window
struct AvgPool {
  static constexpr std::string_view name = "avg_pool";
  PoolParams params = {};
  ConstView x;
  View y;
  static auto members(auto& k) { return std::tie(k.params, k.x, k.y); }
};

/// The adjoint of avg_pool (overwrites x_bar).
struct AvgPoolAdjoint {
  static constexpr std::string_view name = "avg_pool_adjoint";
  PoolParams params = {};
  ConstView y_bar;
  View x_bar;
  static auto members(auto& k) { return std::tie(k.params, k.y_bar, k.x_bar); }
};

}  // namespace kernel
}  // namespace mcn
