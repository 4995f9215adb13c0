// The signal handlers.
#include "tools/interrupt.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <ctime>

#include "tools/print.h"

namespace mcn {
namespace {

struct Stop {
  int signal;
  const char* by;        // who stops the work, in a message
  bool comes_by_itself;  // again, so that a second one asks for nothing
};
// A terminal that closes sends SIGHUP, and so does its shell; the kernel sends SIGXCPU every second.
constexpr std::array stops{Stop{SIGINT, "the user", false}, Stop{SIGTERM, "SIGTERM", false},
                           Stop{SIGHUP, "SIGHUP", true}, Stop{SIGUSR1, "SIGUSR1", false},
                           Stop{SIGXCPU, "SIGXCPU", true}};

const Stop& stop_of(int signal) {
  return *std::ranges::find(stops, signal, &Stop::signal);  // the handler has no other
}

volatile std::sig_atomic_t first_signal = 0;

int guards = 0;
std::array<struct sigaction, stops.size()> before;  // the first guard

// When the step under way is expected to end, in nanoseconds of the steady clock; 0: nobody says, and so does the
// handler.
std::atomic<std::int64_t> step_ends{0};
static_assert(std::atomic<std::int64_t>::is_always_lock_free);

std::int64_t steady_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// Only what a signal handler may call, here and below.
void put(const char* text) {
  const auto ignored = ::write(STDERR_FILENO, text, std::strlen(text));
  static_cast<void>(ignored);
}

void say_that_it_stops(bool second_one_ends) {
  const std::int64_t ends = step_ends.load();
  if (ends == 0) return;
  std::array<char, 24> digits{};
  const std::int64_t seconds = std::max<std::int64_t>(1, (ends - steady_ns() + 999'999'999) / 1'000'000'000);
  *std::to_chars(digits.data(), digits.data() + digits.size() - 1, seconds).ptr = '\0';
  put("\nstopping after this iteration (about ");
  put(digits.data());
  put(second_one_ends ? " s left); once more stops now, without a checkpoint\n" : " s left)\n");
}

extern "C" void note_signal(int signal) {
  const int error = errno;
  const bool first = first_signal == 0;
  if (first) first_signal = signal;
  const bool second_one_ends = !stop_of(signal).comes_by_itself;
  if (second_one_ends) std::signal(signal, SIG_DFL);
  if (first) say_that_it_stops(second_one_ends);
  errno = error;
}

std::array<char, 512> last_words{};

extern "C" void end_now(int) {
  put(last_words.data());
  // Without destructors: some would wait, others take away what the stuck thread still uses.
  ::_exit(exit_code_of_signal());
}

void handle(int signal, void (*handler)(int), struct sigaction* old) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  ::sigaction(signal, &action, old);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  if (guards++ > 0) return;
  step_ends = 0;
  for (std::size_t i = 0; i < stops.size(); ++i) {
    ::sigaction(stops[i].signal, nullptr, &before[i]);
    if (before[i].sa_handler != SIG_IGN) handle(stops[i].signal, note_signal, nullptr);
  }
}

InterruptGuard::~InterruptGuard() {
  if (--guards > 0) return;
  for (std::size_t i = 0; i < stops.size(); ++i) ::sigaction(stops[i].signal, &before[i], nullptr);
}

void InterruptGuard::step_takes(double seconds) const {
  constexpr double most = 1e6;
  step_ends = steady_ns() + static_cast<std::int64_t>(1e9 * std::clamp(seconds, 0.0, most));
}

bool InterruptGuard::requested() const { return first_signal != 0; }

void InterruptGuard::throw_if_requested() const {
  if (requested()) fail<Interrupted>("interrupt", "stopped by {}", stop_of(first_signal).by);
}

void InterruptGuard::leave_if_requested() const {
  if (!requested()) return;
  try {
    throw_if_requested();
  } catch (const Interrupted& error) {
    end_soon(error.what());
    throw;
  }
}

int exit_code_of_signal() { return 128 + first_signal; }

void end_soon(const std::string& line) {
  flush_results();
  if (!line.empty()) {
    const std::size_t most = last_words.size() - sizeof("mcn: \n");
    std::strcpy(last_words.data(), "mcn: ");
    std::strncat(last_words.data(), line.c_str(), most);
    std::strcat(last_words.data(), "\n");
  }
  handle(SIGALRM, end_now, nullptr);
  sigset_t alarms;
  sigemptyset(&alarms);
  sigaddset(&alarms, SIGALRM);
  pthread_sigmask(SIG_UNBLOCK, &alarms, nullptr);
  ::alarm(3);
}

}  // namespace mcn
