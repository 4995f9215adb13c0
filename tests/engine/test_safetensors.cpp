// safetensors: what is written is read back, what is wrong is named, and no bytes whatever crash the reader.
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "engine/random.h"
#include "engine/safetensors.h"
#include "kernels/error.h"
#include "tests/catch.h"
#include "tests/temporary_folder.h"

namespace {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;
using mcn::DataError;
using mcn::DType;
using mcn::read_safetensors;
using mcn::SafetensorsEntry;
using mcn::SafetensorsFile;
using mcn::Shape;
using mcn::UsageError;
using mcn::write_safetensors;
using mcn::test::TemporaryFolder;

template <class T>
SafetensorsEntry entry_of(const Shape& shape, const std::vector<T>& values) {
  SafetensorsEntry entry{mcn::dtype_of<T>(), shape, std::vector<std::byte>(values.size() * sizeof(T))};
  if (!values.empty()) std::memcpy(entry.data.data(), values.data(), entry.data.size());
  return entry;
}

SafetensorsFile sample_file() {
  SafetensorsFile file;
  file.metadata = {{"epoch", "7"}, {"note", "quotes \" and \n lines, \xc3\xa9"}};
  file.tensors["bytes"] = entry_of<std::uint8_t>({3}, {1, 2, 255});
  file.tensors["conv.weight"] = entry_of<float>({2, 1, 1, 3, 1}, {1.5F, -2, 0, 1e-30F, 3, 4});
  file.tensors["ids"] = entry_of<std::int64_t>({2, 1}, {-5, std::numeric_limits<std::int64_t>::max()});
  file.tensors["labels"] = entry_of<std::int32_t>({1, 2}, {-1, 9});
  file.tensors["loss"] = entry_of<double>({}, {0.1});
  file.tensors["nothing"] = entry_of<float>({0, 4}, {});
  return file;
}

void write_bytes(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

std::string bytes_of(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

/// A file with this header, however wrong, and this many bytes of data.
std::string with_header(const std::string& header, std::size_t data_bytes = 0) {
  const std::uint64_t size = header.size();
  std::string bytes(sizeof size, '\0');
  std::memcpy(bytes.data(), &size, sizeof size);
  return bytes + header + std::string(data_bytes, '\1');
}

/// What the reader says of these bytes, or "" if it takes them.
std::string error_of(const std::string& bytes) {
  const TemporaryFolder folder;
  const std::string path = folder.file("f.safetensors");
  write_bytes(path, bytes);
  try {
    read_safetensors(path);
  } catch (const DataError& e) {
    const std::string text = e.what();
    const std::string start = "[safetensors] " + path + ": ";
    CHECK_THAT(text, StartsWith(start));
    CHECK(text.find('\n') == std::string::npos);
    CHECK(text.size() < start.size() + 300);
    return text.substr(std::min(start.size(), text.size()));
  }
  return "";
}

void check_equal(const SafetensorsFile& a, const SafetensorsFile& b) {
  CHECK(a.metadata == b.metadata);
  REQUIRE(a.tensors.size() == b.tensors.size());
  for (const auto& [name, entry] : a.tensors) {
    INFO(name);
    REQUIRE(b.tensors.contains(name));
    const SafetensorsEntry& other = b.tensors.at(name);
    CHECK(entry.dtype == other.dtype);
    CHECK(entry.shape == other.shape);
    CHECK(entry.data == other.data);
  }
}

TEST_CASE("What safetensors writes it reads back", "[safetensors]") {
  const TemporaryFolder folder;
  const std::string path = folder.file("f.safetensors");
  write_safetensors(path, sample_file());
  check_equal(read_safetensors(path), sample_file());
  CHECK(folder.count() == 1);
}

TEST_CASE("A safetensors file without tensors is a file", "[safetensors]") {
  const TemporaryFolder folder;
  const std::string path = folder.file("f.safetensors");
  write_safetensors(path, {});
  check_equal(read_safetensors(path), {});
  CHECK(error_of(with_header("{}")).empty());
}

TEST_CASE("The safetensors writer aligns header and tensors for readers that map the file", "[safetensors]") {
  const TemporaryFolder folder;
  const std::string path = folder.file("f.safetensors");
  write_safetensors(path, sample_file());
  const std::string bytes = bytes_of(path);
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
  CHECK(header_bytes % 8 == 0);
  const auto header = nlohmann::json::parse(bytes.substr(8, header_bytes));
  for (const auto& [name, entry] : sample_file().tensors) {
    INFO(name);
    CHECK(header[name]["data_offsets"][0].get<std::size_t>() % mcn::size_of(entry.dtype) == 0);
  }
}

TEST_CASE("A file of another writer is read: fields and tensors in any order, spaces behind", "[safetensors]") {
  const TemporaryFolder folder;
  const std::string path = folder.file("f.safetensors");
  write_bytes(path, with_header(R"({"b":{"data_offsets":[4,8],"dtype":"F32","shape":[1]}, "__metadata__":{"k":"v"},
      "a":{"shape":[4],"dtype":"U8","data_offsets":[0,4]}, "e":{"shape":[0],"dtype":"F64","data_offsets":[4,4]}}     )",
                                8));
  const SafetensorsFile file = read_safetensors(path);
  CHECK(file.tensors.size() == 3);
  CHECK(file.tensors.at("a").data == std::vector<std::byte>(4, std::byte{1}));
  CHECK(file.tensors.at("b").dtype == DType::f32);
  CHECK(file.tensors.at("e").data.empty());
  CHECK(file.metadata.at("k") == "v");
}

TEST_CASE("safetensors: a path that is no file is named", "[safetensors]") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(read_safetensors(folder.file("none")), "[safetensors] " + folder.file("none") + ": no such file");
  CHECK_THROWS_AS(read_safetensors(folder.file("none")), DataError);
  std::filesystem::create_directory(folder.file("folder"));
  CHECK_THROWS_WITH(read_safetensors(folder.file("folder")), "[safetensors] " + folder.file("folder") + ": not a file");
  // Opening a pipe that nobody writes to would wait for ever.
  REQUIRE(::mkfifo(folder.file("pipe").c_str(), 0600) == 0);
  CHECK_THROWS_WITH(read_safetensors(folder.file("pipe")), EndsWith("not a file"));
}

