// The system calls of this test program, noted and made to fail. The program's own open(), pread(), socket() and
// posix_memalign() stand before the C library's, also for FFmpeg.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mcn::test {

/// While it lives: the names by which files are opened, in order, and the sockets that are made.
class Watch {
 public:
  Watch();
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  [[nodiscard]] std::vector<std::string> opened() const;
  [[nodiscard]] int sockets() const;
};

enum class Call : std::uint8_t { open, pread, allocate };

/// While it lives, calls of one kind fail: after the first `before`, the next `times` (-1: all). open and pread on
/// files whose names end like `name`; allocate: FFmpeg's, of all threads.
class FailingCalls {
 public:
  FailingCalls(Call call, int error, int before, int times, const std::string& name = "");
  ~FailingCalls();
  FailingCalls(const FailingCalls&) = delete;
  FailingCalls& operator=(const FailingCalls&) = delete;

  /// Calls of the kind until now, those that failed among them.
  [[nodiscard]] int calls() const;
  [[nodiscard]] int failed() const;
};

/// False where a sanitizer has taken the place of the allocator.
bool can_fail_allocations();

}  // namespace mcn::test
