// Signatures of the convolution kernels. Convolution is bilinear in (x, w), so these three maps are all that its four
// rules need; the paired forms are the sums that the product rule gives.
#pragma once

#include "kernels/view.h"

namespace mcn {

/// A 3-D convolution's step and zero padding along D, H, W. Dilation and groups are 1.
struct Conv3dParams {
  std::array<std::int64_t, 3> stride{1, 1, 1};
  std::array<std::int64_t, 3> padding{0, 0, 0};
  friend bool operator==(const Conv3dParams&, const Conv3dParams&) = default;
};

/// x: N D H W I, w: O KD KH KW I, y: N D' H' W' O with D' = (D + 2 padding - KD) / stride + 1 and so on.
/// All views have one floating-point dtype; shapes are checked by the caller (engine/ops/conv3d.cpp).
class ConvKernels {
 public:
  /// y (+)= x * w
  virtual void conv3d_fprop(const Conv3dParams&, ConstView x, ConstView w, View y, Mode) = 0;
  /// x_bar (+)= the adjoint of fprop in x, applied to y_bar
  virtual void conv3d_dgrad(const Conv3dParams&, ConstView y_bar, ConstView w, View x_bar, Mode) = 0;
  /// w_bar (+)= the adjoint of fprop in w, applied to y_bar
  virtual void conv3d_wgrad(const Conv3dParams&, ConstView x, ConstView y_bar, View w_bar, Mode) = 0;

  /// y = x1 * w1 + x2 * w2: twice the reduction length
  virtual void conv3d_fprop_pair(const Conv3dParams&, ConstView x1, ConstView w1, ConstView x2, ConstView w2,
                                 View y) = 0;
  /// x_bar = dgrad(y_bar1, w1) + dgrad(y_bar2, w2)
  virtual void conv3d_dgrad_pair(const Conv3dParams&, ConstView y_bar1, ConstView w1, ConstView y_bar2, ConstView w2,
                                 View x_bar) = 0;
  /// w_bar = wgrad(x1, y_bar1) + wgrad(x2, y_bar2)
  virtual void conv3d_wgrad_pair(const Conv3dParams&, ConstView x1, ConstView y_bar1, ConstView x2, ConstView y_bar2,
                                 View w_bar) = 0;

 protected:
  ~ConvKernels() = default;
};

}  // namespace mcn
