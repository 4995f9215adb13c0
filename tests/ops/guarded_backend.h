// A backend in front of another one: every allocation lies between guard zones, starts as NaN and is checked when it
// is released. A kernel that writes outside its output, or reads what was never written, shows.
#pragma once

#include <map>

#include "kernels/backend.h"

namespace mcn::test {

class GuardedBackend final : public ComputesKernels<GuardedBackend> {
 public:
  explicit GuardedBackend(Backend& inner) : ComputesKernels(inner.name()), inner_(inner) {}

  /// Guard zones of all allocations so far, live ones included, are as they were laid.
  [[nodiscard]] bool guards_intact() const;
  [[nodiscard]] std::int64_t allocations() const { return allocations_; }

  void copy_from_host(const void* host, View y) override { inner_.copy_from_host(host, y); }
  void copy_to_host(ConstView x, void* host) override { inner_.copy_to_host(x, host); }
  void copy(ConstView x, View y) override { inner_.copy(x, y); }
  [[nodiscard]] bool has_precision(Precision precision) const override { return inner_.has_precision(precision); }
  void* allocate_host(std::size_t bytes) override { return inner_.allocate_host(bytes); }
  void release_host(void* p) noexcept override { inner_.release_host(p); }
  Upload upload(const void* host, View y) override { return inner_.upload(host, y); }
  void wait_upload(Upload upload) noexcept override { inner_.wait_upload(upload); }

  template <typename K>
  ResultOf<K> compute(const K& k) {
    return inner_.run(k);
  }

 protected:
  void* allocate_impl(std::size_t bytes) override;
  void release_impl(void* p, std::size_t bytes) noexcept override;

 private:
  Backend& inner_;
  std::map<void*, std::size_t> live_;
  std::int64_t allocations_ = 0;
  bool intact_ = true;
};

}  // namespace mcn::test
