// Small files, read whole.
#include "data/source.h"

#include <array>
#include <fstream>
#include <iterator>
#include <utility>

namespace mcn {

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
