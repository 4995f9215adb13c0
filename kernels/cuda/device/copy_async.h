// Asynchronous copies from device memory to shared memory (cp.async, sm_80 and later).
//
// A thread issues copies, commits them as a group, and waits until all but its youngest groups have arrived. What other
// threads have copied is there after their wait and a barrier.
#pragma once

#include "kernels/cuda/device/platform.h"

namespace mcn::MCN_DEVICE_NAMESPACE {

#if defined(__CUDACC__)
__device__ inline unsigned shared_address(const void* p) { return static_cast<unsigned>(__cvta_generic_to_shared(p)); }
#endif

/// Copies 4, 8 or 16 bytes, both addresses multiples of that; writes zeros where not `inside`, and reads nothing.
template <int bytes>
__device__ void copy_async(void* to, const void* from, bool inside) {
  static_assert(bytes == 4 || bytes == 8 || bytes == 16);
#if defined(__CUDACC__)
  // 16 bytes pass by the first-level cache, which only they can.
  const int read = inside ? bytes : 0;
  if constexpr (bytes == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared_address(to)), "l"(from), "r"(read)
                 : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %3, %2;\n" ::"r"(shared_address(to)), "l"(from), "r"(read),
                 "n"(bytes)
                 : "memory");
#else
  simt::copy_async(to, from, bytes, inside);
#endif
}

/// Ends a group, which may be empty.
__device__ inline void commit_copies() {
#if defined(__CUDACC__)
  asm volatile("cp.async.commit_group;\n" ::: "memory");
#else
  simt::commit_copies();
#endif
}

/// Waits for all of the thread's groups but the `pending` youngest.
template <int pending>
__device__ void wait_copies() {
#if defined(__CUDACC__)
  asm volatile("cp.async.wait_group %0;\n" ::"n"(pending) : "memory");
#else
  simt::wait_copies(pending);
#endif
}

}  // namespace mcn::MCN_DEVICE_NAMESPACE
