// The guard zones.
#include "tests/ops/guarded_backend.h"

#include <algorithm>
#include <array>
#include <vector>

namespace mcn::test {
namespace {

// A multiple of the alignment that backends promise.
constexpr std::size_t guard = 256;
constexpr unsigned char sentinel = 0xA5;
constexpr unsigned char poison = 0xFF;  // NaN in float32 and float64, -1 as an index

View bytes_at(void* p, std::size_t bytes) { return {p, DType::u8, {static_cast<std::int64_t>(bytes)}}; }

// By copies, which wait for the kernels before them, and reach memory that the host does not.
bool zones_intact(Backend& backend, void* payload, std::size_t bytes) {
  auto* p = static_cast<unsigned char*>(payload);
  std::array<unsigned char, guard> zone{};
  for (unsigned char* begin : {p - guard, p + bytes}) {
    backend.copy_to_host(bytes_at(begin, guard), zone.data());
    if (!std::all_of(zone.begin(), zone.end(), [](unsigned char c) { return c == sentinel; })) return false;
  }
  return true;
}

}  // namespace

void* GuardedBackend::allocate_impl(std::size_t bytes) {
  auto* p = static_cast<unsigned char*>(inner_.allocate(bytes + 2 * guard));
  std::vector<unsigned char> content(bytes + 2 * guard, sentinel);
  std::fill_n(content.begin() + guard, bytes, poison);
  inner_.copy_from_host(content.data(), bytes_at(p, content.size()));
  live_[p + guard] = bytes;
  ++allocations_;
  return p + guard;
}

void GuardedBackend::release_impl(void* p, std::size_t bytes) noexcept {
  const auto found = live_.find(p);
  try {
    intact_ = intact_ && found != live_.end() && found->second == bytes && zones_intact(inner_, p, bytes);
  } catch (...) {
    intact_ = false;  // a kernel before it has failed
  }
  if (found != live_.end()) live_.erase(found);
  inner_.release(static_cast<unsigned char*>(p) - guard, bytes + 2 * guard);
}

bool GuardedBackend::guards_intact() const {
  for (const auto& [p, bytes] : live_)
    if (!zones_intact(inner_, p, bytes)) return false;
  return intact_;
}

}  // namespace mcn::test
