// Drawing, and when to draw.
#include "tools/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "tools/print.h"

namespace mcn {
namespace {

int terminal_width() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

std::string clock_time(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e9) return "--:--";
  const auto s = static_cast<std::int64_t>(std::llround(seconds));
  if (s < 3600) return fmt::format("{}:{:02}", s / 60, s % 60);
  return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

std::string progress_line(const std::string& name, std::int64_t done, std::int64_t total, double seconds_left,
                          const std::string& status, int width) {
  const double share = total > 0 ? std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0) : 1.0;
  const std::string tail =
      fmt::format("{}/{}  {} left{}{}", done, total, clock_time(seconds_left), status.empty() ? "" : "  ", status);
  if (width == 0) return fmt::format("{}: {:3.0f}%  {}", name, 100 * share, tail);
  constexpr int bar = 20;
  const auto filled = static_cast<std::size_t>(share * bar);
  std::string line = fmt::format("{} [{}{}] {:3.0f}%  {}", name, std::string(filled, '#'),
                                 std::string(bar - filled, '.'), 100 * share, tail);
  // A line that wraps could not be redrawn.
  if (line.size() >= static_cast<std::size_t>(width)) line.resize(static_cast<std::size_t>(std::max(1, width - 1)));
  return line;
}

void Pace::report(double seconds, std::int64_t done) {
  reports_.emplace_back(seconds, done);
  constexpr std::size_t most_reports = 21, most_kept = 100'000;
  constexpr double window = 60;
  while (reports_.size() > most_kept || (reports_.size() > most_reports && reports_[1].first <= seconds - window))
    reports_.pop_front();
}

double Pace::per_second() const {
  if (reports_.size() < 2) return std::nan("");
  const auto& [start, before] = reports_.front();
  const auto& [end, after] = reports_.back();
  return static_cast<double>(after - before) / (end - start);
}

Progress::Progress(std::string name, std::int64_t total, std::int64_t done_before)
    : name_(std::move(name)),
      total_(total),
      done_(done_before),
      terminal_(isatty(STDERR_FILENO) == 1),
      start_(Clock::now()),
      last_draw_(start_ - std::chrono::hours(1)) {
  pace_.report(0, done_before);
}

Progress::~Progress() {
  // Work that ends by an exception leaves its last state on a line of its own.
  if (!finished_ && terminal_ && drawn_ >= 0) print_note("\n");
}

void Progress::update(std::int64_t done, const std::string& status) {
  done_ = done;
  status_ = status;
  const auto now = Clock::now();
  pace_.report(std::chrono::duration<double>(now - start_).count(), done);
  const auto since = now - last_draw_;
  const bool another_twentieth = total_ > 0 && drawn_ >= 0 && 20 * done / total_ > 20 * drawn_ / total_;
  if (terminal_ ? since >= std::chrono::milliseconds(100)
                : drawn_ < 0 || another_twentieth || since >= std::chrono::seconds(30))
    draw(now);
}

void Progress::note(const std::string& line) {
  if (terminal_ && drawn_ >= 0 && !finished_) print_note("\r\033[K");
  print_note("{}\n", line);
}

void Progress::finish() {
  if (finished_) return;
  finished_ = true;
  if (drawn_ != done_) draw(Clock::now());
  if (terminal_) print_note("\n");
}

void Progress::draw(Clock::time_point now) {
  const double left = static_cast<double>(total_ - done_) / pace_.per_second();
  const std::string line = progress_line(name_, done_, total_, left, status_, terminal_ ? terminal_width() : 0);
  if (terminal_)
    print_note("\r\033[K{}", line);
  else
    print_note("{}\n", line);
  drawn_ = done_;
  last_draw_ = now;
}

}  // namespace mcn
