// The backend of hand-written CUDA kernels: the device `cuda` where nvcc built it, `simt` where the host compiler did.
#pragma once

#include <map>
#include <mutex>

#include "kernels/backend.h"
#include "kernels/cuda/memory.h"
#if defined(__CUDACC__)
#include "kernels/cuda/cublas/gemm.h"
#endif

namespace mcn::MCN_DEVICE_NAMESPACE {

#if defined(__CUDACC__)
/// Is there code in this build that the current GPU runs? cudaErrorNoKernelImageForDevice if not.
cudaError_t find_kernel_image();
#endif

/// Implementation by family: cuda_backend.cu (memory and copies), then a file a family with its kernels. Kernels go to
/// one stream and are not waited for; what returns a value to the host waits. One caller at a time.
class CudaBackend final : public ComputesKernels<CudaBackend> {
 public:
  explicit CudaBackend(std::string name) : ComputesKernels(std::move(name)) {}

#if defined(__CUDACC__)
  void set_gemm(GemmLibrary library) override {
    cublas_ = library == GemmLibrary::cublas ? std::make_unique<CublasGemm>(stream()) : nullptr;
  }
#endif
  [[nodiscard]] bool has_precision(Precision) const override { return true; }

  [[nodiscard]] std::optional<std::size_t> free_memory() override;
  void profile(bool on) override;
  [[nodiscard]] bool has_graphs() const override { return true; }
  std::unique_ptr<Graph> capture(const std::function<void()>& work) override;
  void copy_from_host(const void* host, View y) override;
  void copy_to_host(ConstView x, void* host) override;
  void* allocate_host(std::size_t bytes) override;
  void release_host(void* p) noexcept override;
  Upload upload(const void* host, View y) override;
  void wait_upload(Upload upload) noexcept override;
  void copy(ConstView x, View y) override;

  template <typename K>
  ResultOf<K> compute(const K& k);

  /// Where its kernels go. Its device is from now on the calling thread's: every launch, copy, allocation and record
  /// asks for the stream, and may come from any thread.
  [[nodiscard]] cudaStream_t stream() const {
    use_device(device_);
    return stream_.get();
  }

 protected:
  void* allocate_impl(std::size_t bytes) override;
  void release_impl(void* p, std::size_t bytes) noexcept override;

 private:
  int device_ = current_device();
  Stream stream_;
  Stream copy_stream_;  // uploads run beside the kernels before them
  std::mutex uploads_mutex_;
  std::map<Upload, Event> uploads_;  // not yet waited for
  std::vector<Event> spare_events_;
  Upload last_upload_ = no_upload;
#if defined(__CUDACC__)
  std::unique_ptr<CublasGemm> cublas_;  // null: our own products
#endif
};

}  // namespace mcn::MCN_DEVICE_NAMESPACE
