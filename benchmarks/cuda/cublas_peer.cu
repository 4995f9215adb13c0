// cuBLAS as a peer.
#include "benchmarks/cuda/peers.h"
#include "kernels/cuda/cublas/gemm.h"
#include "kernels/cuda/memory.h"

namespace mcn::bench {
namespace {

class Gemm final : public PeerCall {
 public:
  Gemm(cuda::CublasGemm& cublas, cudaStream_t stream, const shapes::GemmCase& c, const float* a, const float* b)
      : cublas_(cublas), case_(c), a_(a), b_(b), c_(stream, c.m * c.n) {}

  void run() override {
    cublas_.run(case_.transpose_a, case_.transpose_b, static_cast<int>(case_.m), static_cast<int>(case_.n),
                static_cast<int>(case_.k), a_, b_, c_.get(), false);
  }
  const float* result() override { return c_.get(); }

 private:
  cuda::CublasGemm& cublas_;
  shapes::GemmCase case_;
  const float *a_, *b_;
  cuda::DeviceArray<float> c_;
};

}  // namespace

Cublas::Cublas(cudaStream_t stream) : stream_(stream) {
  try {
    gemm_ = std::make_unique<cuda::CublasGemm>(stream);
  } catch (const DeviceError& e) {
    why_ = e.what();
  }
}

std::unique_ptr<PeerCall> Cublas::gemm(const shapes::GemmCase& c, const float* a, const float* b, std::string& why) {
  why = why_;
  return gemm_ == nullptr ? nullptr : std::make_unique<Gemm>(*gemm_, stream_, c, a, b);
}

std::string Cublas::version() try { return cuda::CublasGemm::version(); } catch (const DeviceError&) {
  return {};
}

}  // namespace mcn::bench
