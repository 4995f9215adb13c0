// wgrad: for every tap, the sum over positions of the outer product of a row of y_bar with a row of x. Positions whose
// source is padding are left out of the lists, not multiplied by zero.
#include <cstring>

#include "kernels/cpu/conv_direct.h"
#include "kernels/cpu/conv_fold.h"
#include "kernels/cpu/conv_geometry.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/scratch.h"

namespace mcn::cpu {
namespace {

// out[r][column] += sum over p of y[p][r] x[p][column], Rows x (Vectors whole vectors, the last one of `last` columns).
// Not inlined, or the compiler hoists an offset for every row out of the caller's loops and runs out of registers.
template <class T, int Rows, int Vectors, bool Tail>
__attribute__((noinline)) void outer_tile(const T* const* y, const T* const* x, std::int64_t row, std::int64_t column,
                                          std::int64_t count, int last, T* out, std::int64_t out_stride) {
  using S = Simd<T>;
  using V = typename S::V;
  V acc[Rows][Vectors];
#pragma GCC unroll 24
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) acc[r][v] = S::zero();
  for (std::int64_t p = 0; p < count; ++p) {
    const T* xp = x[p] + column;
    const T* yp = y[p] + row;
    // Opaque, or the compiler keeps an offset for every row (row + r) instead of one address: more than there are
    // registers.
    __asm__("" : "+r"(yp));
    V xv[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v)
      xv[v] = Tail && v + 1 == Vectors ? S::load_n(xp + v * S::width, last) : S::load(xp + v * S::width);
#pragma GCC unroll 24
    for (int r = 0; r < Rows; ++r) {
      const V yv = S::set(yp[r]);
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) acc[r][v] = S::fma(yv, xv[v], acc[r][v]);
    }
  }
  const V one = S::set(T{1});
#pragma GCC unroll 24
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      T* o = out + r * out_stride + v * S::width;
      if (Tail && v + 1 == Vectors)
        S::store_n(o, S::fma(one, S::load_n(o, last), acc[r][v]), last);
      else
        S::store(o, S::fma(one, S::load(o), acc[r][v]));
    }
}

template <class T, int Vectors, bool Tail>
void outer_panel(const T* const* y, const T* const* x, std::int64_t row_begin, std::int64_t row_end,
                 std::int64_t column, std::int64_t count, int last, T* out, std::int64_t out_stride) {
  std::int64_t row = row_begin;
  const auto step = [&]<int Rows>() {
    for (; row + Rows <= row_end; row += Rows)
      outer_tile<T, Rows, Vectors, Tail>(y, x, row, column, count, last, out + (row - row_begin) * out_stride,
                                         out_stride);
  };
  // A narrow tile takes more rows: as many accumulators as the widest, so that the latency of its sums is hidden.
  constexpr int tallest = tile_rows * tile_vectors / Vectors;
  step.template operator()<tallest>();
  if constexpr (tallest > tile_rows) step.template operator()<tile_rows>();
  if constexpr (tile_rows > 4) step.template operator()<4>();
  step.template operator()<2>();
  step.template operator()<1>();
}

// How w_bar is divided: blocks of output channels, times parts of the positions whose partial sums are added in order.
struct WgradGrid {
  std::int64_t rows;  ///< output channels of a task
  std::int64_t row_blocks;
  std::int64_t part;  ///< positions of a part
  std::int64_t parts;
  std::int64_t step;  ///< positions whose rows of x and y_bar stay in cache
};

template <class T>
WgradGrid divide_wgrad(std::int64_t positions, std::int64_t taps, std::int64_t in, std::int64_t out) {
  constexpr std::int64_t tasks = 48;
  constexpr std::int64_t slice_bytes = 256 << 10;
  constexpr std::int64_t block_bytes = 384 << 10;
  constexpr std::int64_t elements = sizeof(T);
  WgradGrid grid{};
  const std::int64_t filter = std::max<std::int64_t>(1, taps * in * elements);
  grid.rows = std::clamp(slice_bytes / filter / tile_rows * tile_rows, std::int64_t{tile_rows},
                         ceil_div(out, tile_rows) * tile_rows);
  grid.row_blocks = ceil_div(out, grid.rows);
  grid.step = std::clamp<std::int64_t>(block_bytes / ((in + grid.rows) * elements), 64, 512);
  const std::int64_t most = ceil_div(positions, std::max<std::int64_t>(256, grid.step));
  const std::int64_t parts = std::clamp<std::int64_t>(tasks / grid.row_blocks, 1, std::max<std::int64_t>(1, most));
  grid.part = std::max<std::int64_t>(1, ceil_div(positions, parts));
  grid.parts = std::max<std::int64_t>(1, ceil_div(positions, grid.part));
  return grid;
}

}  // namespace

