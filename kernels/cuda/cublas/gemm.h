// Matrix products by cuBLAS, in place of our own or to compare with them. For nvcc alone: nothing of it runs on simt.
#pragma once

#include <cuda_runtime.h>

#include <memory>
#include <string>

#include "kernels/elementwise.h"

namespace mcn::cuda {

/// On one stream, in float32 or float64 throughout (no TF32), with a workspace of its own, so that results are the same
/// bits every run and a graph can hold it. The library is loaded by the first; DeviceError if there is none, or if it
/// refuses.
class CublasGemm {
 public:
  explicit CublasGemm(cudaStream_t stream);
  ~CublasGemm();
  CublasGemm(const CublasGemm&) = delete;
  CublasGemm& operator=(const CublasGemm&) = delete;

  /// c (+)= op(a) op(b), row-major in device memory; op(a): m x k, op(b): k x n, op the transpose where it is asked
  /// for.
  void run(Transpose transpose_a, Transpose transpose_b, int m, int n, int k, const float* a, const float* b, float* c,
           bool accumulate);
  void run(Transpose transpose_a, Transpose transpose_b, int m, int n, int k, const double* a, const double* b,
           double* c, bool accumulate);

  /// DeviceError if there is no cuBLAS.
  [[nodiscard]] static std::string version();

 private:
  struct Handle;
  std::unique_ptr<Handle> handle_;
};

}  // namespace mcn::cuda
