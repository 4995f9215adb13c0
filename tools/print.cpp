// Writes that cannot fail loudly.
#include "tools/print.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <iterator>

namespace mcn {
namespace {

int first_loss = 0;  // errno
bool has_results = false;

void note_loss(int error) {
  if (first_loss == 0) first_loss = error != 0 ? error : EIO;
}

}  // namespace

void prepare_streams() noexcept {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(descriptor, F_GETFD) == -1 && errno == EBADF && ::open("/dev/null", O_RDONLY) == -1)
      static_cast<void>(::open("/", O_PATH));  // a root folder may have no /dev/null; this takes the number
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

void print(Print what, fmt::string_view format, fmt::format_args arguments) noexcept {
  std::FILE* const stream = what == Print::note ? stderr : stdout;
  has_results = has_results || what == Print::result;
  try {
    fmt::memory_buffer text;
    fmt::vformat_to(std::back_inserter(text), format, arguments);
    if (std::fwrite(text.data(), 1, text.size(), stream) != text.size() && stream == stdout) note_loss(errno);
  } catch (...) {
    if (stream == stdout) note_loss(ENOMEM);
  }
}

int flush_results() noexcept {
  if (std::fflush(stdout) != 0) note_loss(errno);
  return has_results ? first_loss : 0;
}

}  // namespace mcn