TEST_CASE("safetensors: truncated and foreign files are refused", "[safetensors]") {
  CHECK_THAT(error_of(""), ContainsSubstring("0 bytes, expected at least 8"));
  CHECK_THAT(error_of("1234567"), ContainsSubstring("7 bytes, expected at least 8"));
  CHECK_THAT(error_of(with_header("{}").substr(0, 9)), ContainsSubstring("header of 2 bytes, but only 1"));
  CHECK_THAT(error_of("PK\x03\x04 not a safetensors file"), ContainsSubstring("at most 100000000 are allowed"));
  CHECK_THAT(error_of(std::string(8, '\xff')), ContainsSubstring("header of 18446744073709551615 bytes"));

  const TemporaryFolder folder;
  const std::string path = folder.file("f.safetensors");
  write_safetensors(path, sample_file());
  const std::string whole = bytes_of(path);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    INFO(size);
    CHECK_FALSE(error_of(whole.substr(0, size)).empty());
  }
  CHECK_THAT(error_of(whole.substr(0, whole.size() - 1)), ContainsSubstring("truncated file?"));
  CHECK_THAT(error_of(whole + "x"), ContainsSubstring("1 bytes after the last tensor"));
}

TEST_CASE("safetensors: a header that is not the JSON expected is refused", "[safetensors]") {
  using Case = std::pair<const char*, const char*>;
  const auto [header, message] = GENERATE(values<Case>({
      {"", "header is not a JSON object"},
      {"[]", "header is not a JSON object"},
      {"null", "header is not a JSON object"},
      {"{", "header is not JSON"},
      {"{} x", "header is not JSON"},
      {"{\"a\xff\":1}", "header is not JSON"},
      {R"({"a":1})", "tensor 'a': expected an object, found 1"},
      {R"({"a":[]})", "tensor 'a': expected an object, found an array"},
      {R"({"a":null})", "tensor 'a': expected an object, found null"},
      {R"({"a":{}})", "tensor 'a' has no dtype"},
      {R"({"a":{"dtype":"F32","data_offsets":[0,0]}})", "tensor 'a' has no shape"},
      {R"({"a":{"dtype":"F32","shape":[0]}})", "tensor 'a' has no data_offsets"},
      {R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0],"x":1}})", "tensor 'a' has an unknown field 'x'"},
      {R"({"a":{"dtype":"BF16","shape":[0],"data_offsets":[0,0]}})",
       "tensor 'a' has dtype 'BF16', expected F32, F64, I32, I64 or U8"},
      {R"({"a":{"dtype":"f32","shape":[0],"data_offsets":[0,0]}})", "tensor 'a' has dtype 'f32'"},
      {R"({"a":{"dtype":1,"shape":[0],"data_offsets":[0,0]}})", "tensor 'a': expected text as dtype, found 1"},
      {R"({"a":{"dtype":["F32"],"shape":[0],"data_offsets":[0,0]}})", "expected text as dtype, found an array"},
      {R"({"a":{"dtype":"F32","shape":0,"data_offsets":[0,0]}})", "expected an array as shape, found 0"},
      {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,0]}})",
       "tensor 'a': expected an integer of at least 0 in its shape, found -1"},
      {R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,0]}})", "in its shape, found '1.5'"},
      {R"({"a":{"dtype":"F32","shape":[1e3],"data_offsets":[0,0]}})", "in its shape, found '1e3'"},
      {R"({"a":{"dtype":"F32","shape":["1"],"data_offsets":[0,0]}})", "in its shape, found '1'"},
      {R"({"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,0]}})", "in its shape, found an array"},
      {R"({"a":{"dtype":"F32","shape":[true],"data_offsets":[0,0]}})", "in its shape, found a boolean"},
      {R"({"a":{"dtype":"F32","shape":[99999999999999999999999],"data_offsets":[0,0]}})",
       "in its shape, found '99999999999999999999999'"},
      {R"({"a":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,0]}})",
       "tensor 'a': extent 9223372036854775808 is too large"},
      {R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1],"data_offsets":[0,4]}})", "tensor 'a' has more than 5 axes"},
      {R"({"a":{"dtype":"F32","shape":[0],"data_offsets":0}})", "expected an array as data_offsets, found 0"},
      {R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0]}})", "tensor 'a' has 1 data_offsets, expected 2"},
      {R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0,0]}})", "tensor 'a' has 3 data_offsets, expected 2"},
      {R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[-4,0]}})", "in its data_offsets, found -4"},
      {R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,{}]}})", "in its data_offsets, found an object"},
      {R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})",
       "header has 'a' twice"},
      {R"({"a":{"dtype":"F32","dtype":"F32","shape":[0],"data_offsets":[0,0]}})", "tensor 'a' has 'dtype' twice"},
      {R"({"__metadata__":1})", "expected an object as __metadata__, found 1"},
      {R"({"__metadata__":{"k":1}})", "metadata 'k': expected text, found 1"},
      {R"({"__metadata__":{"k":{}}})", "metadata 'k': expected text, found an object"},
      {R"({"__metadata__":{"k":"1","k":"2"}})", "metadata has 'k' twice"},
      {R"({"__metadata__":{},"__metadata__":{}})", "header has '__metadata__' twice"},
      {R"({"line\nbreak":1})", "tensor 'line?break': expected an object"},
  }));
  INFO(header);
  CHECK_THAT(error_of(with_header(header, 8)), ContainsSubstring(message));
}

