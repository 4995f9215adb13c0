// Writer of .npy files (NumPy's NEP 1).
#include "engine/npy.h"

#include <bit>
#include <cstdint>

#include "engine/atomic_file.h"
#include "kernels/error.h"

namespace mcn {
namespace {

static_assert(std::endian::native == std::endian::little, "elements are written as they lie in memory");

const char* descr_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "<f4";
    case DType::f64:
      return "<f8";
    case DType::i32:
      return "<i4";
    case DType::i64:
      return "<i8";
    case DType::u8:
      return "|u1";
  }
  fail("npy", "dtype {} has no name in NumPy", static_cast<int>(dtype));
}

}  // namespace

std::string npy_header(const std::string& descr, const Shape& shape) {
  std::string axes;
  for (int axis = 0; axis < shape.rank(); ++axis) axes += fmt::format("{}, ", shape[axis]);
  // A Python tuple of one needs its comma.
  if (shape.rank() > 1) axes.resize(axes.size() - 2);
  if (shape.rank() == 1) axes.resize(axes.size() - 1);
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", descr, axes);
  // Magic, version and length take 10 bytes; all of it with the line end is a multiple of 64, so that data is aligned.
  constexpr std::size_t fixed = 10;
  constexpr std::size_t alignment = 64;
  const std::size_t total = (fixed + header.size() + 1 + alignment - 1) / alignment * alignment;
  header.resize(total - fixed - 1, ' ');
  header += '\n';

  std::string start("\x93NUMPY\x01\x00", 8);
  start += static_cast<char>(header.size() & 0xff);
  start += static_cast<char>(header.size() >> 8);
  return start + header;
}

void write_npy(const std::string& path, DType dtype, const Shape& shape, std::span<const std::byte> data) {
  if (data.size() != static_cast<std::size_t>(shape.numel()) * size_of(dtype))
    fail("npy", "{}: shape {} of {} needs {} bytes, got {}", path, shape.str(), name_of(dtype),
         static_cast<std::size_t>(shape.numel()) * size_of(dtype), data.size());
  AtomicFile out("npy", path);
  out.write(npy_header(descr_of(dtype), shape));
  out.write(data);
  out.commit();
}

}  // namespace mcn