template <class T>
void direct_wgrad(CachingAllocator& allocator, const Conv3dParams& params, std::span<const ConvProduct> products,
                  View w_bar, Mode mode) {
  const InputRows<T> rows(allocator, params, products, w_bar.shape);
  const std::int64_t in = rows.length;
  const std::int64_t out = w_bar.shape.o();
  const ConvWalk walk = fprop_walk(rows.params, rows.x_shape, rows.w_shape, products[0].b.shape);
  const auto taps = static_cast<std::int64_t>(walk.taps.size());
  const std::int64_t filter = taps * in;
  const std::int64_t positions = walk.positions();
  const WgradGrid grid = divide_wgrad<T>(positions, taps, in, out);
  const std::int64_t size = out * filter;
  const PanelLayout<T> columns(1, 1, in);

  // One part writes straight to w_bar.
  const Scratch<T> partial(allocator, grid.parts > 1 ? grid.parts * size : 0);
  const Scratch<const T*> tables(allocator, slot_count() * 2 * grid.step);
  parallel_slots(grid.row_blocks * grid.parts, [&](std::int64_t task, std::int64_t slot) {
    const std::int64_t part = task / grid.row_blocks;
    const std::int64_t row_begin = task % grid.row_blocks * grid.rows;
    const std::int64_t row_end = std::min(out, row_begin + grid.rows);
    T* slice = (grid.parts > 1 ? partial.get() + part * size : w_bar.as<T>()) + row_begin * filter;
    if (grid.parts > 1 || mode == Mode::overwrite) std::fill_n(slice, (row_end - row_begin) * filter, T{0});
    const T** x_rows = tables.get() + slot * 2 * grid.step;
    const T** y_rows = x_rows + grid.step;
    const std::int64_t part_end = std::min(positions, (part + 1) * grid.part);
    for (std::size_t s = 0; s < products.size(); ++s) {
      const T* x = rows.x[s];
      const T* y = products[s].b.as<T>();
      for (std::int64_t first = part * grid.part; first < part_end; first += grid.step) {
        const std::int64_t last = std::min(part_end, first + grid.step);
        for (std::int64_t t = 0; t < taps; ++t) {
          std::int64_t count = 0;
          walk.runs(
              walk.taps[static_cast<std::size_t>(t)], first, last,
              [&](std::int64_t begin, std::int64_t end, std::int64_t row, std::int64_t step) {
                const T* xp = x + row * rows.pitch;
                const T* yp = y + walk.grid_row(begin) * out;
                for (std::int64_t i = begin; i < end; ++i, xp += step * rows.pitch, yp += out, ++count) {
                  x_rows[count] = xp;
                  y_rows[count] = yp;
                }
              },
              [](std::int64_t, std::int64_t) {});
          if (count == 0) continue;
          for (const auto& panel : columns.panels()) {
            const auto run = [&]<int Vectors>() {
              T* o = slice + t * in + panel.column;
              if (panel.last < PanelLayout<T>::width)
                outer_panel<T, Vectors, true>(y_rows, x_rows, row_begin, row_end, panel.column, count, panel.last, o,
                                              filter);
              else
                outer_panel<T, Vectors, false>(y_rows, x_rows, row_begin, row_end, panel.column, count, panel.last, o,
                                               filter);
            };
            if (panel.vectors == 1)
              run.template operator()<1>();
            else if (panel.vectors == 2)
              run.template operator()<2>();
            else
              run.template operator()<tile_vectors>();
          }
        }
      }
    }
  });
  if (grid.parts == 1) return;
  T* w = w_bar.as<T>();
  parallel_blocks(size, 4096, [&](std::int64_t begin, std::int64_t end) {
    if (mode == Mode::overwrite)
      std::memcpy(w + begin, partial.get() + begin, static_cast<std::size_t>(end - begin) * sizeof(T));
    for (std::int64_t part = mode == Mode::overwrite ? 1 : 0; part < grid.parts; ++part) {
      const T* p = partial.get() + part * size;
#pragma omp simd
      for (std::int64_t i = begin; i < end; ++i) w[i] += p[i];
    }
  });
}

template void direct_wgrad<float>(CachingAllocator&, const Conv3dParams&, std::span<const ConvProduct>, View, Mode);
template void direct_wgrad<double>(CachingAllocator&, const Conv3dParams&, std::span<const ConvProduct>, View, Mode);

}  // namespace mcn::cpu
