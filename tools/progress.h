// Progress of long work on stderr: a bar that is redrawn on a terminal, plain lines otherwise.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <string>
#include <utility>

namespace mcn {

/// How fast work goes now: over the last 20 reports, or over as many as the last minute has if these are more.
class Pace {
 public:
  /// seconds: since any fixed time, never less than before.
  void report(double seconds, std::int64_t done);
  /// Items a second; NaN before the second report.
  [[nodiscard]] double per_second() const;

 private:
  std::deque<std::pair<double, std::int64_t>> reports_;
};

class Progress {
 public:
  /// done_before: items that an earlier run did. The time left is estimated from the pace of the last items.
  Progress(std::string name, std::int64_t total, std::int64_t done_before = 0);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// status: a few words shown at the end of the line. Drawn at most ten times a second on a terminal; elsewhere a line
  /// whenever another twentieth of the work is done, or 30 seconds have passed.
  void update(std::int64_t done, const std::string& status);
  /// A line of its own, above the progress.
  void note(const std::string& line);
  /// Draws the last state and ends the line.
  void finish();

 private:
  using Clock = std::chrono::steady_clock;
  void draw(Clock::time_point now);

  std::string name_, status_;
  std::int64_t total_, done_, drawn_ = -1;
  bool terminal_, finished_ = false;
  Pace pace_;
  Clock::time_point start_, last_draw_;
};

/// The line that Progress draws. width: columns of the terminal; 0: no bar.
std::string progress_line(const std::string& name, std::int64_t done, std::int64_t total, double seconds_left,
                          const std::string& status, int width);
/// "3:05" or "1:02:09"; "--:--" for a time that is not known.
std::string clock_time(double seconds);

}  // namespace mcn
