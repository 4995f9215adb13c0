// Errors of the whole project: one exception type a cause, a prefix, what was expected and what was found.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace mcn {

/// Root of every exception that the library throws on purpose. what() is one line: "[prefix] message".
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A call or an option that cannot be honoured: shapes that do not fit, an unknown name. Exit code 2.
class UsageError : public Error {
 public:
  using Error::Error;
};

/// A file or data set that cannot be used. Exit code 3.
class DataError : public Error {
 public:
  using Error::Error;
};

/// A device that is missing, faulty or out of memory. Exit code 4.
class DeviceError : public Error {
 public:
  using Error::Error;
};

/// Memory that a device, or the host on its behalf, does not have. Exit code 4.
class MemoryError : public DeviceError {
 public:
  using DeviceError::DeviceError;
};

/// A call of the operating system, or of a library on its behalf, failed for a reason that lies neither in the call nor
/// in the data: no memory, no descriptor left, a disk that does not answer. The same work may succeed another time.
/// Whoever replaces or counts unusable videos, or looks for another file, must not catch it. Exit code 4.
class SystemError : public DeviceError {
 public:
  using DeviceError::DeviceError;
};

/// A value that is not finite where training cannot go on. Exit code 5.
class NonFiniteError : public Error {
 public:
  using Error::Error;
};

/// The text with control characters as \xNN.
inline std::string one_line(std::string_view text) {
  std::string line;
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (code < 0x20 || code == 0x7F)
      line += fmt::format("\\x{:02x}", code);
    else
      line += c;
  }
  return line;
}

/// Throws E with the text "[prefix] formatted message". The arguments may hold anything: names of files do.
template <class E = UsageError, class... Args>
[[noreturn]] void fail(std::string_view prefix, fmt::format_string<Args...> format, Args&&... args) {
  throw E(one_line(fmt::format("[{}] {}", prefix, fmt::format(format, std::forward<Args>(args)...))));
}

/// Whether an errno speaks of the file that a call named, read or wrote ("no such file", "permission denied", "no space
/// left on device"), and not of the system's state: no memory or descriptors, an interruption, a device that fails (EIO
/// of a damaged disk, too).
bool is_fault_of_file(int error);

/// Throws DataError "[prefix] what: text of errno" for an errno that is the file's fault, SystemError for every other.
[[noreturn]] void fail_by_errno(std::string_view prefix, std::string_view what, int error);

}  // namespace mcn
