// FFmpeg's names of files and of ranges of files.
#include "data/source.h"

#include <array>
#include <fstream>
#include <iterator>
#include <utility>

#include "kernels/error.h"

namespace mcn {

std::string VideoSource::url() const {
  // "file:" keeps a name such as concat:x from being taken for a protocol.
  if (whole_file()) return "file:" + path;
  return fmt::format("subfile,,start,{},end,{},,:file:{}", offset, offset + bytes, path);
}

const char* VideoSource::protocols() const { return whole_file() ? "file" : "subfile,file"; }

std::int64_t check_source(const VideoSource& source) {
  std::error_code error;
  const auto status = std::filesystem::status(source.path, error);
  if (!std::filesystem::exists(status)) fail<DataError>("video", "{}: no such file", source.name);
  if (!std::filesystem::is_regular_file(status))
    fail<DataError>("video", "{}: expected a regular file, got a {}", source.name,
                    std::filesystem::is_directory(status) ? "folder" : "pipe, socket or device");
  const auto size = static_cast<std::int64_t>(std::filesystem::file_size(source.path, error));
  if (error) fail<DataError>("video", "{}: {}", source.name, error.message());
  const std::int64_t bytes = source.whole_file() ? size : source.bytes;
  if (bytes == 0) fail<DataError>("video", "{}: the file is empty", source.name);
  if (!source.whole_file() && (source.offset < 0 || source.offset > size - bytes))
    fail<DataError>("video", "{}: expected {} bytes from byte {} on, of a file that has {}; has it changed?",
                    source.name, bytes, source.offset, size);
  return bytes;
}

std::optional<std::string> bytes_of_file(const std::filesystem::path& path) {
  // A pipe would be waited for.
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return std::nullopt;
  std::ifstream file(path, std::ios::binary);
  std::string bytes;
  // Where the disk or the network fails, read() says so, and an iterator over the bytes throws.
  for (std::array<char, 1 << 16> block{}; file;) {
    file.read(block.data(), std::ssize(block));
    bytes.append(block.data(), static_cast<std::size_t>(file.gcount()));
  }
  return file.eof() && !file.bad() ? std::optional(std::move(bytes)) : std::nullopt;
}

}  // namespace mcn
