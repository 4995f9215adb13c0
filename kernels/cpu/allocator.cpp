// The cpu backend's allocator.
#include "kernels/cpu/allocator.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <new>

#include "kernels/error.h"

// The sanitizer sees overflows only between blocks of its own.
#if defined(__SANITIZE_ADDRESS__)
#define MCN_CPU_PLAIN_ALLOCATOR 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MCN_CPU_PLAIN_ALLOCATOR 1
#endif
#endif

namespace mcn::cpu {
namespace {

constexpr std::size_t alignment = 64;
[[maybe_unused]] constexpr std::size_t huge_page = std::size_t{2} << 20;
[[maybe_unused]] constexpr std::size_t small_limit = std::size_t{1} << 20;
[[maybe_unused]] constexpr std::size_t small_segment = std::size_t{32} << 20;
[[maybe_unused]] constexpr std::size_t large_segment = std::size_t{256} << 20;
[[maybe_unused]] constexpr std::size_t largest = std::size_t{1}
                                                 << 46;  // beyond any address space: sums below cannot overflow

constexpr std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

}  // namespace

CachingAllocator::~CachingAllocator() {
  for (const auto& [address, size] : segments_) munmap(reinterpret_cast<void*>(address), size);
}

std::size_t CachingAllocator::mapped() const {
  const std::lock_guard lock(mutex_);
  std::size_t total = 0;
  for (const auto& [address, size] : segments_) total += size;
  return total;
}

#ifdef MCN_CPU_PLAIN_ALLOCATOR

void* CachingAllocator::allocate(std::size_t bytes) {
  constexpr std::size_t most = std::size_t{64} << 30;  // the sanitizer ends the program where there is too little
  void* p =
      bytes < most ? std::aligned_alloc(alignment, round_up(std::max<std::size_t>(bytes, 1), alignment)) : nullptr;
  if (p == nullptr) fail<MemoryError>("cpu", "out of memory: {} bytes asked for", bytes);
  return p;
}

void CachingAllocator::release(void* p) noexcept { std::free(p); }

#else

void* CachingAllocator::allocate(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (bytes < largest) {
    const bool small = bytes <= small_limit;
    // Large blocks in whole pages: sizes that differ by a few bytes then fit each other's holes.
    const std::size_t size = round_up(std::max<std::size_t>(bytes, 1), small ? alignment : 4096);
    FreeBlocks& free = free_blocks(small);
    auto found = free.lower_bound({size, 0});
    if (found == free.end()) {
      if (!map_segment(size, small)) {
        unmap_unused();
        map_segment(size, small);
      }
      found = free.lower_bound({size, 0});
    }
    if (found != free.end()) return take(found, size);
  }
  fail<MemoryError>("cpu", "out of memory: {} bytes ({:.2f} GiB) asked for, {} bytes ({:.2f} GiB) in use", bytes,
                    static_cast<double>(bytes) / (1 << 30), in_use_, static_cast<double>(in_use_) / (1 << 30));
}

void* CachingAllocator::take(FreeBlocks::iterator found, std::size_t size) {
  const auto [whole, address] = *found;
  const auto block = blocks_.find(address);
  const bool small = block->second.small;
  // The nodes first, so that a failed insertion leaves the books as they were.
  if (whole > size) {
    const auto rest = blocks_.emplace(address + size, Block{whole - size, true, false, small}).first;
    try {
      free_blocks(small).insert({whole - size, address + size});
    } catch (...) {
      blocks_.erase(rest);
      throw;
    }
  }
  free_blocks(small).erase({whole, address});
  block->second.size = size;
  block->second.free = false;
  in_use_ += size;
  return reinterpret_cast<void*>(address);
}

void CachingAllocator::release(void* p) noexcept {
  if (p == nullptr) return;
  const std::lock_guard lock(mutex_);
  auto block = blocks_.find(reinterpret_cast<std::uintptr_t>(p));
  if (block == blocks_.end()) return;
  in_use_ -= block->second.size;
  block->second.free = true;
  FreeBlocks& free = free_blocks(block->second.small);
  if (const auto next = std::next(block); next != blocks_.end() && next->second.free && !next->second.first &&
                                          next->first == block->first + block->second.size) {
    free.erase({next->second.size, next->first});
    block->second.size += next->second.size;
    blocks_.erase(next);
  }
  if (!block->second.first && block != blocks_.begin()) {
    const auto before = std::prev(block);
    if (before->second.free) {
      free.erase({before->second.size, before->first});
      before->second.size += block->second.size;
      blocks_.erase(block);
      block = before;
    }
  }
  try {
    free.insert({block->second.size, block->first});
  } catch (const std::bad_alloc&) {
    block->second.free = false;  // without an entry nobody finds it: it stays as it is until the allocator ends
  }
}

bool CachingAllocator::map_segment(std::size_t size, bool small) {
  // Pages count only once they are touched, so a segment larger than the request is free of charge.
  const std::size_t wanted = round_up(std::max(size, small ? small_segment : large_segment), huge_page);
  void* p = mmap(nullptr, wanted + huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return false;
  const auto start = reinterpret_cast<std::uintptr_t>(p);
  const std::uintptr_t aligned = round_up(start, huge_page);
  if (aligned > start) munmap(p, aligned - start);
  if (const std::size_t tail = start + huge_page - aligned; tail > 0)
    munmap(reinterpret_cast<void*>(aligned + wanted), tail);
  madvise(reinterpret_cast<void*>(aligned), wanted, MADV_HUGEPAGE);
  try {
    free_blocks(small).insert({wanted, aligned});
    blocks_.emplace(aligned, Block{wanted, true, true, small});
    segments_.emplace(aligned, wanted);
  } catch (...) {
    free_blocks(small).erase({wanted, aligned});
    blocks_.erase(aligned);
    munmap(reinterpret_cast<void*>(aligned), wanted);
    throw;
  }
  return true;
}

void CachingAllocator::unmap_unused() {
  for (auto segment = segments_.begin(); segment != segments_.end();) {
    const auto block = blocks_.find(segment->first);
    if (block->second.free && block->second.size == segment->second) {
      free_blocks(block->second.small).erase({block->second.size, block->first});
      blocks_.erase(block);
      munmap(reinterpret_cast<void*>(segment->first), segment->second);
      segment = segments_.erase(segment);
    } else {
      ++segment;
    }
  }
}

#endif

}  // namespace mcn::cpu