TEST_CASE("safetensors: nothing hides behind a zero byte of the header", "[safetensors]") {
  CHECK_THAT(error_of(with_header(std::string("{}\0{", 4))), ContainsSubstring("zero byte at byte 2"));
}

TEST_CASE("safetensors: tensors must cover the data once, with the bytes that they need", "[safetensors]") {
  struct Case {
    const char* header;
    std::size_t data_bytes;
    const char* message;
  };
  const auto [header, data_bytes, message] = GENERATE(values<Case>({
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4, "tensor 'a' begins at 4 and ends at 0"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4, "tensor 'a' ends at byte 8 of 4 bytes of data"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551615]}})", 4,
       "tensor 'a' ends at byte 18446744073709551615 of 4"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[18446744073709551612,18446744073709551615]}})", 4,
       "tensor 'a' ends at byte 18446744073709551615 of 4"},
      {R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8,
       "tensor 'a' of shape (3) and dtype F32 needs 12 bytes, has 8"},
      {R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0,0]}})", 0, "of shape () and dtype F32 needs 4 bytes, has 0"},
      {R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0,
       "tensor 'a' of shape (4294967296, 4294967296) is too large"},
      {R"({"a":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}})", 0, "is too large"},
      {R"({"a":{"dtype":"F32","shape":[0,9223372036854775807,9223372036854775807],"data_offsets":[0,0]}})", 0,
       "is too large"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
       6, "tensor 'b' begins at byte 2, inside the tensor before it, which ends at 4"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
       4, "begins at byte 0, inside the tensor before it"},
      {R"({"a":{"dtype":"U8","shape":[6],"data_offsets":[0,6]},"b":{"dtype":"U8","shape":[0],"data_offsets":[3,3]}})",
       6, "tensor 'b' begins at byte 3, inside"},
      {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}})",
       6, "tensor 'b' begins at byte 4, and bytes 2 to 4 belong to no tensor"},
      {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})", 3, "bytes 0 to 1 belong to no tensor"},
      {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 5, "3 bytes after the last tensor"},
      {"{}", 1, "1 bytes after the last tensor"},
  }));
  INFO(header);
  CHECK_THAT(error_of(with_header(header, data_bytes)), ContainsSubstring(message));
}

