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

/// A value that is not finite where training cannot go on. Exit code 5.
class NonFiniteError : public Error {
 public:
  using Error::Error;
};

/// Throws E with the text "[prefix] formatted message".
template <class E = UsageError, class... Args>
[[noreturn]] void fail(std::string_view prefix, fmt::format_string<Args...> format, Args&&... args) {
  throw E(fmt::format("[{}] {}", prefix, fmt::format(format, std::forward<Args>(args)...)));
}

}  // namespace mcn
