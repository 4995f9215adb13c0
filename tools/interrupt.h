// Ctrl-C: asks long work to stop at its next safe point; a second one kills.
#pragma once

#include "kernels/error.h"

namespace mcn {

/// Thrown where work that has nothing to save stops on Ctrl-C. Exit code 130.
class Interrupted : public Error {
 public:
  using Error::Error;
};

/// While it lives, SIGINT and SIGTERM are noted instead of ending the process at once.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  [[nodiscard]] bool requested() const;
  void throw_if_requested() const {
    if (requested()) fail<Interrupted>("interrupt", "stopped by the user");
  }
};

}  // namespace mcn
