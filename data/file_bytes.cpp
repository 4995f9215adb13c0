// open() and pread(), patiently.
#include "data/file_bytes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

#include "kernels/error.h"

namespace mcn {
namespace {

/// The result of a call that gives a negative number and sets errno when it fails.
template <class Call>
auto patiently(const Call& call, const Deadline& deadline, const std::string& name) {
  for (int failures = 0;;) {
    const auto result = call();
    if (result >= 0) return result;
    const int error = errno;
    // The thread that waits for a stuck file interrupts the call that blocks, to have the deadline looked at.
    deadline.check(name);
    if (error == EINTR) continue;
    constexpr int most_failures = 3;
    if (is_fault_of_file(error) || ++failures == most_failures) fail_by_errno("video", name, error);
    std::this_thread::sleep_for(std::chrono::milliseconds(failures == 1 ? 10 : 50));
  }
}

}  // namespace

std::int64_t check_source(const VideoSource& source) { return check_source(source, Deadline(0)); }

std::int64_t check_source(const VideoSource& source, const Deadline& deadline) {
  struct stat status {};
  const bool there = patiently(
                         [&] {
                           const int result = ::stat(source.path.c_str(), &status);
                           const bool absent = errno == ENOENT || errno == ENOTDIR || errno == ELOOP;
                           return result != 0 && absent ? 1 : result;
                         },
                         deadline, source.name) == 0;
  if (!there) fail<DataError>("video", "{}: no such file", source.name);
  if (!S_ISREG(status.st_mode))
    fail<DataError>("video", "{}: expected a regular file, got a {}", source.name,
                    S_ISDIR(status.st_mode) ? "folder" : "pipe, socket or device");
  const auto size = static_cast<std::int64_t>(status.st_size);
  const std::int64_t bytes = source.whole_file() ? size : source.bytes;
  if (bytes == 0) fail<DataError>("video", "{}: the file is empty", source.name);
  if (!source.whole_file() && (source.offset < 0 || source.offset > size - bytes))
    fail<DataError>("video", "{}: expected {} bytes from byte {} on, of a file that has {}; has it changed?",
                    source.name, bytes, source.offset, size);
  return bytes;
}

FileBytes::FileBytes(const VideoSource& source, const Deadline& deadline)
    : name_(source.name), first_(source.offset), size_(check_source(source, deadline)) {
  descriptor_ =
      patiently([&] { return ::open(source.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY); }, deadline, name_);
  try {
    // What the name stands for may have changed since it was looked at.
    struct stat status {};
    patiently([&] { return ::fstat(descriptor_, &status); }, deadline, name_);
    if (!S_ISREG(status.st_mode)) fail<DataError>("video", "{}: expected a regular file", name_);
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

FileBytes::~FileBytes() { ::close(descriptor_); }

std::size_t FileBytes::read(std::int64_t at, std::span<std::uint8_t> out, const Deadline& deadline) const {
  if (at < 0 || at >= size_) return 0;
  const auto wanted = std::min(out.size(), static_cast<std::size_t>(size_ - at));
  std::size_t got = 0;
  while (got < wanted) {
    deadline.check(name_);
    const auto more = patiently(
        [&] { return ::pread(descriptor_, out.data() + got, wanted - got, first_ + at + static_cast<off_t>(got)); },
        deadline, name_);
    if (more == 0)
      fail<DataError>("video", "{}: expected {} bytes, it ends at byte {}; has it changed?", name_, size_,
                      at + static_cast<std::int64_t>(got));
    got += static_cast<std::size_t>(more);
  }
  return got;
}

}  // namespace mcn
