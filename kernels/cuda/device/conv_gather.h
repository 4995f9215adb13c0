// What the convolution kernels read: rows of a dense NDHWC tensor under the taps of a kernel, gathered on the fly.
//
// fprop and dgrad are one walk: for each position of a grid, the rows of a source tensor at
// position * step + offset + tap. fprop walks over y and reads x. dgrad under a stride walks over one residue class of
// x's positions modulo the stride at a time: within a class all positions meet the same taps of the kernel, and
// neighbours read neighbouring rows of y_bar, so no product with a zero between the strides is formed.
#pragma once

#include "kernels/cuda/device/tile_operands.h"

namespace mcn::MCN_DEVICE_NAMESPACE {

/// A convolution's extents; arrays are along D, H, W.
struct ConvShape {
  int images;
  int x[3], y[3], kernel[3], stride[3], padding[3];
  int in, out;  ///< channels

  [[nodiscard]] __host__ __device__ int taps() const { return kernel[0] * kernel[1] * kernel[2]; }
  /// Positions of x and of y.
  [[nodiscard]] std::int64_t inputs() const { return std::int64_t{images} * x[0] * x[1] * x[2]; }
  [[nodiscard]] std::int64_t outputs() const { return std::int64_t{images} * y[0] * y[1] * y[2]; }
};

/// A walk over images x grid positions that reads `source` under `taps` taps.
struct Gather {
  int images;
  int grid[3], step[3], offset[3], taps[3], source[3];
  int channels;  ///< of the source

  [[nodiscard]] __host__ __device__ int positions() const { return images * grid[0] * grid[1] * grid[2]; }
  [[nodiscard]] __host__ __device__ int depth() const { return taps[0] * taps[1] * taps[2] * channels; }
};

/// y's positions read x.
inline Gather gather_of_fprop(const ConvShape& s) {
  Gather g{};
  g.images = s.images;
  g.channels = s.in;
  for (int a = 0; a < 3; ++a) {
    g.grid[a] = s.y[a];
    g.step[a] = s.stride[a];
    g.offset[a] = -s.padding[a];
    g.taps[a] = s.kernel[a];
    g.source[a] = s.x[a];
  }
  return g;
}

/// One residue class of x's positions reads y_bar: position g stands for x[g * stride + residue], and tap t for the
/// kernel's tap last_tap - t * stride.
struct DgradClass {
  Gather gather;
  int residue[3], last_tap[3];
};

inline DgradClass dgrad_class(const ConvShape& s, int index) {
  DgradClass c{};
  c.gather.images = s.images;
  c.gather.channels = s.out;
  const int residues[3] = {index / s.stride[2] / s.stride[1], index / s.stride[2] % s.stride[1], index % s.stride[2]};
  for (int a = 0; a < 3; ++a) {
    const int residue = residues[a];
    const int first_tap = (residue + s.padding[a]) % s.stride[a];
    const int taps = first_tap < s.kernel[a] ? (s.kernel[a] - 1 - first_tap) / s.stride[a] + 1 : 0;
    c.residue[a] = residue;
    c.last_tap[a] = first_tap + (taps - 1) * s.stride[a];
    c.gather.grid[a] = residue < s.x[a] ? (s.x[a] - 1 - residue) / s.stride[a] + 1 : 0;
    c.gather.step[a] = 1;
    c.gather.offset[a] = (residue + s.padding[a] - first_tap) / s.stride[a] - (taps - 1);
    c.gather.taps[a] = taps;
    c.gather.source[a] = s.y[a];
  }
  return c;
}

/// A count in mixed radix, the last digit unbounded: a depth as channel and tap, or a position as column, row, frame
/// and image, without a division a step.
struct Odometer {
  int radix[3];
  int digit[4];

  __device__ Odometer(int radix0, int radix1, int radix2, int value) : radix{radix0, radix1, radix2} {
    digit[0] = value % radix0;
    value /= radix0;
    digit[1] = value % radix1;
    value /= radix1;
    digit[2] = value % radix2;
    digit[3] = value / radix2;
  }

  __device__ void advance(int by) {
    digit[0] += by;
    while (digit[0] >= radix[0]) {
      digit[0] -= radix[0];
      if (++digit[1] < radix[1]) continue;
      digit[1] = 0;
      if (++digit[2] < radix[2]) continue;
      digit[2] = 0;
      ++digit[3];
    }
  }
};

/// True if 0 <= index < extent.
__device__ inline bool within(int index, int extent) {
  return static_cast<unsigned>(index) < static_cast<unsigned>(extent);
}

/// Where a position's first tap falls: (d, h, w) may lie on padding. pixel: the row of the source, counted as if the
/// tensor went on there.
struct alignas(16) SourceRow {
  int pixel, d, h, w;
};

__device__ inline SourceRow source_row(const Gather& g, int position) {
  // No tap of a position past the last is inside.
  constexpr int nowhere = -(1 << 30);
  if (position >= g.positions()) return {0, nowhere, nowhere, nowhere};
  const int w = position % g.grid[2] * g.step[2] + g.offset[2];
  position /= g.grid[2];
  const int h = position % g.grid[1] * g.step[1] + g.offset[1];
  position /= g.grid[1];
  const int d = position % g.grid[0] * g.step[0] + g.offset[0];
  const int image = position / g.grid[0];
  return {((image * g.source[0] + d) * g.source[1] + h) * g.source[2] + w, d, h, w};
}

/// What the threads of a block make together before they walk. A barrier must follow.
template <int count>
__device__ void fill_source_rows(const Gather& g, int first_position, SourceRow (&rows)[count]) {
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x))
    rows[i] = source_row(g, first_position + i);
}

