// Data sets of a test, a file at a time, and what is said of those that are wrong.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "kernels/error.h"
#include "tests/catch.h"
#include "tests/data/videos.h"
#include "tests/temporary_folder.h"

namespace mcn::test {

/// A folder "set" with room beside it.
class Layout {
 public:
  explicit Layout(DatasetFormat format) {
    config.root = folder_.file("set");
    config.format = format;
    std::filesystem::create_directories(config.root);
  }

  /// A path relative to the root, or beside it by "../".
  void file(const std::string& name, const std::string& content = "x") const {
    const std::filesystem::path path = std::filesystem::path(config.root) / name;
    std::filesystem::create_directories(path.parent_path());
    write_file(path, content);
  }
  [[nodiscard]] std::string path(const std::string& name) const { return config.root + "/" + name; }
  [[nodiscard]] Dataset load(Subset subset = Subset::train) const { return load_dataset(config, subset); }

  /// Labels by file, the file without the root.
  [[nodiscard]] std::vector<std::pair<std::string, std::int64_t>> rows(Subset subset = Subset::train) const {
    std::vector<std::pair<std::string, std::int64_t>> result;
    for (const VideoEntry& entry : load(subset).videos) {
      const std::string& name = entry.source.name;
      result.emplace_back(name.starts_with(config.root + "/") ? name.substr(config.root.size() + 1) : name,
                          entry.label);
    }
    return result;
  }

  /// What is thrown; "no error" if nothing is.
  [[nodiscard]] std::string error(Subset subset = Subset::train) const {
    try {
      static_cast<void>(load(subset));
    } catch (const DataError& e) {
      return e.what();
    }
    return "no error";
  }

  DatasetConfig config;

 private:
  TemporaryFolder folder_;
};

using Rows = std::vector<std::pair<std::string, std::int64_t>>;

/// A DataError of one line that says where and what.
inline void check_error(const Layout& layout, const std::string& where, const std::string& what,
                        Subset subset = Subset::train) {
  const std::string message = layout.error(subset);
  INFO(message);
  INFO("expected: " << where << " ... " << what);
  CHECK(message.starts_with("[dataset] "));
  CHECK(message.find(where) != std::string::npos);
  CHECK(message.find(what) != std::string::npos);
  CHECK(message.find_first_of(std::string("\n\r\0", 3)) == std::string::npos);
}

}  // namespace mcn::test
