// Buffers of the ring: those free again in a queue, and those that have never been out.
#include "engine/host_ring.h"

#include <algorithm>
#include <deque>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

namespace mcn {

struct HostRing::State {
  struct Free {
    std::uint8_t* memory;
    Backend::Upload pending;
  };

  State(Backend& b, std::size_t bytes, std::size_t slots) : backend(b), slot_bytes(bytes), grow_by(slots / 8 + 1) {
    allocate(slots);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    for (const Free& slot : free) backend.wait_upload(slot.pending);
    for (void* slab : slabs) backend.release_host(slab);
  }

  // Under mutex, but for the constructor.
  void allocate(std::size_t slots) {
    constexpr std::size_t alignment = 256;
    const std::size_t pitch = (slot_bytes + alignment - 1) / alignment * alignment;
    constexpr std::size_t most_bytes = std::size_t{1} << 60;
    if (slot_bytes > most_bytes || slots > most_bytes / std::max(pitch, alignment))
      fail<MemoryError>("ring", "{} buffers of {} bytes are more than there can be", slots, slot_bytes);
    slabs.reserve(slabs.size() + 1);
    slabs.push_back(backend.allocate_host(slots * pitch));
    auto* next = static_cast<std::uint8_t*>(slabs.back());
    for (std::size_t i = 0; i < slots; ++i, next += pitch) fresh.push_back(next);
  }

  // The one given back first, its copy being the likeliest to be over; one that has never been out where there is none.
  Free take() {
    const std::lock_guard lock(mutex);
    if (!free.empty()) {
      const Free first = free.front();
      free.pop_front();
      return first;
    }
    if (fresh.empty()) allocate(grow_by);
    std::uint8_t* const memory = fresh.front();
    fresh.pop_front();
    ++taken;
    return {memory, Backend::no_upload};
  }

  Backend& backend;
  const std::size_t slot_bytes;
  const std::size_t grow_by;
  std::mutex mutex;
  std::vector<void*> slabs;
  std::deque<std::uint8_t*> fresh;
  std::deque<Free> free;
  std::size_t taken = 0;
};

HostRing::Slot::Slot(Slot&& other) noexcept
    : ring_(std::move(other.ring_)),
      bytes_(std::exchange(other.bytes_, {})),
      pending_(std::exchange(other.pending_, Backend::no_upload)) {}

HostRing::Slot& HostRing::Slot::operator=(Slot&& other) noexcept {
  std::swap(ring_, other.ring_);
  std::swap(bytes_, other.bytes_);
  std::swap(pending_, other.pending_);
  return *this;
}

HostRing::Slot::~Slot() {
  if (ring_ == nullptr) return;
  const std::lock_guard lock(ring_->mutex);
  try {
    ring_->free.push_back({bytes_.data(), pending_});
  } catch (const std::bad_alloc&) {
    ring_->backend.wait_upload(pending_);  // its slab still has it; it is not handed out again
  }
}

void HostRing::Slot::upload(View y) const {
  if (ring_ == nullptr || y.dtype != DType::u8 || y.numel() > static_cast<std::int64_t>(bytes_.size()))
    fail("ring", "a buffer of {} bytes cannot fill {} of {}", bytes_.size(), y.shape.str(), name_of(y.dtype));
  ring_->backend.wait_upload(pending_);
  pending_ = ring_->backend.upload(bytes_.data(), y);
}

HostRing::HostRing(Backend& backend, std::size_t slot_bytes, std::size_t slots)
    : state_(std::make_shared<State>(backend, slot_bytes, slots)) {}

HostRing::Slot HostRing::take() {
  const State::Free taken = state_->take();
  state_->backend.wait_upload(taken.pending);
  Slot slot;
  slot.ring_ = state_;
  slot.bytes_ = {taken.memory, state_->slot_bytes};
  return slot;
}

std::size_t HostRing::slots() const {
  const std::lock_guard lock(state_->mutex);
  return state_->taken;
}

}  // namespace mcn
