// The safetensors file format: named tensors behind a JSON header, as Hugging Face's library reads and writes it.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "kernels/view.h"

namespace mcn {

/// A tensor of a file: its elements in row-major order, little-endian. Shapes are the file's own (PyTorch's for weights
/// from PyTorch); what their axes mean is the caller's business.
struct SafetensorsEntry {
  DType dtype = DType::f32;
  Shape shape;
  std::vector<std::byte> data;
};

/// Ordered by name.
using SafetensorsMap = std::map<std::string, SafetensorsEntry>;

struct SafetensorsFile {
  SafetensorsMap tensors;
  std::map<std::string, std::string> metadata;
};

/// Reads the whole file, and trusts nothing in it: DataError "[safetensors] PATH: ..." names the tensor, what was
/// expected and what was found. F32, F64, I32, I64 and U8 are read, of at most five axes.
SafetensorsFile read_safetensors(const std::string& path);

/// Writes the file whole or not at all (engine/atomic_file.h). DataError if it cannot be written; UsageError if an
/// entry's data does not have the size that its dtype and shape tell.
void write_safetensors(const std::string& path, const SafetensorsFile& file);

}  // namespace mcn
