// Event files of TensorBoard: scalars over steps, as records of TFRecord that hold protobuf messages.
#pragma once

#include <cstdint>
#include <fstream>
#include <span>
#include <string>

namespace mcn {

/// CRC-32C (Castagnoli) of bytes, as in RFC 3720: polynomial 0x1EDC6F41, reflected, with the sum inverted at both ends.
std::uint32_t crc32c(std::span<const std::byte> bytes);

struct Scalar {
  std::string tag;
  float value = 0;
};

/// Writes an event file: its version, the start of a session at `first_step`, then a record for each add(). TensorBoard
/// drops what earlier files of the folder hold of first_step and later: a run that went on from a checkpoint before its
/// end. Of a file that is cut off TensorBoard reads the whole records. Times are seconds since 1970. Errors are
/// DataError "[events] path: ...".
class EventFile {
 public:
  EventFile(std::string path, double time, std::int64_t first_step);
  void add(double time, std::int64_t step, std::span<const Scalar> scalars);

 private:
  void write_record(const std::string& event);

  std::string path_;
  std::ofstream stream_;
};

}  // namespace mcn
