// The signal handlers.
#include "tools/interrupt.h"

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "tools/command.h"

namespace mcn {
namespace {

volatile std::sig_atomic_t interrupt_requested = 0;

// One request is enough: the default handler is back for the next signal.
extern "C" void note_interrupt(int signal) {
  interrupt_requested = 1;
  std::signal(signal, SIG_DFL);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  interrupt_requested = 0;
  std::signal(SIGINT, note_interrupt);
  std::signal(SIGTERM, note_interrupt);
}

InterruptGuard::~InterruptGuard() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
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
