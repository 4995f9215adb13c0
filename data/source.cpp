// FFmpeg's names of files and of ranges of files.
#include "data/source.h"

#include <filesystem>

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

}  // namespace mcn
