// What the fuzz targets share. A target hands arbitrary bytes to a reader, which may throw DataError or UsageError, of
// one line, and nothing else.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <list>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "data/dataset.h"
#include "kernels/error.h"
#include "tests/temporary_folder.h"

namespace mcn::fuzz {

/// A violated promise: ends the process, so that libFuzzer keeps the input.
[[noreturn]] inline void violated(std::string_view promise) {
  std::fprintf(stderr, "violated: %.*s\n", static_cast<int>(promise.size()), promise.data());
  std::abort();
}

inline std::string_view as_text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// A regular file in memory with a path: readers take paths, and a disk would be what is measured.
class MemoryFile {
 public:
  MemoryFile() : descriptor_(memfd_create("mcn-fuzz", 0)) {
    if (descriptor_ < 0) violated("memfd_create works");
  }
  /// With another path, too.
  explicit MemoryFile(const std::filesystem::path& other) : MemoryFile() {
    std::filesystem::create_directories(other.parent_path());
    std::filesystem::create_symlink(path(), other);
  }
  ~MemoryFile() { close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  void write(std::string_view text) {
    if (ftruncate(descriptor_, 0) != 0 ||
        pwrite(descriptor_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
      violated("a file in memory can be written");
  }
  [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

/// Calls a reader, and checks that an error is one line.
template <class F>
void read(F&& reader) {
  const auto check = [](std::string_view message) {
    if (message.find_first_of(std::string_view("\n\r\0", 3)) != std::string_view::npos)
      violated("an error is one line");
  };
  try {
    reader();
  } catch (const DataError& e) {
    check(e.what());
  } catch (const UsageError& e) {
    check(e.what());
  }
}

/// A folder of videos, which hold nothing, and of lists, which an input fills.
class DataSetFolder {
 public:
  DataSetFolder(DatasetFormat format, std::initializer_list<const char*> videos) {
    config.root = folder_.file("set");
    config.format = format;
    for (const char* name : videos) {
      const std::filesystem::path path = file(name);
      std::filesystem::create_directories(path.parent_path());
      std::ofstream(path) << "x";
    }
  }

  /// Relative to the root.
  [[nodiscard]] std::filesystem::path file(const char* name) const { return std::filesystem::path(config.root) / name; }

  /// Reads both subsets, and checks what every data set promises.
  void check() const {
    for (const Subset subset : {Subset::train, Subset::test})
      read([&] {
        const Dataset dataset = load_dataset(config, subset);
        if (dataset.videos.empty()) violated("a data set has videos");
        std::set<std::pair<std::string, std::int64_t>> places;
        for (const VideoEntry& video : dataset.videos) {
          const auto classes = static_cast<std::int64_t>(dataset.classes.size());
          if (classes == 0 ? video.label != -1 : video.label < 0 || video.label >= classes)
            violated("a label is the index of a class, or -1 where there are no classes");
          const std::filesystem::path file = video.source.path;
          if (!std::filesystem::exists(file)) violated("a video is on disk");
          if (!places.emplace(file.lexically_normal().string(), video.source.offset).second)
            violated("no video is there twice");
        }
      });
  }

  DatasetConfig config;

 private:
  test::TemporaryFolder folder_;
};

/// Files of a folder, of which an input is the texts, with a NUL between one and the next.
class TextFiles {
 public:
  TextFiles(const DataSetFolder& folder, std::initializer_list<const char*> names) {
    for (const char* name : names) files_.emplace_back(folder.file(name));
  }
  void write(std::string_view texts) {
    for (MemoryFile& file : files_) {
      const std::size_t end = std::min(texts.find('\0'), texts.size());
      file.write(texts.substr(0, end));
      texts.remove_prefix(std::min(end + 1, texts.size()));
    }
  }

 private:
  std::list<MemoryFile> files_;
};

}  // namespace mcn::fuzz
