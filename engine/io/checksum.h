// Checksums of what is kept in files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace mcn {

/// XXH3 with 64 bits (Collet, xxHash 0.8) in 16 lower-case hexadecimal digits: the same on every machine.
std::string checksum(std::span<const std::byte> bytes);
inline std::string checksum(std::string_view text) { return checksum(std::as_bytes(std::span(text))); }

}  // namespace mcn
