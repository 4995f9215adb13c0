// Many tensors to a launch: a network has hundreds of small parameters, and a launch for each would take longer than
// its work. A table of the tensors travels as the kernel's argument; a block takes a chunk of one of them.
#pragma once

#include "kernels/cuda/device/platform.h"

namespace mcn::MCN_DEVICE_NAMESPACE {

inline constexpr int list_block_threads = 256;
inline constexpr int list_elements_of_thread = 8;
inline constexpr int list_chunk = list_block_threads * list_elements_of_thread;

/// Entry: pointers and whatever else is a tensor's own, and its `size`. Blocks [first_block[e], first_block[e + 1])
/// take the chunks of entry e.
template <class Entry>
struct TensorList {
  static constexpr int most = 64;
  int count = 0;
  unsigned first_block[most + 1] = {};
  Entry entries[most] = {};

  [[nodiscard]] bool full() const { return count == most; }
  [[nodiscard]] unsigned blocks() const { return first_block[count]; }
  void add(const Entry& entry) {
    entries[count] = entry;
    first_block[count + 1] = first_block[count] + static_cast<unsigned>(ceil_div(entry.size, list_chunk));
    ++count;
  }
};

/// The entry of this block, by halving.
template <class Entry>
__device__ int entry_of_block(const TensorList<Entry>& list) {
  int first = 0, end = list.count;
  while (end - first > 1) {
    const int middle = (first + end) / 2;
    if (blockIdx.x < list.first_block[middle])
      end = middle;
    else
      first = middle;
  }
  return first;
}

/// This thread's first element of entry e; its others follow at steps of list_block_threads.
template <class Entry>
__device__ std::int64_t first_element_of(const TensorList<Entry>& list, int e) {
  return std::int64_t{blockIdx.x - list.first_block[e]} * list_chunk + threadIdx.x;
}

}  // namespace mcn::MCN_DEVICE_NAMESPACE
