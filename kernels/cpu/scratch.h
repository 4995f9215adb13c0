// Working memory of a kernel: from the backend's allocator, given back when the kernel ends.
#pragma once

#include "kernels/cpu/allocator.h"

namespace mcn::cpu {

template <class T>
class Scratch {
 public:
  /// Uninitialised; count may be 0.
  Scratch(CachingAllocator& allocator, std::int64_t count)
      : allocator_(allocator),
        data_(static_cast<T*>(allocator.allocate(static_cast<std::size_t>(count) * sizeof(T)))) {}
  ~Scratch() { allocator_.release(static_cast<void*>(data_)); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  [[nodiscard]] T* get() const { return data_; }
  T& operator[](std::int64_t i) const { return data_[i]; }

 private:
  CachingAllocator& allocator_;
  T* data_;
};

}  // namespace mcn::cpu
