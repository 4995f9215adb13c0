// The guard zones.
#include "tests/ops/guarded_backend.h"

#include <cstring>

namespace mcn::test {
namespace {

// A multiple of the alignment that backends promise.
constexpr std::size_t guard = 256;
constexpr unsigned char sentinel = 0xA5;
constexpr int poison = 0xFF;  // NaN in float32 and float64, -1 as an index

bool zones_intact(const void* payload, std::size_t bytes) {
  const auto* p = static_cast<const unsigned char*>(payload);
  for (std::size_t i = 0; i < guard; ++i)
    if (p[bytes + i] != sentinel || *(p - 1 - i) != sentinel) return false;
  return true;
}

}  // namespace

void* GuardedBackend::allocate_impl(std::size_t bytes) {
  auto* p = static_cast<unsigned char*>(inner_.allocate(bytes + 2 * guard));
  std::memset(p, sentinel, guard);
  std::memset(p + guard, poison, bytes);
  std::memset(p + guard + bytes, sentinel, guard);
  live_[p + guard] = bytes;
  ++allocations_;
  return p + guard;
}

void GuardedBackend::release_impl(void* p, std::size_t bytes) noexcept {
  const auto found = live_.find(p);
  intact_ = intact_ && found != live_.end() && found->second == bytes && zones_intact(p, bytes);
  if (found != live_.end()) live_.erase(found);
  inner_.release(static_cast<unsigned char*>(p) - guard, bytes + 2 * guard);
}

bool GuardedBackend::guards_intact() const {
  for (const auto& [p, bytes] : live_)
    if (!zones_intact(p, bytes)) return false;
  return intact_;
}

}  // namespace mcn::test
