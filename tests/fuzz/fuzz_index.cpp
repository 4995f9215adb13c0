// An entry of the index cache: what is taken for an index is written back as the same bytes.
#include "data/index_cache.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input = mcn::fuzz::as_text(data, size);
  if (const auto index = mcn::index_of_bytes(input)) {
    if (mcn::bytes_of_index(*index) != input) mcn::fuzz::violated("an index is read as it was written");
    for (const std::int64_t packet : index->packets)
      if (packet < 0 || packet >= mcn::most_packets) mcn::fuzz::violated("a packet has a number that may be");
  }
  return 0;
}
