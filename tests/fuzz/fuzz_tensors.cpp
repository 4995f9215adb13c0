// Safetensors files again, by a mutator that knows the format (safetensors_mutator.h). What is read is what the header
// says, read in another way; of a file with checksums any flipped bit is noticed.
#include <algorithm>
#include <map>

#include "engine/io/checksum.h"
#include "engine/safetensors.h"
#include "tests/fuzz/allocations.h"
#include "tests/fuzz/round_trip.h"
#include "tests/fuzz/safetensors_mutator.h"

namespace {

using mcn::fuzz::violated;
using nlohmann::json;

// Every tensor is there as the header describes it, and they cover the data once.
void check_tensors(const mcn::SafetensorsFile& file, const mcn::fuzz::TensorsFile& parts) {
  const std::map<std::string, mcn::DType> dtypes{{"F32", mcn::DType::f32},
                                                 {"F64", mcn::DType::f64},
                                                 {"I32", mcn::DType::i32},
                                                 {"I64", mcn::DType::i64},
                                                 {"U8", mcn::DType::u8}};
  std::size_t bytes = 0;
  json header = parts.header;
  json metadata = json::object();
  if (header.contains("__metadata__")) metadata = header.at("__metadata__");
  header.erase("__metadata__");
  if (header.size() != file.tensors.size()) violated("a file has the tensors that its header names");
  for (const auto& [name, entry] : file.tensors) {
    if (!header.contains(name)) violated("a tensor is in the header");
    const json& tensor = header.at(name);
    if (dtypes.at(tensor.at("dtype").get<std::string>()) != entry.dtype) violated("a tensor has the header's dtype");
    std::vector<std::int64_t> shape;
    for (int axis = 0; axis < entry.shape.rank(); ++axis) shape.push_back(entry.shape[axis]);
    if (tensor.at("shape") != json(shape)) violated("a tensor has the header's shape");
    const auto begin = tensor.at("data_offsets").at(0).get<std::size_t>();
    const std::string_view there(reinterpret_cast<const char*>(entry.data.data()), entry.data.size());
    if (std::string_view(parts.data).substr(begin, there.size()) != there || tensor.at("data_offsets").size() != 2 ||
        tensor.at("data_offsets").at(1) != begin + there.size())
      violated("a tensor has the bytes of its offsets");
    if (static_cast<std::int64_t>(there.size()) !=
        entry.shape.numel() * static_cast<std::int64_t>(size_of(entry.dtype)))
      violated("a tensor has the bytes of its shape");
    bytes += there.size();
  }
  if (bytes != parts.data.size()) violated("every byte belongs to one tensor");
  for (const char* sums : {"xxh3.header", "xxh3.tensors"}) {
    if (file.checksums != metadata.contains(sums)) violated("a file with checksums has both");
    metadata.erase(sums);
  }
  if (json(file.metadata) != metadata) violated("the metadata is that of the header");
}

// One bit of the file, which the file itself chooses.
void check_flipped_bit(mcn::fuzz::MemoryFile& file, std::string bytes) {
  const std::size_t bit = std::stoull(mcn::checksum(bytes).substr(0, 8), nullptr, 16) % (8 * bytes.size());
  bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
  file.write(bytes);
  bool refused = false;
  mcn::fuzz::read([&] {
    try {
      static_cast<void>(mcn::read_safetensors(file.path()));
    } catch (const mcn::DataError&) {
      refused = true;
      throw;
    }
  });
  if (!refused) violated("a flipped bit is noticed where there are checksums");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static mcn::fuzz::MemoryFile file;
  const std::string bytes(mcn::fuzz::as_text(data, size));
  file.write(bytes);
  mcn::fuzz::read([&] {
    const mcn::fuzz::AllocationPeak peak;
    const auto promise = [&] {
      // JSON of a few bytes may be a value of a few dozen, and a tensor's record.
      if (peak.bytes() > (std::size_t{1} << 16) + 256 * size) violated("memory follows from the file's size");
    };
    mcn::SafetensorsFile once;
    try {
      once = mcn::read_safetensors(file.path());
    } catch (const mcn::DataError&) {
      promise();
      throw;
    }
    promise();
    const auto parts = mcn::fuzz::parts_of(bytes);
    if (!parts) violated("a file that is read has a length and a header of JSON");
    check_tensors(once, *parts);
    mcn::fuzz::check_round_trip(once);
    if (once.checksums) check_flipped_bit(file, bytes);
  });
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  static const std::string start = [] {
    mcn::fuzz::TensorsFile file{json::parse(R"({
      "__metadata__": {"settings": "{\"lr\":[1,0.5]}", "xxh3.header": "", "xxh3.tensors": ""},
      "a": {"dtype": "I64", "shape": [], "data_offsets": [0, 8]},
      "b.weight": {"dtype": "F32", "shape": [2, 1, 3], "data_offsets": [8, 32]},
      "c": {"dtype": "U8", "shape": [0, 5], "data_offsets": [32, 32]}})"),
                                std::string(32, '\1')};
    return mcn::fuzz::bytes_of(std::move(file));
  }();
  return mcn::fuzz::mutate_tensors(data, size, max_size, seed, start, "");
}

extern "C" std::size_t LLVMFuzzerCustomCrossOver(const std::uint8_t* first, std::size_t first_size,
                                                 const std::uint8_t* second, std::size_t second_size, std::uint8_t* out,
                                                 std::size_t max_size, unsigned seed) {
  return mcn::fuzz::cross_tensors(mcn::fuzz::as_text(first, first_size), mcn::fuzz::as_text(second, second_size), out,
                                  max_size, seed);
}
