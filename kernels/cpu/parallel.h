// Loops over threads whose division of the work depends on its size alone, so that no result depends on the number
// of threads. Small loops stay on the calling thread: entering a parallel region costs microseconds.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace mcn::cpu {

/// Elements that one thread should at least have.
inline constexpr std::int64_t elementwise_grain = 1 << 15;

/// Calls f(i) for every i in [0, n), in any order, on any thread. f must not throw.
template <class F>
void parallel_tasks(std::int64_t n, F&& f) {
  if (n <= 1 || omp_get_max_threads() == 1) {
    for (std::int64_t i = 0; i < n; ++i) f(i);
    return;
  }
#pragma omp parallel for schedule(dynamic, 1)
  for (std::int64_t i = 0; i < n; ++i) f(i);
}

/// How many slots parallel_slots may use now: one a thread.
inline std::int64_t slot_count() { return omp_get_max_threads(); }

/// Calls f(i, slot) for every i in [0, n), in any order; calls that run at the same time have different slots in
/// [0, slot_count()), for scratch memory. f must not throw.
template <class F>
void parallel_slots(std::int64_t n, F&& f) {
  if (n <= 1 || omp_get_max_threads() == 1) {
    for (std::int64_t i = 0; i < n; ++i) f(i, 0);
    return;
  }
#pragma omp parallel for schedule(dynamic, 1)
  for (std::int64_t i = 0; i < n; ++i) f(i, static_cast<std::int64_t>(omp_get_thread_num()));
}

/// Calls f(begin, end) for blocks of `grain` that cover [0, n). f must not throw.
template <class F>
void parallel_blocks(std::int64_t n, std::int64_t grain, F&& f) {
  if (n <= grain || omp_get_max_threads() == 1) {
    for (std::int64_t begin = 0; begin < n; begin += grain) f(begin, std::min(n, begin + grain));
    return;
  }
  const std::int64_t blocks = (n + grain - 1) / grain;
#pragma omp parallel for schedule(static)
  for (std::int64_t b = 0; b < blocks; ++b) f(b * grain, std::min(n, (b + 1) * grain));
}

/// Rows of `columns` elements that make one block of elementwise work.
inline std::int64_t row_grain(std::int64_t columns) {
  return std::max<std::int64_t>(1, elementwise_grain / std::max<std::int64_t>(1, columns));
}

inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

}  // namespace mcn::cpu
