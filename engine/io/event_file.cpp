// Protobuf wire format of the few messages that scalars need (event.proto and summary.proto of TensorFlow), and the
// frame of a TFRecord.
#include "engine/io/event_file.h"

#include <array>
#include <bit>
#include <cstddef>
#include <utility>

#include "kernels/error.h"

namespace mcn {
namespace {

std::array<std::uint32_t, 256> make_table() {
  constexpr std::uint32_t reflected = 0x82F63B78;
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? reflected : 0);
    table[byte] = value;
  }
  return table;
}

template <class Unsigned>
std::string little_endian(Unsigned value) {
  std::string bytes;
  for (std::size_t i = 0; i < sizeof value; ++i)
    bytes += static_cast<char>(static_cast<std::uint8_t>(value >> (8 * i)));
  return bytes;
}

std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(static_cast<std::uint8_t>(value | 0x80));
  return bytes + static_cast<char>(value);
}

// A field: its number and the kind of what follows, then that.
enum Wire : std::uint8_t { variable = 0, fixed64 = 1, counted = 2, fixed32 = 5 };
std::string key(std::uint64_t field, Wire wire) { return varint(field << 3 | wire); }
std::string field(std::uint64_t number, const std::string& bytes) {
  return key(number, counted) + varint(bytes.size()) + bytes;
}
std::string field(std::uint64_t number, double value) {
  return key(number, fixed64) + little_endian(std::bit_cast<std::uint64_t>(value));
}
std::string field(std::uint64_t number, float value) {
  return key(number, fixed32) + little_endian(std::bit_cast<std::uint32_t>(value));
}
std::string field(std::uint64_t number, std::int64_t value) {
  return key(number, variable) + varint(static_cast<std::uint64_t>(value));
}

// A sum of data that holds sums itself would be weak: TFRecord stores it rotated and offset.
std::string masked_sum(const std::string& bytes) {
  const std::uint32_t sum = crc32c(std::as_bytes(std::span<const char>(bytes)));
  return little_endian((sum >> 15 | sum << 17) + 0xA282EAD8U);
}

// Numbers of fields.
enum EventField : std::uint8_t { wall_time = 1, step = 2, file_version = 3, summary = 5, session_log = 7 };
enum SummaryField : std::uint8_t { summary_value = 1, value_tag = 1, value_simple = 2 };
enum SessionField : std::uint8_t { status = 1, status_start = 1 };

}  // namespace

std::uint32_t crc32c(std::span<const std::byte> bytes) {
  static const std::array<std::uint32_t, 256> table = make_table();
  std::uint32_t sum = ~0U;
  for (const std::byte byte : bytes) sum = sum >> 8 ^ table[(sum ^ std::to_integer<std::uint32_t>(byte)) & 0xFF];
  return ~sum;
}

EventFile::EventFile(std::string path, double time, std::int64_t first_step)
    : path_(std::move(path)), stream_(path_, std::ios::binary | std::ios::trunc) {
  write_record(field(wall_time, time) + field(file_version, std::string("brain.Event:2")));
  write_record(field(wall_time, time) + field(step, first_step) +
               field(session_log, field(status, std::int64_t{status_start})));
}

void EventFile::add(double time, std::int64_t at, std::span<const Scalar> scalars) {
  std::string values;
  for (const Scalar& scalar : scalars)
    values += field(summary_value, field(value_tag, scalar.tag) + field(value_simple, scalar.value));
  write_record(field(wall_time, time) + field(step, at) + field(summary, values));
}

void EventFile::write_record(const std::string& event) {
  const std::string length = little_endian(std::uint64_t{event.size()});
  stream_ << length << masked_sum(length) << event << masked_sum(event) << std::flush;
  if (!stream_) fail<DataError>("events", "{}: cannot be written", path_);
}

}  // namespace mcn
