// Sums and maxima over a warp and over a block, in one fixed order.
#pragma once

#include "kernels/cuda/device/platform.h"

namespace mcn::MCN_DEVICE_NAMESPACE {

inline constexpr unsigned all_lanes = 0xFFFFFFFFU;

/// The sum over the warp, in every lane. All 32 lanes take part.
template <class T>
__device__ T warp_sum(T value) {
#pragma unroll
  for (int mask = 16; mask > 0; mask /= 2) value += __shfl_xor_sync(all_lanes, value, mask);
  return value;
}

/// The maximum over the warp, in every lane; NaN wins.
template <class T>
__device__ T warp_max(T value) {
#pragma unroll
  for (int mask = 16; mask > 0; mask /= 2) {
    const T other = __shfl_xor_sync(all_lanes, value, mask);
    value = other > value || other != other ? other : value;
  }
  return value;
}

/// Scratch of a block's reduction; lies in shared memory.
template <class T>
struct BlockSum {
  T warps[32];
};

/// The sum over the block's threads (x only, a multiple of 32), in every thread. `scratch` may be used again at once.
template <class T>
__device__ T block_sum(T value, BlockSum<T>& scratch) {
  value = warp_sum(value);
  const unsigned lane = threadIdx.x % 32;
  if (lane == 0) scratch.warps[threadIdx.x / 32] = value;
  __syncthreads();
  T sum = 0;
  for (unsigned warp = 0; warp < blockDim.x / 32; ++warp) sum += scratch.warps[warp];
  __syncthreads();
  return sum;
}

/// The maximum over the block's threads, as block_sum.
template <class T>
__device__ T block_max(T value, BlockSum<T>& scratch) {
  value = warp_max(value);
  if (threadIdx.x % 32 == 0) scratch.warps[threadIdx.x / 32] = value;
  __syncthreads();
  T most = scratch.warps[0];
  for (unsigned warp = 1; warp < blockDim.x / 32; ++warp) {
    const T other = scratch.warps[warp];
    most = other > most || other != other ? other : most;
  }
  __syncthreads();
  return most;
}

}  // namespace mcn::MCN_DEVICE_NAMESPACE
