// Page-locked host buffers that threads fill and a device copies from, each used again only when its copy is over.
// They are parts of one allocation: to page-lock memory makes a device wait.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "kernels/backend.h"

namespace mcn {

/// Hands out buffers of one size. As many are in use as were ever out at a time; all calls are safe from any thread but
/// Slot::upload, which is the backend's caller's.
class HostRing {
  struct State;

 public:
  /// A buffer; goes back to the ring when it is destroyed. It may outlive the ring.
  class Slot {
   public:
    Slot() = default;
    Slot(Slot&& other) noexcept;
    Slot& operator=(Slot&& other) noexcept;
    ~Slot();

    [[nodiscard]] std::span<std::uint8_t> bytes() const { return bytes_; }
    /// Starts copying the first y.numel() bytes to y (u8); kernels called later see them. The buffer may be written
    /// again once the ring has handed it out again. UsageError if y is not u8, or longer than the buffer.
    void upload(View y) const;

   private:
    friend class HostRing;
    std::shared_ptr<State> ring_;
    std::span<std::uint8_t> bytes_;
    mutable Backend::Upload pending_ = Backend::no_upload;
  };

  /// Allocates `slots` buffers. MemoryError if there is no memory.
  HostRing(Backend& backend, std::size_t slot_bytes, std::size_t slots);

  /// Waits, if need be, for the copy from the buffer that was given back first. Where all are out, allocates an eighth
  /// as many once more; MemoryError if there is no memory.
  Slot take();
  /// Buffers that have been out.
  [[nodiscard]] std::size_t slots() const;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace mcn
