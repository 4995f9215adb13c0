// The convolution kernels.
#include <array>

#include "kernels/cpu/conv_direct.h"
#include "kernels/cpu/cpu_backend.h"

namespace mcn::cpu {

void CpuBackend::conv3d_fprop(const Conv3dParams& params, ConstView x, ConstView w, View y, Mode mode) {
  count_kernel();
  const std::array products{ConvProduct{x, w}};
  dispatch_float(y.dtype, [&]<class T>(T) { direct_fprop<T>(allocator_, params, products, y, mode); });
}

void CpuBackend::conv3d_dgrad(const Conv3dParams& params, ConstView y_bar, ConstView w, View x_bar, Mode mode) {
  count_kernel();
  const std::array products{ConvProduct{y_bar, w}};
  dispatch_float(x_bar.dtype, [&]<class T>(T) { direct_dgrad<T>(allocator_, params, products, x_bar, mode); });
}

void CpuBackend::conv3d_wgrad(const Conv3dParams& params, ConstView x, ConstView y_bar, View w_bar, Mode mode) {
  count_kernel();
  const std::array products{ConvProduct{x, y_bar}};
  dispatch_float(w_bar.dtype, [&]<class T>(T) { direct_wgrad<T>(allocator_, params, products, w_bar, mode); });
}

void CpuBackend::conv3d_fprop_pair(const Conv3dParams& params, ConstView x1, ConstView w1, ConstView x2, ConstView w2,
                                   View y) {
  count_kernel();
  const std::array products{ConvProduct{x1, w1}, ConvProduct{x2, w2}};
  dispatch_float(y.dtype, [&]<class T>(T) { direct_fprop<T>(allocator_, params, products, y, Mode::overwrite); });
}

void CpuBackend::conv3d_dgrad_pair(const Conv3dParams& params, ConstView y_bar1, ConstView w1, ConstView y_bar2,
                                   ConstView w2, View x_bar) {
  count_kernel();
  const std::array products{ConvProduct{y_bar1, w1}, ConvProduct{y_bar2, w2}};
  dispatch_float(x_bar.dtype,
                 [&]<class T>(T) { direct_dgrad<T>(allocator_, params, products, x_bar, Mode::overwrite); });
}

void CpuBackend::conv3d_wgrad_pair(const Conv3dParams& params, ConstView x1, ConstView y_bar1, ConstView x2,
                                   ConstView y_bar2, View w_bar) {
  count_kernel();
  const std::array products{ConvProduct{x1, y_bar1}, ConvProduct{x2, y_bar2}};
  dispatch_float(w_bar.dtype,
                 [&]<class T>(T) { direct_wgrad<T>(allocator_, params, products, w_bar, Mode::overwrite); });
}

}  // namespace mcn::cpu
