// The number of the kernels' threads for the length of a scope.
#pragma once

#include "kernels/parallel.h"

namespace mcn::test {

class Threads {
 public:
  explicit Threads(int count) : before_(thread_count()) { set_thread_count(count); }
  ~Threads() { set_thread_count(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_;
};

}  // namespace mcn::test
