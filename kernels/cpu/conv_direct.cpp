// fprop and dgrad as indirect matrix products: rows of A are pointers into the activation, one a tap and position, so
// patches are never copied; padding points to a row of zeros.
#include "kernels/cpu/conv_direct.h"

#include "kernels/cpu/conv_fold.h"
#include "kernels/cpu/conv_geometry.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/scratch.h"

namespace mcn::cpu {
namespace {

// Zeroes what a walk writes: a class of positions that no tap reaches.
template <class T>
void clear(const ConvWalk& walk, std::int64_t channels, T* to) {
  const std::int64_t width = walk.grid[2];
  parallel_blocks(walk.positions() / width, row_grain(width * channels), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t line = begin; line < end; ++line) {
      const std::int64_t h = line % walk.grid[1] * walk.to_step[1] + walk.to_offset[1];
      const std::int64_t d = line / walk.grid[1] % walk.grid[0] * walk.to_step[0] + walk.to_offset[0];
      const std::int64_t image = line / walk.grid[1] / walk.grid[0];
      T* out = to + ((image * walk.to_extent[0] + d) * walk.to_extent[1] + h) * walk.to_extent[2] * channels;
      for (std::int64_t w = 0; w < width; ++w)
        std::fill_n(out + (w * walk.to_step[2] + walk.to_offset[2]) * channels, channels, T{0});
    }
  });
}

// The addresses that positions [first, last) are written to.
template <class T>
void target_rows(const ConvWalk& walk, std::int64_t channels, std::int64_t first, std::int64_t last, T* to, T** out) {
  ConvWalk targets = walk;
  targets.from_step = walk.to_step;
  targets.from_extent = walk.to_extent;
  const ConvWalk::Tap tap{walk.to_offset, 0};
  targets.runs(
      tap, first, last,
      [&](std::int64_t begin, std::int64_t end, std::int64_t row, std::int64_t step) {
        T* p = to + row * channels;
        for (std::int64_t i = begin; i < end; ++i, p += step * channels) out[i - first] = p;
      },
      [](std::int64_t, std::int64_t) {});
}

template <class T>
struct Source {
  const T* from;
  const T* weight;
};

// to (+)= sum over sources of the product of gathered rows, `length` elements each and `pitch` apart, with the taps'
// matrices.
template <class T>
void gather_multiply(CachingAllocator& allocator, const ConvWalk& walk, std::span<const Source<T>> sources,
                     std::int64_t pitch, std::int64_t length, std::int64_t columns,
                     std::span<const std::int64_t> tap_offsets, std::int64_t row_stride, std::int64_t column_stride,
                     T* to, bool accumulate) {
  const std::int64_t positions = walk.positions();
  if (positions == 0) return;
  const auto taps = static_cast<std::int64_t>(walk.taps.size());
  if (taps == 0) {
    if (!accumulate) clear(walk, columns, to);
    return;
  }
  const PanelLayout<T> layout(taps, length, columns);
  const auto panels = static_cast<std::int64_t>(layout.panels().size());
  const auto source_count = static_cast<std::int64_t>(sources.size());
  const Scratch<T> packed(allocator, layout.packed_size() * source_count);
  for (std::int64_t s = 0; s < source_count; ++s)
    layout.pack(sources[static_cast<std::size_t>(s)].weight, tap_offsets.data(), row_stride, column_stride,
                packed.get() + s * layout.packed_size());

  const Scratch<T> zeros(allocator, length);
  std::fill_n(zeros.get(), length, T{0});
  const TaskGrid grid = divide(positions, taps * length * source_count, columns, panels);
  const std::int64_t block = grid.row_block;
  const Scratch<const T*> row_tables(allocator, slot_count() * taps * block);
  const Scratch<T*> target_tables(allocator, slot_count() * block);
  parallel_slots(grid.tasks(), [&](std::int64_t task, std::int64_t slot) {
    const std::int64_t first = task / grid.panel_blocks * block;
    const std::int64_t last = std::min(positions, first + block);
    const std::int64_t panel_begin = task % grid.panel_blocks * grid.panel_block;
    const std::int64_t panel_end = std::min(panels, panel_begin + grid.panel_block);
    T** targets = target_tables.get() + slot * block;
    target_rows(walk, columns, first, last, to, targets);
    const T** rows = row_tables.get() + slot * taps * block;
    for (std::int64_t s = 0; s < source_count; ++s) {
      const T* from = sources[static_cast<std::size_t>(s)].from;
      for (std::int64_t t = 0; t < taps; ++t) {
        const T** out = rows + t * block;
        walk.runs(
            walk.taps[static_cast<std::size_t>(t)], first, last,
            [&](std::int64_t begin, std::int64_t end, std::int64_t row, std::int64_t step) {
              const T* p = from + row * pitch;
              for (std::int64_t i = begin; i < end; ++i, p += step * pitch) out[i - first] = p;
            },
            [&](std::int64_t begin, std::int64_t end) {
              std::fill(out + begin - first, out + end - first, zeros.get());
            });
        std::fill(out + last - first, out + block, zeros.get());
      }
      multiply_block(layout, packed.get() + s * layout.packed_size(), rows, block, targets, last - first, panel_begin,
                     panel_end, accumulate || s > 0);
    }
  });
}

