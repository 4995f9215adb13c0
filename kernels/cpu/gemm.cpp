// Packing, the register tile, and the loop over cache blocks.
#include "kernels/cpu/gemm.h"

#include <algorithm>
#include <cstring>

namespace mcn::cpu {
namespace {

// A block of B that one panel streams through: reduction_block rows of tile_vectors vectors, about an L1 cache and
// a half; a row tile then reads it from L2 at a third of what L2 gives.
constexpr std::int64_t reduction_block = 384;

// The rounding error of a sum grows with its longest chain of additions. So chains are short and their sums are added
// up: half the error of a model's activations for a fifteenth more time.
constexpr std::int64_t longest_chain = 16;

template <class T, int Vectors>
__attribute__((noinline)) void multiply_tile(const T* const* rows, std::int64_t row_stride, std::int64_t taps,
                                             std::int64_t begin, std::int64_t length, const T* __restrict b,
                                             T* const* c, std::int64_t column, int valid_rows, int last,
                                             bool accumulate) {
  using S = Simd<T>;
  using V = typename S::V;
  V acc[tile_rows][Vectors];
#pragma GCC unroll 8
  for (int r = 0; r < tile_rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) acc[r][v] = S::zero();
  alignas(64) T sums[tile_rows][Vectors * S::width] = {};
  const auto end_chain = [&] {
#pragma GCC unroll 8
    for (int r = 0; r < tile_rows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) {
        T* sum = sums[r] + v * S::width;
        S::store(sum, S::load(sum) + acc[r][v]);
        acc[r][v] = S::zero();
      }
  };
  std::int64_t chain = 0;
  for (std::int64_t tap = 0; tap < taps; ++tap) {
    const T* a[tile_rows];
#pragma GCC unroll 8
    for (int r = 0; r < tile_rows; ++r) a[r] = rows[tap * row_stride + r] + begin;
    for (std::int64_t k = 0; k < length;) {
      const std::int64_t end = std::min(length, k + longest_chain - chain);
      chain += end - k;
#pragma GCC unroll 4
      for (; k < end; ++k) {
        V bv[Vectors];
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) bv[v] = S::load(b + v * S::width);
        b += Vectors * S::width;
#pragma GCC unroll 8
        for (int r = 0; r < tile_rows; ++r) {
          const V av = S::set(a[r][k]);
#pragma GCC unroll 4
          for (int v = 0; v < Vectors; ++v) acc[r][v] = S::fma(av, bv[v], acc[r][v]);
        }
      }
      if (chain == longest_chain) {
        end_chain();
        chain = 0;
      }
    }
  }
  end_chain();
#pragma GCC unroll 8
  for (int r = 0; r < tile_rows; ++r) {
    if (r >= valid_rows) continue;
    T* out = c[r] + column;
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      T* p = out + v * S::width;
      if (v + 1 == Vectors && last < S::width) {
        V value = S::load(sums[r] + v * S::width);
        if (accumulate) value = S::fma(S::set(T{1}), S::load_n(p, last), value);
        S::store_n(p, value, last);
      } else {
        V value = S::load(sums[r] + v * S::width);
        if (accumulate) value = S::fma(S::set(T{1}), S::load(p), value);
        S::store(p, value);
      }
    }
  }
}

}  // namespace

template <class T>
PanelLayout<T>::PanelLayout(std::int64_t taps, std::int64_t length, std::int64_t columns)
    : taps_(taps), length_(length), columns_(columns) {
  // Equal panels: four vectors as 2 + 2, not 3 + 1, whose narrow tile is bound by its loads.
  const std::int64_t vectors = ceil_div(columns, width);
  const std::int64_t count = ceil_div(vectors, tile_vectors);
  std::int64_t done = 0;
  for (std::int64_t p = 0; p < count; ++p) {
    const std::int64_t mine = vectors / count + (p < vectors % count ? 1 : 0);
    const std::int64_t first = done * width;
    const std::int64_t left = columns - first;
    const int last = static_cast<int>(std::min<std::int64_t>(left - (mine - 1) * width, width));
    panels_.push_back({first, first, static_cast<int>(mine), last});
    done += mine;
  }
  padded_columns_ = vectors * width;

  std::int64_t row = 0;
  if (length >= reduction_block / 2) {
    const std::int64_t parts = ceil_div(length, reduction_block);
    for (std::int64_t tap = 0; tap < taps; ++tap)
      for (std::int64_t part = 0; part < parts; ++part) {
        const std::int64_t begin = length * part / parts;
        const std::int64_t end = length * (part + 1) / parts;
        blocks_.push_back({tap, 1, begin, end - begin, row});
        row += end - begin;
      }
  } else if (length > 0) {
    const std::int64_t parts = ceil_div(taps * length, reduction_block);
    for (std::int64_t part = 0; part < parts; ++part) {
      const std::int64_t begin = taps * part / parts;
      const std::int64_t end = taps * (part + 1) / parts;
      if (end > begin) blocks_.push_back({begin, end - begin, 0, length, row});
      row += (end - begin) * length;
    }
  }
}

