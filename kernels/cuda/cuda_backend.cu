// The CUDA backend's memory and copies.
#include "kernels/cuda/cuda_backend.h"

namespace mcn {
namespace MCN_DEVICE_NAMESPACE {
namespace {

std::size_t bytes_of(ConstView x) { return static_cast<std::size_t>(x.numel()) * size_of(x.dtype); }

}  // namespace

void CudaBackend::copy_from_host(const void* host, View y) {
  count_kernel();
  MCN_CUDA(cudaMemcpyAsync(y.data, host, bytes_of(y), cudaMemcpyHostToDevice, stream()));
  stream_.synchronize();
}

void CudaBackend::copy_to_host(ConstView x, void* host) {
  count_kernel();
  MCN_CUDA(cudaMemcpyAsync(host, x.data, bytes_of(x), cudaMemcpyDeviceToHost, stream()));
  stream_.synchronize();
}

void CudaBackend::copy(ConstView x, View y) {
  count_kernel();
  if (x.data != y.data) MCN_CUDA(cudaMemcpyAsync(y.data, x.data, bytes_of(x), cudaMemcpyDeviceToDevice, stream()));
}

void* CudaBackend::allocate_impl(std::size_t bytes) {
  if (bytes == 0) return nullptr;
  void* p = nullptr;
  const cudaError_t error = cudaMallocAsync(&p, bytes, stream());
  if (error == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    std::size_t free = 0, total = 0;
    MCN_CUDA(cudaMemGetInfo(&free, &total));
    constexpr double mib = 1024.0 * 1024.0;
    fail<DeviceError>("memory",
                      "{}: out of memory: asked for {:.1f} MiB, {:.1f} of {:.1f} MiB are free; a smaller --batch, "
                      "--frames or --size, or --inner-tape recompute, needs less",
                      name(), static_cast<double>(bytes) / mib, static_cast<double>(free) / mib,
                      static_cast<double>(total) / mib);
  }
  check(error, "cudaMallocAsync", std::source_location::current());
  return p;
}

void CudaBackend::release_impl(void* p, std::size_t) noexcept { (void)cudaFreeAsync(p, stream()); }

}  // namespace MCN_DEVICE_NAMESPACE

#if defined(__CUDACC__)
std::unique_ptr<Backend> make_cuda_backend() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess || count == 0)
    fail<DeviceError>("cuda", "no usable GPU: {}", error == cudaSuccess ? "none found" : cudaGetErrorString(error));
  return std::make_unique<cuda::CudaBackend>("cuda");
}
#else
std::unique_ptr<Backend> make_simt_backend() { return std::make_unique<simt_device::CudaBackend>("simt"); }
#endif

}  // namespace mcn
