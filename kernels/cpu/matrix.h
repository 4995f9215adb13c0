// Dense matrix products for the kernels of this folder, on plain pointers.
#pragma once

#include <cstdint>

#include "kernels/cpu/allocator.h"

namespace mcn::cpu {

/// A row-major matrix, or the transpose of one: element (i, j) is data[i stride + j], or data[j stride + i].
template <class T>
struct Matrix {
  const T* data;
  std::int64_t stride;
  bool transposed = false;
};

/// c (m x n, rows `stride` apart) (+)= a (m x k) b (k x n). The same bits for any number of threads.
template <class T>
void multiply(CachingAllocator&, std::int64_t m, std::int64_t n, std::int64_t k, Matrix<T> a, Matrix<T> b, T* c,
              std::int64_t stride, bool accumulate);

}  // namespace mcn::cpu
