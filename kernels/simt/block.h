// One thread block on the CPU: its threads are fibers, run in a chosen order from one barrier to the next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <string_view>
#include <vector>

namespace mcn::simt {

struct Index3 {
  unsigned x = 0, y = 0, z = 0;
};

/// The order in which the threads of a block, and the blocks of a grid, run. A correct kernel gives the same bits in
/// every order; a missing barrier does not.
enum class Order : std::uint8_t { forward, reverse, shuffled };

/// A launch, without its arguments, which `body` has.
struct Launch {
  std::string_view kernel;  ///< its name, of static lifetime
  Index3 grid, block;
  std::size_t shared_bytes = 0;
  std::function<void()> body;
  std::vector<const void*> words;  ///< of the arguments: what may be an address, for a graph
};

/// Runs every block of a launch, blocks side by side on the threads of run_parallel, each with its shared memory
/// poisoned (0xFF bytes: NaN). Throws DeviceError, naming the kernel, block and thread, for a barrier that not every
/// thread of the block reaches, a warp operation that not all 32 lanes of the warp reach, copies that nobody waited
/// for, and what the functions below refuse.
void run_grid(const Launch&, Order);

// What device code asks of the block that runs it (kernels/simt/language.h).

/// The threads of a warp.
inline constexpr int warp_lanes = 32;
/// Widest value that a lane shows its warp.
inline constexpr std::size_t exchange_bytes = 64;

/// Waits until every thread of the block waits at the same place.
void wait_block(const std::source_location& where);
/// Waits until every lane of the warp waits at the same place, then gives access to what each lane has shown.
/// The pointer is valid until the lane's next warp operation. A warp of fewer than 32 lanes, the last of an odd block,
/// is refused.
const std::byte* exchange(const void* value, std::size_t bytes, const std::source_location& where);
[[noreturn]] void refuse_mask(unsigned mask, const std::source_location& where);
/// The block's dynamic shared memory; `bytes` is what the caller is going to use, checked against the launch.
void* shared_memory(std::size_t bytes);

/// DeviceError unless p is a multiple of so many bytes; `what` is done there. x86 would not mind.
[[noreturn]] void refuse_address(const void* p, std::size_t alignment, std::string_view what);
inline void check_aligned(const void* p, std::size_t alignment, std::string_view what) {
  if (reinterpret_cast<std::uintptr_t>(p) % alignment != 0) refuse_address(p, alignment, what);
}
/// DeviceError unless `bytes` bytes from p on lie in the block's shared memory.
void check_shared(const void* p, std::size_t bytes, std::string_view what);

/// cp.async: a copy of 4, 8 or 16 bytes, done as late as the waits allow; zeros, and nothing is read, where not
/// `inside`. DeviceError unless both addresses are multiples of `bytes`, `to` lies in shared memory and what is read in
/// one allocation of device memory.
void copy_async(void* to, const void* from, std::size_t bytes, bool inside = true);
void commit_copies();
/// Does all but the `pending` youngest committed groups.
void wait_copies(int pending);

}  // namespace mcn::simt
