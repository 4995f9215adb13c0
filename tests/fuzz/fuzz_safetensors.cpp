// Safetensors files. What can be read can be written, and read again the same.
#include "engine/safetensors.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static mcn::fuzz::MemoryFile file;
  static const mcn::test::TemporaryFolder folder;
  file.write(mcn::fuzz::as_text(data, size));
  mcn::fuzz::read([&] {
    const mcn::SafetensorsFile once = mcn::read_safetensors(file.path());
    const std::string copy = folder.file("copy.safetensors");
    mcn::SafetensorsFile twice;
    try {
      mcn::write_safetensors(copy, once);
      twice = mcn::read_safetensors(copy);
    } catch (const mcn::Error& e) {
      mcn::fuzz::violated(e.what());
    }
    bool same = once.metadata == twice.metadata && once.tensors.size() == twice.tensors.size();
    for (const auto& [name, entry] : once.tensors) {
      const auto other = twice.tensors.find(name);
      same = same && other != twice.tensors.end() && other->second.dtype == entry.dtype &&
             other->second.shape == entry.shape && other->second.data == entry.data;
    }
    if (!same) mcn::fuzz::violated("a file that is written and read again is the same");
  });
  return 0;
}
