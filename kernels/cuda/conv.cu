// The convolutions of the backend: a choice among the tiles that conv_kernels.h is compiled for. Here are those of
// ordinary multiply-adds, in float32 and float64.
#include <type_traits>

#include "kernels/cuda/conv_kernels.h"
#include "kernels/cuda/conv_tensor_core.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/device/tile_fma.h"

namespace mcn::MCN_DEVICE_NAMESPACE {
namespace {

ConvShape conv_shape(const Conv3dParams& params, const Shape& x, const Shape& w, const Shape& y) {
  if (std::max({x.rows(), y.rows(), w.rows(), w.numel() / std::max<std::int64_t>(1, w.o())}) > most_rows)
    fail("conv3d", "expected at most {} positions a tensor, got x {}, w {}, y {}", most_rows, x.str(), w.str(),
         y.str());
  ConvShape s{};
  s.images = static_cast<int>(x.n());
  s.in = static_cast<int>(x.c());
  s.out = static_cast<int>(y.c());
  for (int a = 0; a < 3; ++a) {
    s.x[a] = static_cast<int>(x[a + 1]);
    s.y[a] = static_cast<int>(y[a + 1]);
    s.kernel[a] = static_cast<int>(w[a + 1]);
    s.stride[a] = static_cast<int>(params.stride[static_cast<std::size_t>(a)]);
    s.padding[a] = static_cast<int>(params.padding[static_cast<std::size_t>(a)]);
  }
  return s;
}

// The three maps, for one product or two.
template <class T>
void fprop(Precision precision, cudaStream_t stream, const ConvShape& s, const Products<T>& products, T* y,
           bool accumulate) {
  if constexpr (std::is_same_v<T, float>)
    if (precision != Precision::fp32) return fprop_tensor_core(precision, stream, s, products, y, accumulate);
  run_fprop<FmaTiles<T>>(stream, s, products, y, accumulate);
}

template <class T>
void dgrad(Precision precision, cudaStream_t stream, const ConvShape& s, const Products<T>& products, T* x_bar,
           bool accumulate) {
  if constexpr (std::is_same_v<T, float>)
    if (precision != Precision::fp32) return dgrad_tensor_core(precision, stream, s, products, x_bar, accumulate);
  run_dgrad<FmaTiles<T>>(stream, s, products, x_bar, accumulate);
}

template <class T>
void wgrad(Precision precision, cudaStream_t stream, const ConvShape& s, const Products<T>& products, T* w_bar,
           bool accumulate) {
  if constexpr (std::is_same_v<T, float>)
    if (precision != Precision::fp32) return wgrad_tensor_core(precision, stream, s, products, w_bar, accumulate);
  run_wgrad<FmaTiles<T>>(stream, s, products, w_bar, accumulate);
}

}  // namespace

template <>
void CudaBackend::compute(const kernel::Conv3dFprop& k) {
  const ConvProduct& first = k.products.front();
  const ConvShape s = conv_shape(k.params, first.a.shape, first.b.shape, k.y.shape);
  dispatch_float(k.y.dtype, [&]<class T>(T) {
    fprop(k.params.precision, stream(), s, products_of<T>(k.products), k.y.as<T>(), k.mode == Mode::accumulate);
  });
}

template <>
void CudaBackend::compute(const kernel::Conv3dDgrad& k) {
  const ConvProduct& first = k.products.front();
  const ConvShape s = conv_shape(k.params, k.x_bar.shape, first.b.shape, first.a.shape);
  dispatch_float(k.x_bar.dtype, [&]<class T>(T) {
    dgrad(k.params.precision, stream(), s, products_of<T>(k.products), k.x_bar.as<T>(), k.mode == Mode::accumulate);
  });
}

template <>
void CudaBackend::compute(const kernel::Conv3dWgrad& k) {
  const ConvProduct& first = k.products.front();
  const ConvShape s = conv_shape(k.params, first.a.shape, k.w_bar.shape, first.b.shape);
  dispatch_float(k.w_bar.dtype, [&]<class T>(T) {
    wgrad(k.params.precision, stream(), s, products_of<T>(k.products), k.w_bar.as<T>(), k.mode == Mode::accumulate);
  });
}

}  // namespace mcn::MCN_DEVICE_NAMESPACE
