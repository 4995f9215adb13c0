// Signatures of the pooling kernels over D, H, W of NDHWC activations.
#pragma once

#include "kernels/view.h"

namespace mcn {

/// Window, step and padding along D, H, W. Max pooling pads with minus infinity; average pooling with zeros that
/// count (torch's count_include_pad).
struct PoolParams {
  std::array<std::int64_t, 3> kernel{1, 1, 1};
  std::array<std::int64_t, 3> stride{1, 1, 1};
  std::array<std::int64_t, 3> padding{0, 0, 0};
};

class PoolKernels {
 public:
  /// index: i32, the shape of y: position (d * H + h) * W + w in x of the maximum; the first of equals; NaN wins.
  virtual void max_pool(const PoolParams&, ConstView x, View y, View index) = 0;
  /// y_dot = x_dot at index: the tangent of max_pool
  virtual void max_pool_gather(ConstView x_dot, ConstView index, View y_dot) = 0;
  /// x_bar = sum of y_bar over the outputs whose index it is (overwrites all of x_bar): the adjoint of the gather
  virtual void max_pool_scatter(ConstView y_bar, ConstView index, View x_bar) = 0;
  /// y = mean over the window
  virtual void avg_pool(const PoolParams&, ConstView x, View y) = 0;
  /// the adjoint of avg_pool (overwrites x_bar)
  virtual void avg_pool_adjoint(const PoolParams&, ConstView y_bar, View x_bar) = 0;

 protected:
  ~PoolKernels() = default;
};

}  // namespace mcn