template <class T>
void PanelLayout<T>::pack(const T* source, const std::int64_t* tap_offsets, std::int64_t row_stride,
                          std::int64_t column_stride, T* packed) const {
  const auto panel_count = static_cast<std::int64_t>(panels_.size());
  const auto pack_one = [&](std::int64_t index) {
    const Block& block = blocks_[static_cast<std::size_t>(index / panel_count)];
    const Panel& panel = panels_[static_cast<std::size_t>(index % panel_count)];
    const std::int64_t stride = panel.vectors * width;
    const std::int64_t valid = stride - width + panel.last;
    T* out = packed + offset(block, panel);
    for (std::int64_t tap = block.tap; tap < block.tap + block.taps; ++tap, out += block.length * stride) {
      const T* in = source + tap_offsets[tap] + block.begin * row_stride + panel.column * column_stride;
      if (column_stride == 1) {
        for (std::int64_t k = 0; k < block.length; ++k) {
          std::memcpy(out + k * stride, in + k * row_stride, static_cast<std::size_t>(valid) * sizeof(T));
          std::fill(out + k * stride + valid, out + (k + 1) * stride, T{0});
        }
        continue;
      }
      // A transposition: in strips whose destination stays in the first-level cache.
      constexpr std::int64_t strip = 64;
      for (std::int64_t k0 = 0; k0 < block.length; k0 += strip) {
        const std::int64_t k1 = std::min(block.length, k0 + strip);
        for (std::int64_t n = 0; n < valid; ++n)
          for (std::int64_t k = k0; k < k1; ++k) out[k * stride + n] = in[n * column_stride + k * row_stride];
        for (std::int64_t k = k0; k < k1; ++k) std::fill(out + k * stride + valid, out + (k + 1) * stride, T{0});
      }
    }
  };
  const std::int64_t pieces = static_cast<std::int64_t>(blocks_.size()) * panel_count;
  if (packed_size() < elementwise_grain) {
    for (std::int64_t i = 0; i < pieces; ++i) pack_one(i);
  } else {
    parallel_tasks(pieces, pack_one);
  }
}

template <class T>
void multiply_block(const PanelLayout<T>& layout, const T* packed, const T* const* rows, std::int64_t row_stride,
                    T* const* c, std::int64_t count, std::int64_t panel_begin, std::int64_t panel_end,
                    bool accumulate) {
  for (const auto& block : layout.blocks()) {
    for (std::int64_t p = panel_begin; p < panel_end; ++p) {
      const auto& panel = layout.panels()[static_cast<std::size_t>(p)];
      const T* b = packed + layout.offset(block, panel);
      for (std::int64_t m = 0; m < count; m += tile_rows) {
        const auto valid = static_cast<int>(std::min<std::int64_t>(tile_rows, count - m));
        const auto tile = [&]<int Vectors>() {
          multiply_tile<T, Vectors>(rows + block.tap * row_stride + m, row_stride, block.taps, block.begin,
                                    block.length, b, c + m, panel.column, valid, panel.last, accumulate);
        };
        if (panel.vectors == 1)
          tile.template operator()<1>();
        else if (panel.vectors == 2)
          tile.template operator()<2>();
        else
          tile.template operator()<tile_vectors>();
      }
    }
    accumulate = true;
  }
}

TaskGrid divide(std::int64_t rows, std::int64_t reduction, std::int64_t columns, std::int64_t panels) {
  constexpr std::int64_t wanted_tasks = 64;
  constexpr double smallest_task = 2e6;  // multiply-adds: some 15 microseconds
  constexpr std::int64_t largest_rows = 240;
  const double work = static_cast<double>(rows) * static_cast<double>(reduction) * static_cast<double>(columns);
  const auto tasks =
      static_cast<std::int64_t>(std::clamp(work / smallest_task, 1.0, static_cast<double>(wanted_tasks)));
  TaskGrid grid{};
  // Few rows and a large B: by columns first, so that a task does not stream all of B for a handful of rows.
  const std::int64_t fewest_rows = 96;
  std::int64_t row_blocks = std::max(ceil_div(rows, largest_rows), std::min(tasks, rows / fewest_rows));
  row_blocks = std::max<std::int64_t>(row_blocks, 1);
  grid.row_block = ceil_div(ceil_div(rows, row_blocks), tile_rows) * tile_rows;
  grid.row_blocks = ceil_div(rows, grid.row_block);
  const std::int64_t panel_blocks = std::clamp<std::int64_t>(tasks / std::max<std::int64_t>(1, grid.row_blocks), 1,
                                                             std::max<std::int64_t>(1, panels));
  grid.panel_block = std::max<std::int64_t>(1, ceil_div(panels, panel_blocks));
  grid.panel_blocks = ceil_div(panels, grid.panel_block);
  return grid;
}

template class PanelLayout<float>;
template class PanelLayout<double>;
template void multiply_block(const PanelLayout<float>&, const float*, const float* const*, std::int64_t, float* const*,
                             std::int64_t, std::int64_t, std::int64_t, bool);
template void multiply_block(const PanelLayout<double>&, const double*, const double* const*, std::int64_t,
                             double* const*, std::int64_t, std::int64_t, std::int64_t, bool);

}  // namespace mcn::cpu
