// The one place through which the command prints. Nothing here throws: a stream that is closed, full or has lost its
// reader ends no work.
#pragma once

#include <fmt/format.h>

namespace mcn {

/// To be called before anything is opened. Descriptors 0 to 2 that are closed become /dev/null, so that no file of a
/// run gets such a number and what is printed with it; 1 and 2 only for reading, so that a result printed on a closed
/// stdout counts as lost. A pipe without a reader, and a file that has reached a limit, become errors of the write.
void prepare_streams() noexcept;

/// Where a text goes, and what it means that it is lost.
enum class Print { result, summary, note };
void print(Print what, fmt::string_view format, fmt::format_args arguments) noexcept;

/// What the command was asked for, on stdout: flush_results() tells of what could not be written.
template <class... Args>
void print_result(fmt::format_string<Args...> format, Args&&... arguments) noexcept {
  print(Print::result, format, fmt::make_format_args(arguments...));
}

/// On stdout, about results that are in files. What cannot be written is dropped.
template <class... Args>
void print_summary(fmt::format_string<Args...> format, Args&&... arguments) noexcept {
  print(Print::summary, format, fmt::make_format_args(arguments...));
}

/// Progress, warnings and errors, on stderr. What cannot be written is dropped.
template <class... Args>
void print_note(fmt::format_string<Args...> format, Args&&... arguments) noexcept {
  print(Print::note, format, fmt::make_format_args(arguments...));
}

/// Writes what waits in stdout's buffer. Returns errno of the first write on stdout that failed if results were
/// printed, else 0.
int flush_results() noexcept;

}  // namespace mcn
