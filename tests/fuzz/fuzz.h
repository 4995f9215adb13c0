// What the fuzz targets share. A target hands arbitrary bytes to a reader: it may throw mcn::Error, of one line, and
// nothing else.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "kernels/error.h"

namespace mcn::fuzz {

/// A violated promise: ends the process, so that libFuzzer keeps the input.
[[noreturn]] inline void violated(std::string_view promise) {
  std::fprintf(stderr, "violated: %.*s\n", static_cast<int>(promise.size()), promise.data());
  std::abort();
}

/// A regular file in memory with a path: readers take paths, and a disk would be what is measured.
class MemoryFile {
 public:
  MemoryFile() : descriptor_(memfd_create("mcn-fuzz", 0)) {
    if (descriptor_ < 0) violated("memfd_create works");
  }
  ~MemoryFile() { close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  void write(const std::uint8_t* data, std::size_t size) {
    if (ftruncate(descriptor_, 0) != 0 || pwrite(descriptor_, data, size, 0) != static_cast<ssize_t>(size))
      violated("a file in memory can be written");
  }
  [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

/// Calls a reader, and checks that an error is one line.
template <class F>
void read(F&& reader) {
  try {
    reader();
  } catch (const Error& e) {
    if (std::string_view(e.what()).find('\n') != std::string_view::npos) violated("an error is one line");
  }
}

}  // namespace mcn::fuzz
