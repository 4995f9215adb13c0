// Too few file descriptors, for a while.
#pragma once

#include <sys/resource.h>

namespace mcn::test {

/// Whether a test may be left without any descriptor: the sanitizers open pipes.
#ifdef MCN_SANITIZED
inline constexpr bool descriptors_may_run_out = false;
#else
inline constexpr bool descriptors_may_run_out = true;
#endif

/// A lower limit on open files for as long as it lives.
class DescriptorLimit {
 public:
  explicit DescriptorLimit(rlim_t limit) {
    getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit lowered{limit, before_.rlim_max};
    setrlimit(RLIMIT_NOFILE, &lowered);
  }
  ~DescriptorLimit() { setrlimit(RLIMIT_NOFILE, &before_); }
  DescriptorLimit(const DescriptorLimit&) = delete;
  DescriptorLimit& operator=(const DescriptorLimit&) = delete;

 private:
  rlimit before_{};
};

}  // namespace mcn::test
