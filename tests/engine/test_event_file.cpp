// Event files against the sums of RFC 3720 and bytes worked out by hand from the protobuf wire format.
#include <fstream>
#include <iterator>

#include "engine/io/event_file.h"
#include "kernels/error.h"
#include "tests/catch.h"
#include "tests/temporary_folder.h"

namespace mcn {
namespace {

std::uint32_t sum_of(const std::string& text) { return crc32c(std::as_bytes(std::span<const char>(text))); }

std::string hex_of(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  std::string hex;
  for (const char c : std::string(std::istreambuf_iterator<char>(stream), {}))
    hex += fmt::format("{:02x}", static_cast<std::uint8_t>(c));
  return hex;
}

}  // namespace

TEST_CASE("CRC-32C has the sums of RFC 3720") {
  CHECK(sum_of("123456789") == 0xE3069283);
  CHECK(sum_of(std::string(32, '\0')) == 0x8A9136AA);
  CHECK(sum_of(std::string(32, '\xFF')) == 0x62A8AB43);
  CHECK(sum_of("") == 0);
}

// A record: length in 8 bytes, masked sum of these, the event, its masked sum. The events, byte by byte:
// 09 <double 1.0> wall_time; 1a 0d "brain.Event:2" file_version
// 09 <double 1.0>; 10 ac 02 step 300; 3a 02 08 01 session_log with status 1, START
// 09 <double 2.0>; 10 ac 02; 2a 0c summary of 12 bytes: 0a 0a a value of 10 bytes: 0a 03 "los" tag, 15 <float 1.5>
// The sums are from a bitwise CRC in Python: mask(c) = ((c >> 15 | c << 17) + 0xa282ead8) mod 2^32.
TEST_CASE("an event file has the bytes of its messages") {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("events");
  {
    EventFile file(path, 1.0, 300);
    const Scalar scalar{"los", 1.5F};
    file.add(2.0, 300, {&scalar, 1});
  }
  CHECK(hex_of(path) ==
        "1800000000000000a37f4b22"
        "09000000000000f03f1a0d627261696e2e4576656e743a32"
        "86bf577a"
        "100000000000000095fbfe18"
        "09000000000000f03f10ac023a020801"
        "560b5da5"
        "1a00000000000000129bd82d"
        "09000000000000004010ac022a0c0a0a0a036c6f73150000c03f"
        "888f46e2");
}

TEST_CASE("an event file that cannot be written is an error that names it") {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("no/events");
  CHECK_THROWS_AS(EventFile(path, 1, 0), DataError);
}

}  // namespace mcn
