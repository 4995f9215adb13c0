// The convolution kernels.
#include "kernels/cpu/conv_direct.h"
#include "kernels/cpu/cpu_backend.h"

namespace mcn::cpu {

template <>
void CpuBackend::compute(const kernel::Conv3dFprop& k) {
  require_precision(k.params.precision);
  dispatch_float(k.y.dtype, [&]<class T>(T) { direct_fprop<T>(allocator_, k.params, k.products, k.y, k.mode); });
}

template <>
void CpuBackend::compute(const kernel::Conv3dDgrad& k) {
  require_precision(k.params.precision);
  dispatch_float(k.x_bar.dtype,
                 [&]<class T>(T) { direct_dgrad<T>(allocator_, k.params, k.products, k.x_bar, k.mode); });
}

template <>
void CpuBackend::compute(const kernel::Conv3dWgrad& k) {
  require_precision(k.params.precision);
  dispatch_float(k.w_bar.dtype,
                 [&]<class T>(T) { direct_wgrad<T>(allocator_, k.params, k.products, k.w_bar, k.mode); });
}

}  // namespace mcn::cpu
