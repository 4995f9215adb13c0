// Signals that ask long work to stop at its next safe point: Ctrl-C, and those that schedulers and terminals send.
#pragma once

#include <string>

#include "kernels/error.h"

namespace mcn {

/// Thrown where work that has nothing to save stops on a signal. The command ends with exit_code_of_signal().
class Interrupted : public Error {
 public:
  using Error::Error;
};

/// While one lives, SIGINT, SIGTERM, SIGHUP, SIGUSR1 and SIGXCPU are noted instead of ending the process at once. One
/// that was ignored before stays ignored (nohup, background jobs). A second SIGINT, SIGTERM or SIGUSR1 ends the
/// process; SIGHUP and SIGXCPU come again by themselves, and do not. Guards may nest. To be made and destroyed on one
/// thread.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  /// Whether any of the signals came, under this guard or an earlier one.
  [[nodiscard]] bool requested() const;
  /// A step that begins now will take about so long: from now on a signal is answered at once by a line on stderr that
  /// says how much of it is left.
  void step_takes(double seconds) const;
  void throw_if_requested() const;
  /// The same, and end_soon: for work that has nothing to save and nothing to remove.
  void leave_if_requested() const;
};

/// 128 + number of the first signal that was noted, as shells have it: 130 for SIGINT, 143 for SIGTERM.
int exit_code_of_signal();

/// From now on the process has three seconds to end by itself. Then it ends with exit_code_of_signal(), after a line on
/// stderr if there is one left to say. An orderly end waits for threads, and one may be stuck in a file: whatever must
/// be saved or removed has to be before this is called. Needs no thread and no memory.
void end_soon(const std::string& line = {});

}  // namespace mcn
