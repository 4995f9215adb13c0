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

void CudaBackend::conv3d_fprop(const Conv3dParams& params, ConstView x, ConstView w, View y, Mode mode) {
  count_kernel();
  const ConvShape s = conv_shape(params, x.shape, w.shape, y.shape);
  dispatch_float(y.dtype, [&]<class T>(T) {
    fprop(precision_, stream(), s, products_of<T>(x, w), y.as<T>(), mode == Mode::accumulate);
  });
}

void CudaBackend::conv3d_dgrad(const Conv3dParams& params, ConstView y_bar, ConstView w, View x_bar, Mode mode) {
  count_kernel();
  const ConvShape s = conv_shape(params, x_bar.shape, w.shape, y_bar.shape);
  dispatch_float(x_bar.dtype, [&]<class T>(T) {
    dgrad(precision_, stream(), s, products_of<T>(y_bar, w), x_bar.as<T>(), mode == Mode::accumulate);
  });
}

void CudaBackend::conv3d_wgrad(const Conv3dParams& params, ConstView x, ConstView y_bar, View w_bar, Mode mode) {
  count_kernel();
  const ConvShape s = conv_shape(params, x.shape, w_bar.shape, y_bar.shape);
  dispatch_float(w_bar.dtype, [&]<class T>(T) {
    wgrad(precision_, stream(), s, products_of<T>(x, y_bar), w_bar.as<T>(), mode == Mode::accumulate);
  });
}

void CudaBackend::conv3d_fprop_pair(const Conv3dParams& params, ConstView x1, ConstView w1, ConstView x2, ConstView w2,
                                    View y) {
  count_kernel();
  const ConvShape s = conv_shape(params, x1.shape, w1.shape, y.shape);
  dispatch_float(y.dtype,
                 [&]<class T>(T) { fprop(precision_, stream(), s, products_of<T>(x1, w1, x2, w2), y.as<T>(), false); });
}

void CudaBackend::conv3d_dgrad_pair(const Conv3dParams& params, ConstView y_bar1, ConstView w1, ConstView y_bar2,
                                    ConstView w2, View x_bar) {
  count_kernel();
  const ConvShape s = conv_shape(params, x_bar.shape, w1.shape, y_bar1.shape);
  dispatch_float(x_bar.dtype, [&]<class T>(T) {
    dgrad(precision_, stream(), s, products_of<T>(y_bar1, w1, y_bar2, w2), x_bar.as<T>(), false);
  });
}

void CudaBackend::conv3d_wgrad_pair(const Conv3dParams& params, ConstView x1, ConstView y_bar1, ConstView x2,
                                    ConstView y_bar2, View w_bar) {
  count_kernel();
  const ConvShape s = conv_shape(params, x1.shape, w_bar.shape, y_bar1.shape);
  dispatch_float(w_bar.dtype, [&]<class T>(T) {
    wgrad(precision_, stream(), s, products_of<T>(x1, y_bar1, x2, y_bar2), w_bar.as<T>(), false);
  });
}

}  // namespace mcn::MCN_DEVICE_NAMESPACE
