// Safetensors files. What can be read can be written, and read again the same.
#include "tests/fuzz/round_trip.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static mcn::fuzz::MemoryFile file;
  file.write(mcn::fuzz::as_text(data, size));
  mcn::fuzz::read([&] { mcn::fuzz::check_round_trip(mcn::read_safetensors(file.path())); });
  return 0;
}
