// The ring is a queue of the free buffers: the one given back first is taken first, its copy being the likeliest to be
// over.
#include "engine/host_ring.h"

#include <deque>
#include <mutex>
#include <utility>

namespace mcn {

struct HostRing::State {
  struct Free {
    void* memory;
    Backend::Upload pending;
  };

  State(Backend& b, std::size_t bytes) : backend(b), slot_bytes(bytes) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    for (const Free& slot : free) {
      backend.wait_upload(slot.pending);
      backend.release_host(slot.memory);
    }
  }

  Backend& backend;
  const std::size_t slot_bytes;
  std::mutex mutex;
  std::deque<Free> free;
  std::size_t slots = 0;
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
  ring_->free.push_back({bytes_.data(), pending_});
}

void HostRing::Slot::upload(View y) const {
  if (ring_ == nullptr || y.dtype != DType::u8 || y.numel() > static_cast<std::int64_t>(bytes_.size()))
    fail("ring", "a buffer of {} bytes cannot fill {} of {}", bytes_.size(), y.shape.str(), name_of(y.dtype));
  ring_->backend.wait_upload(pending_);
  pending_ = ring_->backend.upload(bytes_.data(), y);
}

HostRing::HostRing(Backend& backend, std::size_t slot_bytes) : state_(std::make_shared<State>(backend, slot_bytes)) {}

HostRing::Slot HostRing::take() {
  Slot slot;
  State::Free taken{nullptr, Backend::no_upload};
  {
    const std::lock_guard lock(state_->mutex);
    if (!state_->free.empty()) {
      taken = state_->free.front();
      state_->free.pop_front();
    }
  }
  if (taken.memory == nullptr) {
    taken.memory = state_->backend.allocate_host(state_->slot_bytes);
    const std::lock_guard lock(state_->mutex);
    ++state_->slots;
  } else {
    state_->backend.wait_upload(taken.pending);
  }
  slot.ring_ = state_;
  slot.bytes_ = {static_cast<std::uint8_t*>(taken.memory), state_->slot_bytes};
  return slot;
}

std::size_t HostRing::slots() const {
  const std::lock_guard lock(state_->mutex);
  return state_->slots;
}

}  // namespace mcn
