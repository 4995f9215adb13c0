// Loops over threads whose division of the work depends on its size alone, so that no result depends on the number
// of threads. Small loops stay on the calling thread: waking the others costs microseconds.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/parallel.h"

namespace mcn::cpu {

inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// Elements that one thread should at least have.
inline constexpr std::int64_t elementwise_grain = 1 << 15;

/// Calls f(i) for every i in [0, n), in any order, on any thread.
template <class F>
void parallel_tasks(std::int64_t n, F&& f) {
  run_parallel(n, [&](std::int64_t i, std::int64_t) { f(i); });
}

/// How many slots parallel_slots may use now: one a thread.
inline std::int64_t slot_count() { return thread_count(); }

/// Calls f(i, slot) for every i in [0, n), in any order; calls that run at the same time have different slots in
/// [0, slot_count()), for scratch memory.
template <class F>
void parallel_slots(std::int64_t n, F&& f) {
  run_parallel(n, f);
}

/// Calls f(begin, end) for blocks of `grain` that cover [0, n).
template <class F>
void parallel_blocks(std::int64_t n, std::int64_t grain, F&& f) {
  run_parallel(ceil_div(n, grain), [&](std::int64_t b, std::int64_t) { f(b * grain, std::min(n, (b + 1) * grain)); });
}

/// Rows of `columns` elements that make one block of elementwise work.
inline std::int64_t row_grain(std::int64_t columns) {
  return std::max<std::int64_t>(1, elementwise_grain / std::max<std::int64_t>(1, columns));
}

}  // namespace mcn::cpu
