// NumPy's .npy files, version 1.0: how clips and arrays leave for other programs.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "kernels/view.h"

namespace mcn {

/// What stands before the elements of an array: `descr` is NumPy's name of its type, such as <f4, or <U12 for strings
/// of up to 12 characters.
std::string npy_header(const std::string& descr, const Shape& shape);

/// Writes row-major (C order), little-endian elements; shape () writes a scalar. The file appears whole or not at all
/// (engine/atomic_file.h). DataError if it cannot be written; UsageError if data does not have the size that dtype and
/// shape tell.
void write_npy(const std::string& path, DType dtype, const Shape& shape, std::span<const std::byte> data);

}  // namespace mcn
