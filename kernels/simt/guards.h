// Loads and stores beside an allocation while a kernel runs: noticed by the memory round it that nobody may touch
// (kernels/simt/memory.h).
#pragma once

#include <optional>

#include "kernels/simt/language.h"
#include "kernels/simt/memory.h"

namespace mcn::simt {

/// While it lives, a load or store in such memory is noted and goes on, since an exception cannot leave a signal's
/// handler; any other fault is what it was before. One at a time.
class GuardWatch {
 public:
  GuardWatch();
  GuardWatch(const GuardWatch&) = delete;
  GuardWatch& operator=(const GuardWatch&) = delete;
  ~GuardWatch();
};

struct Touch {
  const void* address = nullptr;
  MemoryRange allocation;  ///< beside which it lies
  bool writes = false;     ///< told apart on x86-64 alone
  uint3 thread{0, 0, 0};
};

/// The first one of the calling thread since its last call.
std::optional<Touch> take_touch();

}  // namespace mcn::simt
