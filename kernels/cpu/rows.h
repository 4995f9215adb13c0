// Walks over activations seen as rows of C channels: per-channel sums in one pass, and fused elementwise passes.
// Several rows are taken as one wide row whose width suits the vector registers, for any C (3, 45, 230, 921).
#pragma once

#include <algorithm>
#include <bit>
#include <type_traits>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"

namespace mcn::cpu {

/// A division of rows x C elements that depends on the shape alone.
struct RowGroups {
  RowGroups(std::int64_t rows, std::int64_t row_channels) : channels(row_channels), total(rows * row_channels) {
    std::int64_t group = 1;
    while ((group * channels % 16 != 0 || group * channels < 256) && 2 * group * channels <= 4096) group *= 2;
    width = group * channels;
    lines = ceil_div(total, std::max<std::int64_t>(1, width));
    constexpr std::int64_t block_elements = 16384;
    block = std::max<std::int64_t>(1, block_elements / std::max<std::int64_t>(1, width));
    const std::int64_t blocks = ceil_div(lines, block);
    blocks_per_task = std::max<std::int64_t>(1, ceil_div(blocks, 64));
    tasks = ceil_div(blocks, blocks_per_task);
  }

  std::int64_t channels, total;
  std::int64_t width;  ///< elements of a line: whole rows
  std::int64_t lines;  ///< the last one may be shorter
  std::int64_t block;  ///< lines that stay in cache, and that are summed in T before they are added in double
  std::int64_t blocks_per_task;
  std::int64_t tasks;

  /// A per-channel value repeated over a line.
  template <class T, class S>
  void widen(const S* values, T* out) const {
    for (std::int64_t i = 0; i < width; i += channels)
      for (std::int64_t c = 0; c < channels; ++c) out[i + c] = static_cast<T>(values[c]);
  }
};

/// The mask of ReLU: g where y > 0 or y is NaN, else 0. By bits, because the compiler turns a conditional expression
/// into a skipped load, and a loop that skips is not vectorised.
template <class T>
T masked(T y, T g) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  const Bits keep = Bits{0} - static_cast<Bits>(!(y <= T{0}));
  return std::bit_cast<T>(std::bit_cast<Bits>(g) & keep);
}

/// K values an element. Never two: GCC 12 keeps a pair of floats as one eight-byte value, which it does not vectorise.
template <class T, int K>
struct Terms {
  T v[K == 2 ? 3 : K];
};

/// sums[k * width + w] = sum over lines [begin, end) of f(element, w).v[k]
template <int K, class T, class F>
void sum_lines(const RowGroups& g, std::int64_t begin, std::int64_t end, T* sums, const F& given) {
  const F f = given;  // a local copy: its pointers then are known not to change while sums are written
  const std::int64_t width = g.width;
  std::fill_n(sums, K * width, T{0});
  std::int64_t line = begin;
  for (; line + 4 <= end && (line + 4) * width <= g.total; line += 4) {
    const std::int64_t o = line * width;
#pragma omp simd
    for (std::int64_t w = 0; w < width; ++w) {
      const Terms<T, K> a = f(o + w, w);
      const Terms<T, K> b = f(o + width + w, w);
      const Terms<T, K> c = f(o + 2 * width + w, w);
      const Terms<T, K> d = f(o + 3 * width + w, w);
      for (int k = 0; k < K; ++k) sums[k * width + w] += (a.v[k] + b.v[k]) + (c.v[k] + d.v[k]);
    }
  }
  for (; line < end; ++line) {
    const std::int64_t o = line * width;
    const std::int64_t n = std::min(width, g.total - o);
#pragma omp simd
    for (std::int64_t w = 0; w < n; ++w) {
      const Terms<T, K> a = f(o + w, w);
      for (int k = 0; k < K; ++k) sums[k * width + w] += a.v[k];
    }
  }
}

/// out[c] += sum over the width of sums
template <class T>
void fold(const RowGroups& g, const T* sums, double* out) {
  for (std::int64_t i = 0; i < g.width; i += g.channels)
    for (std::int64_t c = 0; c < g.channels; ++c) out[c] += static_cast<double>(sums[i + c]);
}

/// out[k * C + c] = sum over rows of f(element, w).v[k], w the element's place in its line: T within a cache block,
/// double across blocks, added in a fixed order.
template <int K, class T, class F>
void sum_channels(CachingAllocator& allocator, const RowGroups& g, double* out, const F& f) {
  const std::int64_t size = K * g.channels;
  const Scratch<double> partial(allocator, g.tasks * size);
  const Scratch<T> sums(allocator, slot_count() * K * g.width);
  parallel_slots(g.tasks, [&](std::int64_t task, std::int64_t slot) {
    double* mine = partial.get() + task * size;
    std::fill_n(mine, size, 0.0);
    T* s = sums.get() + slot * K * g.width;
    const std::int64_t first = task * g.blocks_per_task * g.block;
    const std::int64_t last = std::min(g.lines, first + g.blocks_per_task * g.block);
    for (std::int64_t line = first; line < last; line += g.block) {
      sum_lines<K>(g, line, std::min(last, line + g.block), s, f);
      for (int k = 0; k < K; ++k) fold(g, s + k * g.width, mine + k * g.channels);
    }
  });
  std::fill_n(out, size, 0.0);
  for (std::int64_t task = 0; task < g.tasks; ++task)
    for (std::int64_t i = 0; i < size; ++i) out[i] += partial[task * size + i];
}

/// Calls f(element, w) for every element. From the end: a reduction that went before has left the end in cache.
template <class F>
void for_each_row_element(const RowGroups& g, const F& given) {
  const auto run = [&](std::int64_t task) {
    const F f = given;
    task = g.tasks - 1 - task;
    const std::int64_t first = task * g.blocks_per_task * g.block;
    const std::int64_t last = std::min(g.lines, first + g.blocks_per_task * g.block);
    for (std::int64_t line = first; line < last; ++line) {
      const std::int64_t o = line * g.width;
      const std::int64_t n = std::min(g.width, g.total - o);
#pragma omp simd
      for (std::int64_t w = 0; w < n; ++w) f(o + w, w);
    }
  };
  if (g.total < elementwise_grain) {
    for (std::int64_t task = 0; task < g.tasks; ++task) run(task);
  } else {
    parallel_tasks(g.tasks, run);
  }
}

/// Calls f with std::true_type or std::false_type, so that a flag costs nothing in a loop.
template <class F>
void branch(bool flag, F&& f) {
  if (flag)
    f(std::true_type{});
  else
    f(std::false_type{});
}

}  // namespace mcn::cpu
