// The clock of deadlines.
#include "data/deadline.h"

#include <algorithm>
#include <chrono>
#include <mutex>

#include "kernels/error.h"

namespace mcn {

double run_seconds() {
  using Clock = std::chrono::steady_clock;
  // Those who wait for a file look ten times a second.
  constexpr std::chrono::duration<double> longest{0.25};
  static std::mutex mutex;
  static Clock::time_point last = Clock::now();
  static double total = 0;
  const std::lock_guard lock(mutex);
  const Clock::time_point now = Clock::now();
  total += std::min<std::chrono::duration<double>>(now - last, longest).count();
  last = now;
  return total;
}

void Deadline::restart() {
  if (seconds_ > 0) end_ = run_seconds() + seconds_;
}

bool Deadline::over() const { return seconds_ > 0 && run_seconds() >= end_; }

void Deadline::check(const std::string& name) const {
  if (over()) fail<DataError>("video", "{}: not done after {} s", name, seconds_);
}

}  // namespace mcn