/// Loader of A for fprop and dgrad: a row of A is a position, its depth tap x channels.
template <class Tile, int width>
class GatheredRows : public AlongDepth<Tile, Tile::rows, width> {
  using Lanes = AlongDepth<Tile, Tile::rows, width>;
  using Value = typename Tile::Value;

 public:
  __device__ GatheredRows(const Gather& g, const SourceRow* rows, const Value* source, int k)
      : gather_(g), rows_(rows), source_(source), at_(g.channels, g.taps[2], g.taps[1], k + Lanes::depth()) {}

  template <class F>
  __device__ void visit(F&& f) {
    const auto [channel, w, h, d] = at_.digit;
    const int pixel = (d * gather_.source[1] + h) * gather_.source[2] + w;
#pragma unroll
    for (int pass = 0; pass < Lanes::passes; ++pass) {
      const SourceRow row = rows_[Lanes::row(pass)];
      const bool inside = d < gather_.taps[0] && within(row.d + d, gather_.source[0]) &&
                          within(row.h + h, gather_.source[1]) && within(row.w + w, gather_.source[2]);
      f(pass, source_ + std::int64_t{row.pixel + pixel} * gather_.channels + channel, inside);
    }
    at_.advance(Tile::depth);
  }

 private:
  const Gather& gather_;
  const SourceRow* rows_;
  const Value* source_;
  Odometer at_;
};

/// Loader of B for dgrad: w[o, tap, i] as a matrix of (tap of the class, o) x i.
template <class Tile, int width>
class ClassWeights : public AlongRows<Tile, Tile::columns, width> {
  using Lanes = AlongRows<Tile, Tile::columns, width>;
  using Value = typename Tile::Value;

 public:
  __device__ ClassWeights(const ConvShape& s, const DgradClass& c, const Value* w, int first_channel, int k)
      : shape_(s),
        class_(c),
        w_(w + first_channel + Lanes::row()),
        channel_inside_(first_channel + Lanes::row() < s.in),
        at_(s.out, c.gather.taps[2], c.gather.taps[1], k + Lanes::depth(0)) {}

  template <class F>
  __device__ void visit(F&& f) {
#pragma unroll
    for (int pass = 0; pass < Lanes::passes; ++pass) {
      const auto [out, w, h, d] = at_.digit;
      const int kd = class_.last_tap[0] - d * shape_.stride[0];
      const int kh = class_.last_tap[1] - h * shape_.stride[1];
      const int kw = class_.last_tap[2] - w * shape_.stride[2];
      const int tap = ((out * shape_.kernel[0] + kd) * shape_.kernel[1] + kh) * shape_.kernel[2] + kw;
      const bool inside = channel_inside_ && d < class_.gather.taps[0];
      f(pass, w_ + std::int64_t{tap} * shape_.in, inside);
      at_.advance(Lanes::spacing);
    }
  }

 private:
  const ConvShape& shape_;
  const DgradClass& class_;
  const Value* w_;
  bool channel_inside_;
  Odometer at_;
};

/// Loader of B for wgrad: x under the taps as a matrix of positions x (tap, channel).
template <class Tile, int width>
class GatheredColumns : public AlongRows<Tile, Tile::columns, width> {
  using Lanes = AlongRows<Tile, Tile::columns, width>;
  using Value = typename Tile::Value;

 public:
  __device__ GatheredColumns(const Gather& g, const Value* source, int first_column, int k)
      : gather_(g), at_(g.grid[2], g.grid[1], g.grid[0], k + Lanes::depth(0)) {
    const Odometer column(g.channels, g.taps[2], g.taps[1], first_column + Lanes::row());
    const auto [channel, w, h, d] = column.digit;
    source_ = source + channel;
    column_inside_ = d < g.taps[0];
    d_ = g.offset[0] + d;
    h_ = g.offset[1] + h;
    w_ = g.offset[2] + w;
  }

  template <class F>
  __device__ void visit(F&& f) {
#pragma unroll
    for (int pass = 0; pass < Lanes::passes; ++pass) {
      const int w = at_.digit[0] * gather_.step[2] + w_;
      const int h = at_.digit[1] * gather_.step[1] + h_;
      const int d = at_.digit[2] * gather_.step[0] + d_;
      const int image = at_.digit[3];
      const bool inside = column_inside_ && image < gather_.images && within(d, gather_.source[0]) &&
                          within(h, gather_.source[1]) && within(w, gather_.source[2]);
      const int pixel = ((image * gather_.source[0] + d) * gather_.source[1] + h) * gather_.source[2] + w;
      f(pass, source_ + std::int64_t{pixel} * gather_.channels, inside);
      at_.advance(Lanes::spacing);
    }
  }

 private:
  const Gather& gather_;
  const Value* source_;
  int d_, h_, w_;  ///< the thread's tap, with the offset
  bool column_inside_;
  Odometer at_;
};

}  // namespace mcn::MCN_DEVICE_NAMESPACE
