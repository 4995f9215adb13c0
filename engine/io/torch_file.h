// Files of PyTorch's torch.save: a zip archive with a pickle that names tensors, and a member for each storage.
#pragma once

#include <string>

#include "engine/safetensors.h"

namespace mcn {

/// True if the file begins as a zip archive.
bool is_zip_file(const std::string& path);

/// The tensors of a state dict (.pth, .pt; PyTorch 1.6 and later), row-major. Names of nested dicts are joined by ".":
/// {"epoch": 3, "state_dict": {"fc.bias": t}} gives "state_dict.fc.bias". What is not a tensor is left out. float16 and
/// bfloat16 become f32, bool u8.
/// Nothing in the file is ever run. DataError "[torch] PATH: ..." or "[pickle] PATH: ..." for anything but tensors,
/// numbers, text, lists and dicts, by name; for tensors of more than five axes, with repeated elements (expand) or
/// other element types; and for what claims more bytes than the file has.
SafetensorsMap read_torch_file(const std::string& path);

}  // namespace mcn
