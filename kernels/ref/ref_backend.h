// The `ref` backend: the oracle. Every kernel is the formula of its header written as plain loops, on one thread,
// computed in float64 whatever the dtype, so that a float32 result is the rounded right answer.
#pragma once

#include "kernels/backend.h"

namespace mcn::ref {

/// Memory and copies in ref_backend.cpp; kernels in a file a family.
class RefBackend final : public ComputesKernels<RefBackend> {
 public:
  RefBackend() : ComputesKernels("ref") {}

  void copy_from_host(const void* host, View y) override;
  void copy_to_host(ConstView x, void* host) override;
  void copy(ConstView x, View y) override;

  template <typename K>
  ResultOf<K> compute(const K& k);

 protected:
  void* allocate_impl(std::size_t bytes) override;
  void release_impl(void* p, std::size_t bytes) noexcept override;
};

}  // namespace mcn::ref
