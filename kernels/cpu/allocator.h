// Memory of the cpu backend: blocks are cut from large mappings and kept for reuse, because page-faulting the
// activations of every step anew costs a good part of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <utility>

namespace mcn::cpu {

/// Best fit with coalescing over mappings that are backed by transparent huge pages where the system has them.
/// Memory is never more than the peak of what was in use plus fragmentation; thread-safe.
class CachingAllocator {
 public:
  CachingAllocator() = default;
  ~CachingAllocator();
  CachingAllocator(const CachingAllocator&) = delete;
  CachingAllocator& operator=(const CachingAllocator&) = delete;

  /// 64-byte aligned, uninitialised; at least one byte. Returns unused mappings to the system and tries again before
  /// it throws DeviceError, which names the size and what is in use.
  void* allocate(std::size_t bytes);
  void release(void* p) noexcept;
  /// Bytes mapped from the system, in use or kept.
  [[nodiscard]] std::size_t mapped() const;

 private:
  struct Block {
    std::size_t size;
    bool free;
    bool first;  ///< starts a mapping: never merged with what lies before it
    bool small;
  };
  using Blocks = std::map<std::uintptr_t, Block>;
  using FreeBlocks = std::set<std::pair<std::size_t, std::uintptr_t>>;

  void* take(FreeBlocks::iterator found, std::size_t size);
  bool map_segment(std::size_t size, bool small);
  void unmap_unused();
  FreeBlocks& free_blocks(bool small) { return small ? free_small_ : free_large_; }

  mutable std::mutex mutex_;
  Blocks blocks_;
  // Apart, so that a small block that lives long does not split the room of a large one.
  FreeBlocks free_small_, free_large_;
  std::map<std::uintptr_t, std::size_t> segments_;
  std::size_t in_use_ = 0;
};

}  // namespace mcn::cpu
