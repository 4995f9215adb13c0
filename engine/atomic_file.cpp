// AtomicFile over POSIX calls.
#include "engine/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "kernels/error.h"

namespace mcn {

void AtomicFile::fail_now(const char* what) const {
  const int code = errno;
  fail<DataError>(prefix_, "{}: cannot {}: {}", path_, what, std::generic_category().message(code));
}

AtomicFile::AtomicFile(std::string prefix, std::string path) : prefix_(std::move(prefix)), path_(std::move(path)) {
  // Root could rename a file over /dev/null, and leave every other program without it.
  struct stat status {};
  if (::stat(path_.c_str(), &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode))
    fail<DataError>(prefix_, "{}: expected a file or nothing in its place, got a pipe, socket or device", path_);
  // A rename would put the file in the link's place, and leave the old one where the link pointed.
  std::error_code error;
  if (std::filesystem::is_symlink(path_, error))
    if (const auto target = std::filesystem::canonical(path_, error); !error) path_ = target.string();
  // The number keeps two threads of one process apart that write the same file, and this process from a killed one
  // that had its id and left a file behind.
  static std::atomic<unsigned> number{0};
  do {
    temporary_ = fmt::format("{}.tmp-{}-{}", path_, ::getpid(), number.fetch_add(1));
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (descriptor_ < 0 && errno == EEXIST);
  if (descriptor_ < 0) fail_now("create it");
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  // One call writes at most 2^31 - 4096 bytes on Linux.
  constexpr std::size_t largest = std::size_t{1} << 30;
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), std::min(bytes.size(), largest));
    if (written < 0) {
      if (errno == EINTR) continue;
      fail_now("write it");
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void AtomicFile::commit() {
  if (::fsync(descriptor_) != 0) fail_now("write it");
  // Whatever close() says, the descriptor is gone.
  if (::close(std::exchange(descriptor_, -1)) != 0) fail_now("write it");
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail_now("replace it");
  temporary_.clear();
}

}  // namespace mcn
