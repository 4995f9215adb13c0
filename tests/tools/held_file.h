// A file that nobody can open: open() blocks, as on a network file system that does not answer.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <sstream>
#include <string>
#include <thread>

#include "tests/tools/run_command.h"

namespace mcn::test {

/// By a lease, which the kernel takes away only after /proc/sys/fs/lease-break-time (45 s).
class HeldFile {
 public:
  explicit HeldFile(const std::string& path) : descriptor_(::open(path.c_str(), O_RDWR | O_CLOEXEC)) {
    ::signal(SIGIO, SIG_IGN);  // that somebody wants it
    held_ = ::fcntl(descriptor_, F_SETLEASE, F_WRLCK) == 0;
  }
  ~HeldFile() { ::close(descriptor_); }
  HeldFile(const HeldFile&) = delete;
  HeldFile& operator=(const HeldFile&) = delete;

  /// False on a file system without leases.
  [[nodiscard]] bool held() const { return held_; }
  /// True as soon as somebody is stuck in open(), or was; false after a minute.
  [[nodiscard]] bool wait_for_a_victim() const {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (std::chrono::steady_clock::now() < deadline) {
      if (::fcntl(descriptor_, F_GETLEASE) != F_WRLCK) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }
  /// The kernel has not let anybody through yet.
  [[nodiscard]] bool still_held() const {
    std::istringstream locks(read_file("/proc/locks"));
    const std::string ours = " " + std::to_string(::getpid()) + " ";
    for (std::string line; std::getline(locks, line);)
      if (line.find("LEASE") != std::string::npos && line.find(ours) != std::string::npos)
        return line.find("BREAKING") != std::string::npos || ::fcntl(descriptor_, F_GETLEASE) == F_WRLCK;
    return false;
  }

 private:
  int descriptor_;
  bool held_ = false;
};

}  // namespace mcn::test
