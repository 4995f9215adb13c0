// The signal handlers.
#include "tools/interrupt.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <thread>

#include "tools/command.h"

namespace mcn {
namespace {

volatile std::sig_atomic_t interrupt_requested = 0;

// When the step under way is expected to end, in nanoseconds of the steady clock; 0: nobody says, and so does the
// handler.
std::atomic<std::int64_t> step_ends{0};
static_assert(std::atomic<std::int64_t>::is_always_lock_free);

std::int64_t steady_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// Only what a signal handler may call.
void say_that_it_stops() {
  const std::int64_t ends = step_ends.load();
  if (ends == 0) return;
  const auto put = [](const char* text) {
    const auto ignored = ::write(STDERR_FILENO, text, std::strlen(text));
    static_cast<void>(ignored);
  };
  std::array<char, 24> digits{};
  const std::int64_t seconds = std::max<std::int64_t>(1, (ends - steady_ns() + 999'999'999) / 1'000'000'000);
  *std::to_chars(digits.data(), digits.data() + digits.size() - 1, seconds).ptr = '\0';
  put("\nstopping after this iteration (about ");
  put(digits.data());
  put(" s left); once more stops now, without a checkpoint\n");
}

// One request is enough: the default handler is back for the next signal, of either kind.
extern "C" void note_interrupt(int) {
  const int error = errno;
  interrupt_requested = 1;
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  say_that_it_stops();
  errno = error;
}

}  // namespace

InterruptGuard::InterruptGuard() {
  interrupt_requested = 0;
  step_ends = 0;
  std::signal(SIGINT, note_interrupt);
  std::signal(SIGTERM, note_interrupt);
}

InterruptGuard::~InterruptGuard() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

void InterruptGuard::step_takes(double seconds) const {
  constexpr double most = 1e6;
  step_ends = steady_ns() + static_cast<std::int64_t>(1e9 * std::clamp(seconds, 0.0, most));
}

bool InterruptGuard::requested() const { return interrupt_requested != 0; }

void InterruptGuard::leave_if_requested() const {
  if (!requested()) return;
  try {
    throw_if_requested();
  } catch (const Interrupted& error) {
    end_soon(error.what());
    throw;
  }
}

void end_soon(const std::string& line) {
  std::thread([line] {
    std::this_thread::sleep_for(std::chrono::seconds(3));
    if (!line.empty()) fmt::print(stderr, "mcn: {}\n", line);
    std::fflush(stdout);
    // Without destructors: some would wait, others take away what the stuck thread still uses.
    std::_Exit(interrupted);
  }).detach();
}

}  // namespace mcn
