// Ctrl-C: asks long work to stop at its next safe point; a second one kills.
#pragma once

#include <string>

#include "kernels/error.h"

namespace mcn {

/// Thrown where work that has nothing to save stops on Ctrl-C. Exit code 130.
class Interrupted : public Error {
 public:
  using Error::Error;
};

/// While it lives, SIGINT and SIGTERM are noted instead of ending the process at once; a second one ends it.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  [[nodiscard]] bool requested() const;
  /// A step that begins now will take about so long: from now on a signal is answered at once by a line on stderr that
  /// says how much of it is left.
  void step_takes(double seconds) const;
  void throw_if_requested() const {
    if (requested()) fail<Interrupted>("interrupt", "stopped by the user");
  }
  /// The same, and end_soon: for work that has nothing to save and nothing to remove.
  void leave_if_requested() const;
};

/// From now on the process has three seconds to end by itself. Then it ends with exit code 130, after a line on stderr
/// if there is one left to say. An orderly end waits for threads, and one may be stuck in a file: whatever must be
/// saved or removed has to be before this is called.
void end_soon(const std::string& line = {});

}  // namespace mcn
