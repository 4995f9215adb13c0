// One thread block on the CPU: its threads are fibers, run in a chosen order from one barrier to the next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <string_view>

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
};

/// Runs every block of a launch, blocks side by side on the threads of run_parallel, each with its shared memory poisoned (0xFF
/// bytes: NaN). Throws DeviceError, naming the kernel, block and thread, for a barrier that not every thread of the
/// block reaches, a warp operation that not every lane of the warp reaches, and copies that nobody waited for.
void run_grid(const Launch&, Order);

// What device code asks of the block that runs it (kernels/simt/language.h).

/// The threads of a warp.
inline constexpr int warp_lanes = 32;
/// Widest value that a lane shows its warp.
inline constexpr std::size_t exchange_bytes = 64;

/// Waits until every thread of the block waits at the same place.
void wait_block(const std::source_location& where);
/// Waits until every lane of the warp waits at the same place, then gives access to what each lane has shown.
/// The pointer is valid until the lane's next warp operation.
const std::byte* exchange(const void* value, std::size_t bytes, const std::source_location& where);
/// Lanes of this thread's warp that exist: fewer than 32 in the last warp of an odd block.
int lanes_of_warp();
/// The block's dynamic shared memory; `bytes` is what the caller is going to use, checked against the launch.
void* shared_memory(std::size_t bytes);

/// cp.async: a copy of 4, 8 or 16 bytes, done as late as the waits allow. from == nullptr: zeros.
void copy_async(void* to, const void* from, std::size_t bytes);
void commit_copies();
/// Does all but the `pending` youngest committed groups.
void wait_copies(int pending);

}  // namespace mcn::simt
