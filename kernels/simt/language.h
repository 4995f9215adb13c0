// The words of CUDA C++ that the kernels use, for a host compiler. Names are CUDA's own.
#pragma once

#include <math.h>  // not cmath: CUDA has its functions outside std

#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>

#include "kernels/simt/block.h"

// NOLINTBEGIN(bugprone-reserved-identifier, readability-identifier-naming, cppcoreguidelines-macro-usage)
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
constinit inline thread_local uint3 threadIdx{0, 0, 0};
constinit inline thread_local uint3 blockIdx{0, 0, 0};
constinit inline thread_local dim3 blockDim{1, 1, 1};
constinit inline thread_local dim3 gridDim{1, 1, 1};
inline constexpr int warpSize = mcn::simt::warp_lanes;

inline void __syncthreads(const std::source_location& where = std::source_location::current()) {
  mcn::simt::wait_block(where);
}

namespace mcn::simt {

/// Every lane takes part in every warp operation of this project: DeviceError for a mask that leaves one out.
inline void check_mask(unsigned mask, const std::source_location& where) {
  if (mask != 0xFFFFFFFFU) refuse_mask(mask, where);
}

// The value that lane `source` shows, or the caller's own where that lane lies outside the caller's segment.
template <class T>
T shuffled(unsigned mask, T own, int source, bool inside, const std::source_location& where) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= exchange_bytes);
  check_mask(mask, where);
  const std::byte* shown = exchange(&own, sizeof own, where);
  if (!inside) return own;
  T value;
  std::memcpy(&value, shown + static_cast<std::size_t>(source) * exchange_bytes, sizeof value);
  return value;
}

inline int lane() {
  return static_cast<int>((threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % warp_lanes);
}

}  // namespace mcn::simt

inline void __syncwarp(unsigned mask = 0xFFFFFFFFU,
                       const std::source_location& where = std::source_location::current()) {
  mcn::simt::check_mask(mask, where);
  const char none = 0;
  mcn::simt::exchange(&none, 1, where);
}
template <class T>
T __shfl_sync(unsigned lanes, T value, int source, int width = warpSize,
              const std::source_location& where = std::source_location::current()) {
  const int base = mcn::simt::lane() / width * width;
  return mcn::simt::shuffled(lanes, value, base + source % width, true, where);
}
template <class T>
T __shfl_xor_sync(unsigned lanes, T value, int mask, int width = warpSize,
                  const std::source_location& where = std::source_location::current()) {
  const int source = mcn::simt::lane() ^ mask;
  return mcn::simt::shuffled(lanes, value, source, source / width <= mcn::simt::lane() / width, where);
}
template <class T>
T __shfl_down_sync(unsigned lanes, T value, unsigned delta, int width = warpSize,
                   const std::source_location& where = std::source_location::current()) {
  const int source = mcn::simt::lane() + static_cast<int>(delta);
  return mcn::simt::shuffled(lanes, value, source, source / width == mcn::simt::lane() / width, where);
}
template <class T>
T __shfl_up_sync(unsigned lanes, T value, unsigned delta, int width = warpSize,
                 const std::source_location& where = std::source_location::current()) {
  const int source = mcn::simt::lane() - static_cast<int>(delta);
  return mcn::simt::shuffled(lanes, value, source, source >= mcn::simt::lane() / width * width, where);
}
inline unsigned __ballot_sync(unsigned mask, int predicate,
                              const std::source_location& where = std::source_location::current()) {
  mcn::simt::check_mask(mask, where);
  const bool mine = predicate != 0;
  const std::byte* shown = mcn::simt::exchange(&mine, 1, where);
  unsigned bits = 0;
  for (int i = 0; i < warpSize; ++i)
    if (shown[static_cast<std::size_t>(i) * mcn::simt::exchange_bytes] != std::byte{0}) bits |= 1U << i;
  return bits;
}
inline int __any_sync(unsigned mask, int predicate,
                      const std::source_location& where = std::source_location::current()) {
  return __ballot_sync(mask, predicate, where) != 0;
}
inline int __all_sync(unsigned mask, int predicate,
                      const std::source_location& where = std::source_location::current()) {
  return __ballot_sync(mask, predicate == 0, where) == 0;
}

inline float __uint_as_float(unsigned bits) { return __builtin_bit_cast(float, bits); }
inline unsigned __float_as_uint(float value) { return __builtin_bit_cast(unsigned, value); }
// NOLINTEND(bugprone-reserved-identifier, readability-identifier-naming, cppcoreguidelines-macro-usage)
