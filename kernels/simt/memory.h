// The memory that the simt layer has handed out, by address.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

namespace mcn::simt {

/// A piece of memory; empty where there is none.
struct MemoryRange {
  const std::byte* begin = nullptr;
  std::size_t bytes = 0;

  /// Do so many bytes from p on lie in it?
  [[nodiscard]] bool holds(const void* p, std::size_t count) const {
    const auto at = reinterpret_cast<std::uintptr_t>(p) - reinterpret_cast<std::uintptr_t>(begin);
    return at < bytes && count <= bytes - at;
  }
};

/// The device allocation that an address lies in and that a stream's work may use now; empty if there is none. For
/// kernels while they run.
MemoryRange live_range(const void* p);
/// The device allocation beside which an address lies, in memory that nobody may touch; empty if there is none. Every
/// allocation has so much of it on both sides, up to its last byte but for what makes it a multiple of 16, which holds
/// NaN. (With AddressSanitizer none, which watches to the byte itself.) For a signal's handler while a kernel runs.
MemoryRange allocation_beside(const void* p);
/// "byte 12 of an allocation of 256 bytes", or that it is none of the device's.
std::string name_of_device_address(const void* p);

}  // namespace mcn::simt
