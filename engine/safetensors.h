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

/// With checksums, the metadata of the file has two entries more: "xxh3.tensors", a JSON object with the checksum of
/// the bytes of every tensor by name (engine/io/checksum.h), and "xxh3.header", that of the eight bytes of the header's
/// length and the header, in which its own 16 digits are zeros. Together they cover every bit of the file. To other
/// programs they are metadata.
struct SafetensorsFile {
  SafetensorsMap tensors;
  std::map<std::string, std::string> metadata;  ///< without the checksums
  bool checksums = false;
};

/// Reads the whole file, and trusts nothing in it: DataError "[safetensors] PATH: ..." names the tensor, what was
/// expected and what was found. F32, F64, I32, I64 and U8 are read, of at most five axes. A file that has checksums is
/// refused if one of them is wrong; whether it must have them is the caller's business.
SafetensorsFile read_safetensors(const std::string& path);

/// Writes the file whole or not at all (engine/atomic_file.h, also for `keep`). DataError if it cannot be written;
/// UsageError if an entry's data does not have the size that its dtype and shape tell, or the metadata has the name of
/// a checksum.
void write_safetensors(const std::string& path, const SafetensorsFile& file, int keep = 1);

}  // namespace mcn
