// The convolutions of float32 tensors on tensor cores, in TF32 and BF16: conv_kernels.h, compiled for the tiles of
// device/tile_mma.h.
#include "kernels/cuda/conv_tensor_core.h"
#include "kernels/cuda/device/tile_mma.h"

namespace mcn::MCN_DEVICE_NAMESPACE {
namespace {

// Calls f with a value of the tiles' type.
template <class F>
void with_tiles(Precision precision, F&& f) {
  if (precision == Precision::tf32)
    f(MmaTiles<Tf32>{});
  else
    f(MmaTiles<Bf16>{});
}

}  // namespace

void fprop_tensor_core(Precision precision, cudaStream_t stream, const ConvShape& s, const Products<float>& products,
                       float* y, bool accumulate) {
  with_tiles(precision, [&]<class Tiles>(Tiles) { run_fprop<Tiles>(stream, s, products, y, accumulate); });
}

void dgrad_tensor_core(Precision precision, cudaStream_t stream, const ConvShape& s, const Products<float>& products,
                       float* x_bar, bool accumulate) {
  with_tiles(precision, [&]<class Tiles>(Tiles) { run_dgrad<Tiles>(stream, s, products, x_bar, accumulate); });
}

void wgrad_tensor_core(Precision precision, cudaStream_t stream, const ConvShape& s, const Products<float>& products,
                       float* w_bar, bool accumulate) {
  with_tiles(precision, [&]<class Tiles>(Tiles) { run_wgrad<Tiles>(stream, s, products, w_bar, accumulate); });
}

}  // namespace mcn::MCN_DEVICE_NAMESPACE
