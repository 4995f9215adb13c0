// A safetensors file that was read can be written, and read again the same.
#pragma once

#include <algorithm>
#include <string>

#include "engine/safetensors.h"
#include "tests/fuzz/fuzz.h"

namespace mcn::fuzz {

inline void check_round_trip(const SafetensorsFile& once) {
  static const test::TemporaryFolder folder;
  const std::string copy = folder.file("copy.safetensors");
  SafetensorsFile twice;
  try {
    write_safetensors(copy, once);
    twice = read_safetensors(copy);
  } catch (const Error& e) {
    violated(e.what());
  }
  const auto same = [](const auto& a, const auto& b) {
    return a.first == b.first && a.second.dtype == b.second.dtype && a.second.shape == b.second.shape &&
           a.second.data == b.second.data;
  };
  if (once.metadata != twice.metadata || once.checksums != twice.checksums ||
      !std::ranges::equal(once.tensors, twice.tensors, same))
    violated("a file that is written and read again is the same");
}

}  // namespace mcn::fuzz
