// Deadlines in time during which the process ran. Internal to data/.
#pragma once

#include <string>

namespace mcn {

/// Seconds during which this process ran, by those who look at this clock: of the time between two looks, by whichever
/// threads, a quarter of a second counts at most. So it stands still while the process is stopped (SIGSTOP, a frozen
/// container, a suspended machine), when nobody looks. Never goes back.
double run_seconds();

/// When to give up on a file that is stuck: DataError after that many run_seconds(); 0, infinite or NaN: never.
class Deadline {
 public:
  explicit Deadline(double seconds) : seconds_(seconds) { restart(); }
  void restart();
  [[nodiscard]] bool over() const;
  /// DataError if it is over.
  void check(const std::string& name) const;

 private:
  double seconds_;
  double end_ = 0;
};

}  // namespace mcn
