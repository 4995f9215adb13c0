// The cpu backend: convolutions as indirect matrix products, fused batch normalisation, vectorised loops. Results are
// the same bits for any number of threads.
#pragma once

#include "kernels/backend.h"
#include "kernels/cpu/allocator.h"

namespace mcn::cpu {

/// Implementation by family: cpu_backend.cpp (memory), conv.cpp, batch_norm*.cpp, elementwise.cpp, matrix.cpp,
/// pool.cpp, loss.cpp, info_nce.cpp, feature.cpp, optimizer.cpp. One caller at a time; memory may be had from any
/// thread.
class CpuBackend final : public ComputesKernels<CpuBackend> {
 public:
  CpuBackend() : ComputesKernels("cpu") {}
  [[nodiscard]] std::string detail() const override;

  void copy_from_host(const void* host, View y) override;
  void copy_to_host(ConstView x, void* host) override;
  void copy(ConstView x, View y) override;

  template <typename K>
  ResultOf<K> compute(const K& k);

 protected:
  void* allocate_impl(std::size_t bytes) override { return allocator_.allocate(bytes); }
  void release_impl(void* p, std::size_t) noexcept override { allocator_.release(p); }

 private:
  CachingAllocator allocator_;
};

}  // namespace mcn::cpu
