// .npy files, byte for byte as NumPy writes them.
#include <array>
#include <fstream>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "engine/npy.h"
#include "kernels/error.h"
#include "tests/catch.h"
#include "tests/temporary_folder.h"

namespace {

using mcn::DType;
using mcn::Shape;
using mcn::write_npy;

std::string written(DType dtype, const Shape& shape, std::span<const std::byte> data) {
  const mcn::test::TemporaryFolder folder;
  write_npy(folder.file("a.npy"), dtype, shape, data);
  CHECK(folder.count() == 1);
  std::ostringstream out;
  out << std::ifstream(folder.file("a.npy"), std::ios::binary).rdbuf();
  return out.str();
}

/// 128 bytes of magic, version 1.0, length 118 and the header with spaces behind, as numpy.save writes.
std::string start_of_file(const std::string& header) {
  std::string start("\x93NUMPY\x01\x00\x76\x00", 10);
  start += header;
  start.resize(127, ' ');
  return start + '\n';
}

TEST_CASE("A .npy file has NumPy's bytes", "[npy]") {
  const std::array<float, 6> values{0, 1, -2, 3.5F, 1e9F, 5};
  const auto data = std::as_bytes(std::span(values));
  const std::string text(reinterpret_cast<const char*>(data.data()), data.size());
  CHECK(written(DType::f32, {2, 3}, data) ==
        start_of_file("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }") + text);
  CHECK(written(DType::f32, {6}, data) ==
        start_of_file("{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }") + text);
  CHECK(written(DType::f32, {}, data.first(4)) ==
        start_of_file("{'descr': '<f4', 'fortran_order': False, 'shape': (), }") + text.substr(0, 4));
  CHECK(written(DType::f32, {0, 3}, {}) ==
        start_of_file("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3), }"));
}

TEST_CASE("A .npy file names every dtype as NumPy does", "[npy]") {
  const std::vector<std::byte> data(8);
  const std::array<std::pair<DType, const char*>, 5> names{
      {{DType::f32, "<f4"}, {DType::f64, "<f8"}, {DType::i32, "<i4"}, {DType::i64, "<i8"}, {DType::u8, "|u1"}}};
  for (const auto& [dtype, name] : names) {
    const auto count = static_cast<std::int64_t>(8 / mcn::size_of(dtype));
    CHECK(written(dtype, {count}, data).find("'descr': '" + std::string(name) + "'") == 11);
  }
}

TEST_CASE("A long shape keeps the data of a .npy file aligned to 64 bytes", "[npy]") {
  CHECK(written(DType::u8, {0, 1'000'000'000, 1'000'000'000, 1, 1}, {}).size() % 64 == 0);
  const Shape axes{1, 1, 1, 1, 1};
  CHECK(written(DType::u8, axes, std::vector<std::byte>(1)).size() % 64 == 1);
}

TEST_CASE("npy: data that does not fit its shape and a place that cannot be written are named", "[npy]") {
  const mcn::test::TemporaryFolder folder;
  const std::vector<std::byte> data(7);
  CHECK_THROWS_AS(write_npy(folder.file("a.npy"), DType::f32, {2}, data), mcn::UsageError);
  CHECK_THROWS_WITH(write_npy(folder.file("a.npy"), DType::f32, {2}, data),
                    "[npy] " + folder.file("a.npy") + ": shape (2) of f32 needs 8 bytes, got 7");
  CHECK(folder.count() == 0);
  CHECK_THROWS_AS(write_npy(folder.file("none/a.npy"), DType::u8, {7}, data), mcn::DataError);
  CHECK_THROWS_WITH(write_npy(folder.file("none/a.npy"), DType::u8, {7}, data),
                    Catch::Matchers::StartsWith("[npy] " + folder.file("none/a.npy") + ": cannot create it: "));
}

}  // namespace
