// Checksums of bytes, and of safetensors files, in which they cover every bit.
#include <bit>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/io/checksum.h"
#include "engine/safetensors.h"
#include "kernels/error.h"
#include "tests/catch.h"
#include "tests/temporary_folder.h"

namespace mcn {
namespace {

using Catch::Matchers::ContainsSubstring;

std::string bytes_of(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

void write_bytes(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

SafetensorsFile sample(bool checksums) {
  SafetensorsFile file;
  file.metadata = {{"format", "x"}, {"note", "\"xxh3.header\":\"0000000000000000\""}};
  file.tensors["a"] = {DType::u8, {3}, {std::byte{1}, std::byte{2}, std::byte{3}}};
  file.tensors["b"] = {DType::f32, {2}, std::vector<std::byte>(8)};
  file.tensors["nothing"] = {DType::f64, {0}, {}};
  file.checksums = checksums;
  return file;
}

}  // namespace

// Of xxHash's own program (xxhsum -H3) and of its published test vectors.
TEST_CASE("a checksum is XXH3 with 64 bits", "[checksum]") {
  CHECK(checksum("") == "2d06800538d394c2");
  CHECK(checksum("abc") == "78af5f94892f3950");
}

TEST_CASE("a safetensors file with checksums is read as it was written, and other programs see metadata",
          "[checksum]") {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("f.safetensors");
  write_safetensors(path, sample(true));
  const SafetensorsFile file = read_safetensors(path);
  CHECK(file.checksums);
  CHECK(file.metadata == sample(true).metadata);
  CHECK(file.tensors.at("a").data == sample(true).tensors.at("a").data);

  const std::string bytes = bytes_of(path);
  std::uint64_t size = 0;
  std::memcpy(&size, bytes.data(), sizeof size);
  const auto metadata = nlohmann::json::parse(bytes.substr(sizeof size, size)).at("__metadata__");
  CHECK(metadata.at("format") == "x");
  const auto tensors = nlohmann::json::parse(metadata.at("xxh3.tensors").get<std::string>());
  CHECK(tensors.size() == 3);
  CHECK(tensors.at("nothing") == "2d06800538d394c2");
  // The header's, with its own digits as zeros.
  const std::string digits = metadata.at("xxh3.header");
  std::string start = bytes.substr(0, sizeof size + size);
  start.replace(start.find("\"" + digits + "\"") + 1, digits.size(), digits.size(), '0');
  CHECK(digits == checksum(start));

  write_safetensors(path, sample(false));
  CHECK_FALSE(read_safetensors(path).checksums);
  SafetensorsFile taken = sample(true);
  taken.metadata["xxh3.header"] = "mine";
  CHECK_THROWS_AS(write_safetensors(path, taken), UsageError);
}

TEST_CASE("every flipped bit of a safetensors file with checksums is noticed", "[checksum]") {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("f.safetensors");
  write_safetensors(path, sample(true));
  const std::string bytes = bytes_of(path);
  int passed = 0, without = 0;
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = std::bit_cast<char>(static_cast<std::uint8_t>(flipped[bit / 8] ^ (1 << bit % 8)));
    write_bytes(path, flipped);
    try {
      // In the name of a checksum a flip leaves the other one alone, which is an error too.
      read_safetensors(path).checksums ? ++passed : ++without;
    } catch (const DataError&) {
    }
  }
  CHECK(passed == 0);
  CHECK(without == 0);
}

TEST_CASE("a damaged tensor is named, and so is a header that another program has written", "[checksum]") {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("f.safetensors");
  write_safetensors(path, sample(true));
  const std::string bytes = bytes_of(path);
  write_bytes(path, bytes.substr(0, bytes.size() - 1) + '\7');
  CHECK_THROWS_WITH(read_safetensors(path), ContainsSubstring(path + ": tensor 'a' is damaged"));
  std::string edited = bytes;
  edited.replace(edited.find("\"x\""), 3, "\"y\"");
  write_bytes(path, edited);
  CHECK_THROWS_WITH(read_safetensors(path), ContainsSubstring(path + ": its header is damaged"));
}

}  // namespace mcn
