// Where tests find what they read: in the source tree and the build, or together in the folder MCN_TEST_DATA.
#pragma once

#include <cstdlib>
#include <string>

namespace mcn::test {

/// A file of the source tree, by its path in it.
inline std::string source_file(const std::string& path) {
  const char* folder = std::getenv("MCN_TEST_DATA");
  return std::string(folder == nullptr ? MCN_SOURCE_DIR : folder) + "/" + path;
}

/// A file that the build made.
inline std::string built_file(const std::string& path) {
  const char* folder = std::getenv("MCN_TEST_DATA");
  return std::string(folder == nullptr ? MCN_BINARY_DIR : folder) + "/" + path;
}

}  // namespace mcn::test
