// The bytes of a video, by their place in it. Internal to data/.
#pragma once

#include <cstdint>
#include <span>

#include "data/deadline.h"
#include "data/source.h"

namespace mcn {

/// The same as the other check_source(), with a limit to the time that it may take.
std::int64_t check_source(const VideoSource& source, const Deadline& deadline);

/// An open file, or a range of one. A call that is interrupted, or fails for the system's sake, is made again, the
/// latter twice at most; what persists is a SystemError and never an end of the file.
class FileBytes {
 public:
  /// Throws what check_source() throws, DataError for a file that may not be read, SystemError.
  FileBytes(const VideoSource& source, const Deadline& deadline);
  FileBytes(const FileBytes&) = delete;
  FileBytes& operator=(const FileBytes&) = delete;
  ~FileBytes();

  [[nodiscard]] std::int64_t size() const { return size_; }
  [[nodiscard]] const std::string& name() const { return name_; }

  /// Fills `out` with the bytes from `at` on, and returns how many there are, fewer only at the end. DataError after
  /// the deadline, or if the file has become shorter than it was.
  std::size_t read(std::int64_t at, std::span<std::uint8_t> out, const Deadline& deadline) const;

 private:
  std::string name_;
  std::int64_t first_ = 0, size_ = 0;
  int descriptor_ = -1;
};

}  // namespace mcn
