// How much memory a call takes, as AddressSanitizer's allocator sees it.
#pragma once

#include <sanitizer/allocator_interface.h>

#include <algorithm>
#include <atomic>
#include <cstddef>

#include "tests/fuzz/fuzz.h"

namespace mcn::fuzz {

/// The most that is allocated at one time from here on, beyond what is now. One at a time.
class AllocationPeak {
 public:
  AllocationPeak() {
    static const bool installed = __sanitizer_install_malloc_and_free_hooks(allocated, freed) != 0;
    if (!installed) violated("allocations can be watched");
    held_ = peak_ = 0;
  }
  [[nodiscard]] std::size_t bytes() const { return static_cast<std::size_t>(peak_.load()); }

 private:
  static void allocated(const volatile void*, std::size_t size) {
    const auto held = held_ += static_cast<std::ptrdiff_t>(size);
    peak_ = std::max(peak_.load(), held);
  }
  static void freed(const volatile void* p) {
    if (p != nullptr) held_ -= static_cast<std::ptrdiff_t>(__sanitizer_get_allocated_size(p));
  }

  static inline std::atomic<std::ptrdiff_t> held_, peak_;
};

}  // namespace mcn::fuzz