std::vector<std::int64_t> offsets_of(const ConvWalk& walk, std::int64_t input_channels) {
  std::vector<std::int64_t> offsets;
  for (const ConvWalk::Tap& tap : walk.taps) offsets.push_back(tap.index * input_channels);
  return offsets;
}

}  // namespace

template <class T>
void direct_fprop(CachingAllocator& allocator, const Conv3dParams& params, std::span<const ConvProduct> products,
                  View y, Mode mode) {
  const InputRows<T> in(allocator, params, products, products[0].b.shape);
  const Shape& w = in.w_shape;
  const ConvWalk walk = fprop_walk(in.params, in.x_shape, w, y.shape);
  std::vector<Source<T>> sources;
  for (std::size_t i = 0; i < products.size(); ++i) sources.push_back({in.x[i], products[i].b.as<T>()});
  const std::int64_t filter = w.kd() * w.kh() * w.kw() * w.i();
  gather_multiply<T>(allocator, walk, sources, in.pitch, in.length, w.o(), offsets_of(walk, w.i()), 1, filter,
                     y.as<T>(), mode == Mode::accumulate);
}

template <class T>
void direct_dgrad(CachingAllocator& allocator, const Conv3dParams& params, std::span<const ConvProduct> products,
                  View x_bar, Mode mode) {
  const Shape& y = products[0].a.shape;
  const Shape& w = products[0].b.shape;
  std::vector<Source<T>> sources;
  for (const ConvProduct& product : products) sources.push_back({product.a.as<T>(), product.b.as<T>()});
  const std::int64_t filter = w.kd() * w.kh() * w.kw() * w.i();
  for (const ConvWalk& walk : dgrad_walks(params, x_bar.shape, w, y))
    gather_multiply<T>(allocator, walk, sources, w.o(), w.o(), w.i(), offsets_of(walk, w.i()), filter, 1, x_bar.as<T>(),
                       mode == Mode::accumulate);
}

template void direct_fprop<float>(CachingAllocator&, const Conv3dParams&, std::span<const ConvProduct>, View, Mode);
template void direct_fprop<double>(CachingAllocator&, const Conv3dParams&, std::span<const ConvProduct>, View, Mode);
template void direct_dgrad<float>(CachingAllocator&, const Conv3dParams&, std::span<const ConvProduct>, View, Mode);
template void direct_dgrad<double>(CachingAllocator&, const Conv3dParams&, std::span<const ConvProduct>, View, Mode);

}  // namespace mcn::cpu
