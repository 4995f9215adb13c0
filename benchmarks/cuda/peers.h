// NVIDIA's libraries behind calls of the backend's own shape: cuDNN's convolutions and batch normalisation, cuBLAS's
// matrix products. Tensors are NDHWC, as ours are.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <memory>
#include <string>

#include "benchmarks/shapes.h"
#include "kernels/cuda/cublas/gemm.h"

namespace mcn::bench {

/// What the products of float32 are made of. bf16: a peer's tensors are BF16 in memory, ours float32 that is rounded on
/// its way to the tensor cores.
enum class Number : std::uint8_t { fp32, tf32, bf16 };
enum class Map : std::uint8_t { fprop, dgrad, wgrad };

/// A peer's call, ready to run on its operands, which must outlive it.
class PeerCall {
 public:
  PeerCall() = default;
  virtual ~PeerCall() = default;
  PeerCall(const PeerCall&) = delete;
  PeerCall& operator=(const PeerCall&) = delete;
  virtual void run() = 0;
  /// The result, as float32 in device memory, when the stream gets there.
  virtual const float* result() = 0;
};

/// cuDNN on one stream. A call that it does not support, or for which build or machine have no cuDNN, is an empty
/// pointer, and `why` says so.
class Cudnn {
 public:
  explicit Cudnn(cudaStream_t stream);
  ~Cudnn();
  Cudnn(const Cudnn&) = delete;
  Cudnn& operator=(const Cudnn&) = delete;

  /// x, w, y: device memory of float32; a map reads two of them. The fastest algorithm, as cuDNN itself measures it.
  std::unique_ptr<PeerCall> conv(Map, Number, const shapes::ConvCase&, const float* x, const float* w, const float* y,
                                 std::string& why);
  /// Batch normalisation in training without ReLU and residual: y of x, and x_bar of y_bar. Also writes statistics, and
  /// the cotangents of gamma and beta.
  std::unique_ptr<PeerCall> norm_forward(std::int64_t rows, std::int64_t channels, double eps, const float* x,
                                         const float* gamma, const float* beta, std::string& why);
  std::unique_ptr<PeerCall> norm_vjp(std::int64_t rows, std::int64_t channels, double eps, const float* x,
                                     const float* gamma, const float* mean, const float* rstd, const float* y_bar,
                                     std::string& why);

  /// Empty without cuDNN.
  [[nodiscard]] static std::string version();

 private:
  struct Handle;
  std::unique_ptr<Handle> handle_;
};

/// cuBLAS on one stream. Without cuBLAS a call is an empty pointer, and `why` says so.
class Cublas {
 public:
  explicit Cublas(cudaStream_t stream);

  /// a, b: row-major float32 in device memory. In float32 throughout.
  std::unique_ptr<PeerCall> gemm(const shapes::GemmCase&, const float* a, const float* b, std::string& why);

  /// Empty without cuBLAS.
  [[nodiscard]] static std::string version();

 private:
  cudaStream_t stream_;
  std::unique_ptr<cuda::CublasGemm> gemm_;
  std::string why_;
};

}  // namespace mcn::bench
