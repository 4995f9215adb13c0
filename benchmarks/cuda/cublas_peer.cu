// cuBLAS as a peer.
#include <cublas_v2.h>
#include <fmt/format.h>

#include "benchmarks/cuda/peers.h"
#include "kernels/cuda/memory.h"

namespace mcn::bench {
namespace {

void check(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS)
    fail<DeviceError>("cublas", "{} failed: {}", call, cublasGetStatusString(status));
}

class Gemm final : public PeerCall {
 public:
  Gemm(cublasHandle_t handle, cudaStream_t stream, const shapes::GemmCase& c, const float* a, const float* b)
      : handle_(handle), case_(c), a_(a), b_(b), c_(stream, c.m * c.n) {}

  // Column-major: c^T = op(b)^T op(a)^T.
  void run() override {
    const float one = 1, zero = 0;
    const auto operation = [](bool transpose) { return transpose ? CUBLAS_OP_T : CUBLAS_OP_N; };
    const auto m = static_cast<int>(case_.m), n = static_cast<int>(case_.n), k = static_cast<int>(case_.k);
    check(cublasSgemm(handle_, operation(case_.transpose_b), operation(case_.transpose_a), n, m, k, &one, b_,
                      case_.transpose_b ? k : n, a_, case_.transpose_a ? m : k, &zero, c_.get(), n),
          "cublasSgemm");
  }
  const float* result() override { return c_.get(); }

 private:
  cublasHandle_t handle_;
  shapes::GemmCase case_;
  const float *a_, *b_;
  cuda::DeviceArray<float> c_;
};

}  // namespace

struct Cublas::Handle {
  cublasHandle_t handle = nullptr;
  cudaStream_t stream = nullptr;
};

Cublas::Cublas(cudaStream_t stream) : handle_(std::make_unique<Handle>()) {
  check(cublasCreate(&handle_->handle), "cublasCreate");
  handle_->stream = stream;
  check(cublasSetStream(handle_->handle, stream), "cublasSetStream");
}
Cublas::~Cublas() { (void)cublasDestroy(handle_->handle); }

std::unique_ptr<PeerCall> Cublas::gemm(const shapes::GemmCase& c, const float* a, const float* b) {
  return std::make_unique<Gemm>(handle_->handle, handle_->stream, c, a, b);
}

std::string Cublas::version() {
  int major = 0, minor = 0, patch = 0;
  check(cublasGetProperty(MAJOR_VERSION, &major), "cublasGetProperty");
  check(cublasGetProperty(MINOR_VERSION, &minor), "cublasGetProperty");
  check(cublasGetProperty(PATCH_LEVEL, &patch), "cublasGetProperty");
  return fmt::format("{}.{}.{}", major, minor, patch);
}

}  // namespace mcn::bench