TEST_CASE("safetensors: deep nesting costs no stack", "[safetensors]") {
  constexpr std::size_t depth = 5'000'000;
  CHECK_THAT(error_of(with_header("{\"a\":" + std::string(depth, '['))), ContainsSubstring("found an array"));
  std::string objects = "{\"a\":";
  for (std::size_t i = 0; i < depth / 5; ++i) objects += "{\"a\":";
  CHECK_THAT(error_of(with_header(objects)), ContainsSubstring("unknown field 'a'"));
}

TEST_CASE("safetensors: a long name does not make a long message", "[safetensors]") {
  CHECK_THAT(error_of(with_header("{\"" + std::string(100'000, 'a') + "\":1}")), ContainsSubstring("a...'"));
}

TEST_CASE("safetensors: flipped and cut bytes give DataError or a file, never a crash", "[safetensors]") {
  const TemporaryFolder folder;
  const std::string path = folder.file("f.safetensors");
  write_safetensors(path, sample_file());
  const std::string whole = bytes_of(path);
  int refused = 0;
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    mcn::Philox random(seed, mcn::hash_stream(17));
    std::string bytes = whole;
    for (std::int64_t flips = 1 + random.below(4); flips > 0; --flips) {
      // Half of them in the length and the header's first bytes, where they hurt most.
      const auto range = static_cast<std::int64_t>(random.chance(0.5) ? 64 : bytes.size());
      bytes[static_cast<std::size_t>(random.below(range))] ^= static_cast<char>(1 + random.below(255));
    }
    if (random.chance(0.3))
      bytes.resize(static_cast<std::size_t>(random.below(static_cast<std::int64_t>(bytes.size()))));
    INFO(seed);
    refused += error_of(bytes).empty() ? 0 : 1;
  }
  CHECK(refused > 250);
}

TEST_CASE("safetensors: a header that is valid but for one token is refused or read", "[safetensors]") {
  // Random bytes rarely get past the JSON; tokens of the grammar in the wrong place do.
  const std::vector<std::string> tokens = {
      "0",     "-1",        "1e400", "null", "{}", "[]", "\"F32\"", "[0,0]", "18446744073709551615",
      "\"a\"", "{\"a\":1}", "[[[[",  "}",    "]",  ",",  ":"};
  const std::vector<std::string> parts = {
      "{", "\"a\"", ":", "{", "\"dtype\"", ":", "\"F32\"",          ",", "\"shape\"", ":",
      "[", "2",     ",", "3", "]",         ",", "\"data_offsets\"", ":", "[",         "0",
      ",", "24",    "]", "}", "}"};
  int refused = 0;
  for (std::size_t place = 0; place < parts.size(); ++place) {
    for (const std::string& token : tokens) {
      std::string header;
      for (std::size_t i = 0; i < parts.size(); ++i) header += i == place ? token : parts[i];
      INFO(header);
      refused += error_of(with_header(header, 24)).empty() ? 0 : 1;
    }
  }
  CHECK(refused > 350);
}

TEST_CASE("A failed safetensors write leaves the old file and nothing else", "[safetensors]") {
  const TemporaryFolder folder;
  const std::string path = folder.file("f.safetensors");
  write_safetensors(path, sample_file());

  SafetensorsFile wrong = sample_file();
  wrong.tensors["loss"].data.pop_back();
  CHECK_THROWS_AS(write_safetensors(path, wrong), UsageError);
  CHECK_THROWS_WITH(write_safetensors(path, wrong), ContainsSubstring("tensor 'loss' of shape () and dtype f64 has 7"));
  wrong = sample_file();
  wrong.tensors["__metadata__"] = wrong.tensors["loss"];
  CHECK_THROWS_AS(write_safetensors(path, wrong), UsageError);
  wrong = sample_file();
  wrong.metadata["bad"] = "\xff";
  CHECK_THROWS_AS(write_safetensors(path, wrong), UsageError);

  check_equal(read_safetensors(path), sample_file());
  CHECK(folder.count() == 1);
}

TEST_CASE("safetensors: a place that cannot be written is named", "[safetensors]") {
  const TemporaryFolder folder;
  const std::string lost = folder.file("none/f.safetensors");
  CHECK_THROWS_AS(write_safetensors(lost, {}), DataError);
  CHECK_THROWS_WITH(write_safetensors(lost, {}), StartsWith("[safetensors] " + lost + ": cannot create it: "));

  const std::string taken = folder.file("folder");
  std::filesystem::create_directory(taken);
  CHECK_THROWS_WITH(write_safetensors(taken, {}), StartsWith("[safetensors] " + taken + ": cannot replace it: "));
  CHECK(folder.count() == 1);
}

TEST_CASE("safetensors: what a killed process of the same id left behind does not stop a write", "[safetensors]") {
  const TemporaryFolder folder;
  const std::string path = folder.file("f.safetensors");
  for (int number = 0; number < 1000; ++number)
    std::ofstream(path + ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(number)) << "left";
  write_safetensors(path, sample_file());
  check_equal(read_safetensors(path), sample_file());
  CHECK(folder.count() == 1001);
}

TEST_CASE("safetensors: a write that the system cuts short leaves nothing", "[safetensors]") {
  const TemporaryFolder folder;
  SafetensorsFile file;
  file.tensors["a"] = entry_of<std::uint8_t>({100'000}, std::vector<std::uint8_t>(100'000));
  // A limit on the size of files fails as a full disk does, once its signal is ignored.
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const rlimit small{4096, before.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  std::string message;
  try {
    write_safetensors(folder.file("f"), file);
  } catch (const DataError& e) {
    message = e.what();
  }
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, handler);
  CHECK_THAT(message, StartsWith("[safetensors] " + folder.file("f") + ": cannot write it: "));
  CHECK(folder.count() == 0);
}

}  // namespace
