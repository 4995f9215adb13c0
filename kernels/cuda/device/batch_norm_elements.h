// What batch normalisation's rules share: rows of channels as a grid, absent tensors, the mask of ReLU.
#pragma once

#include "kernels/batch_norm.h"
#include "kernels/cuda/device/channel_sums.h"

namespace mcn::MCN_DEVICE_NAMESPACE {

/// Elements of a pass over rows that are under way at once in a thread.
inline constexpr int pass_batch = 4;

inline ChannelGrid batch_norm_grid(ConstView x) {
  constexpr std::int64_t rows_of_thread = 8;
  return channel_grid(x.shape.rows(), x.shape.back(), rows_of_thread);
}

/// p[i], or zero where the tensor is absent.
template <class T>
__device__ T value_or_zero(const T* p, std::int64_t i) {
  return p == nullptr ? T{0} : p[i];
}

/// y[i], or without ReLU, which is without y, a value that masked() lets pass.
template <class T>
__device__ T mask_value(const T* y, std::int64_t i) {
  return y == nullptr ? T{1} : y[i];
}

/// g where y > 0 or y is NaN, else 0. Not a part of loading: a load that waits for another one's value holds up all
/// that come after it.
template <class T>
__device__ T masked(T y, T g) {
  return y <= T{0} ? T{0} : g;
}

}  // namespace mcn::MCN_DEVICE_NAMESPACE
