// Where the bytes of a video are.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

namespace mcn {

/// A file that is a video, or a range of a file (of a tar shard) that is one.
struct VideoSource {
  std::string path;
  std::int64_t offset = 0;  ///< of the video's first byte in the file
  std::int64_t bytes = -1;  ///< -1: the whole file
  std::string name;         ///< to be shown: the path, or "shard.tar:member.mp4"

  VideoSource() = default;
  // Implicit, since to most callers a video is a path.
  VideoSource(std::string file) : path(std::move(file)), name(path) {}  // NOLINT(google-explicit-constructor)
  VideoSource(const char* file) : VideoSource(std::string(file)) {}     // NOLINT(google-explicit-constructor)
  VideoSource(std::string file, std::int64_t first, std::int64_t size, const std::string& member)
      : path(std::move(file)), offset(first), bytes(size), name(path + ":" + member) {}

  [[nodiscard]] bool whole_file() const { return bytes < 0; }
  bool operator==(const VideoSource&) const = default;
};

/// DataError unless the file is a regular one that holds the range, and there is at least one byte: what can be told
/// without opening it, and must be, since opening a pipe would wait for its writer for ever. Returns the bytes.
/// SystemError if the system cannot tell.
std::int64_t check_source(const VideoSource& source);

/// All bytes of a regular file; nothing if it is no such file, or cannot be read to its end.
std::optional<std::string> bytes_of_file(const std::filesystem::path& path);

}  // namespace mcn
