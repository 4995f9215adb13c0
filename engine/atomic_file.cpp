// AtomicFile over POSIX calls.
#include "engine/atomic_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "kernels/error.h"

namespace mcn {
namespace {

constexpr std::string_view mark = ".tmp-";

// The process that "name.tmp-123-4" belongs to; nothing for a name of another kind.
std::optional<pid_t> writer_of(std::string_view name) {
  const std::size_t found = name.rfind(mark);
  if (found == std::string_view::npos) return {};
  const std::string_view numbers = name.substr(found + mark.size());
  pid_t process = 0;
  unsigned number = 0;
  const char* const begin = numbers.data();
  const char* const end = begin + numbers.size();
  const auto [dash, error] = std::from_chars(begin, end, process);
  if (error != std::errc() || process <= 0 || dash == end || *dash != '-') return {};
  const auto [rest, failed] = std::from_chars(dash + 1, end, number);
  return failed == std::errc() && rest == end ? std::optional(process) : std::nullopt;
}

bool runs(pid_t process) { return ::kill(process, 0) == 0 || errno != ESRCH; }

// A process of another container has an id that means another one here, or none; but its lock is seen.
bool is_locked(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) return false;
  const bool locked = ::flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  ::close(descriptor);
  return locked;
}

}  // namespace

void AtomicFile::fail_now(const char* what) const {
  const int code = errno;
  fail_by_errno(prefix_, fmt::format("{}: cannot {}", path_, what), code);
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
    temporary_ = fmt::format("{}{}{}-{}", path_, mark, ::getpid(), number.fetch_add(1));
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (descriptor_ < 0 && errno == EEXIST);
  if (descriptor_ < 0) fail_now("create it");
  // For remove_left_temporaries. A file system may have no locks.
  static_cast<void>(::flock(descriptor_, LOCK_EX | LOCK_NB));
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

void AtomicFile::keep_earlier(int keep) const {
  struct stat status {};
  if (::stat(path_.c_str(), &status) != 0) return;
  for (int i = keep - 1; i > 1; --i)
    if (::rename(kept_path(path_, i - 1).c_str(), kept_path(path_, i).c_str()) != 0 && errno != ENOENT)
      fail_now("keep the one before it");
  const std::string first = kept_path(path_, 1);
  if (::unlink(first.c_str()) != 0 && errno != ENOENT) fail_now("keep the one before it");
  // A second name: the file is in its place until the new one is.
  if (::link(path_.c_str(), first.c_str()) == 0) return;
  if (::rename(path_.c_str(), first.c_str()) != 0) fail_now("keep the one before it");
}

void AtomicFile::commit(int keep) {
  if (::fsync(descriptor_) != 0) fail_now("write it");
  // Whatever close() says, the descriptor is gone.
  if (::close(std::exchange(descriptor_, -1)) != 0) fail_now("write it");
  if (keep > 1) keep_earlier(keep);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail_now("replace it");
  temporary_.clear();
}

std::string kept_path(const std::string& path, int i) {
  const std::filesystem::path p(path);
  return (p.parent_path() / fmt::format("{}-{}{}", p.stem().string(), i, p.extension().string())).string();
}

void remove_left_temporaries(const std::string& folder) {
  std::error_code error;
  for (auto entry = std::filesystem::directory_iterator(folder, error);
       !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::optional<pid_t> writer = writer_of(entry->path().filename().string());
    const std::string path = entry->path().string();
    if (writer && (*writer == ::getpid() || !runs(*writer)) && !is_locked(path)) ::unlink(path.c_str());
  }
}

}  // namespace mcn
