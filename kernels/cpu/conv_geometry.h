// Where a convolution's taps read and write: the same description serves fprop and, per residue class of the stride,
// dgrad.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "kernels/conv.h"

namespace mcn::cpu {

/// A walk over a grid of positions (N, D, H, W): position g is written at g * to_step + to_offset, and tap t reads
/// at g * from_step + t.offset, where that lies inside.
struct ConvWalk {
  struct Tap {
    std::array<std::int64_t, 3> offset;
    std::int64_t index;  ///< (kd * KH + kh) * KW + kw in the weight
  };
  std::int64_t n = 0;
  std::array<std::int64_t, 3> grid{};
  std::array<std::int64_t, 3> from_step{}, from_extent{};
  std::array<std::int64_t, 3> to_step{}, to_offset{}, to_extent{};
  std::vector<Tap> taps;
  /// Positions are counted with D inside H rather than H inside D: near in count is then near in time as well.
  bool time_inside = false;

  [[nodiscard]] std::int64_t positions() const { return n * grid[0] * grid[1] * grid[2]; }

  /// Row of the grid, in memory, that a position stands for. Positions of a line are neighbours in memory as well.
  [[nodiscard]] std::int64_t grid_row(std::int64_t position) const {
    if (!time_inside) return position;
    const std::int64_t w = position % grid[2];
    const std::int64_t line = position / grid[2];
    const std::int64_t image = line / grid[0] / grid[1];
    return ((image * grid[0] + line % grid[0]) * grid[1] + line / grid[0] % grid[1]) * grid[2] + w;
  }

  /// Calls f(position, from, step) for runs along W: positions [begin, end) whose sources are from, from + step, ...
  /// and g(begin, end) for runs that fall on padding. Positions in [first, last) only.
  template <class F, class G>
  void runs(const Tap& tap, std::int64_t first, std::int64_t last, F&& inside, G&& padding) const;
};

/// x -> y: the grid is y's, sources are x's rows.
ConvWalk fprop_walk(const Conv3dParams&, const Shape& x, const Shape& w, const Shape& y);
/// y_bar -> x_bar: one walk for every residue class of x's positions modulo the stride; a class may have no taps.
std::vector<ConvWalk> dgrad_walks(const Conv3dParams&, const Shape& x, const Shape& w, const Shape& y);

template <class F, class G>
void ConvWalk::runs(const Tap& tap, std::int64_t first, std::int64_t last, F&& inside, G&& padding) const {
  const std::int64_t width = grid[2];
  std::int64_t line = first / width;
  std::int64_t w = first % width;
  const std::size_t fast = time_inside ? 0 : 1;
  const std::size_t slow = 1 - fast;
  std::array<std::int64_t, 2> dh{};
  dh[fast] = line % grid[fast];
  dh[slow] = line / grid[fast] % grid[slow];
  std::int64_t image = line / grid[0] / grid[1];
  // Columns of a line whose source lies inside: w from_step + offset in [0, extent).
  const std::int64_t step = from_step[2];
  const std::int64_t low = tap.offset[2] < 0 ? (-tap.offset[2] + step - 1) / step : 0;
  const std::int64_t reach = from_extent[2] - 1 - tap.offset[2];
  const std::int64_t high = reach < 0 ? 0 : reach / step + 1;
  for (std::int64_t p = first; p < last;) {
    const std::int64_t end = std::min(width, w + last - p);
    const std::int64_t sd = dh[0] * from_step[0] + tap.offset[0];
    const std::int64_t sh = dh[1] * from_step[1] + tap.offset[1];
    const bool outside = sd < 0 || sd >= from_extent[0] || sh < 0 || sh >= from_extent[1];
    const std::int64_t a = outside ? end : std::clamp(low, w, end);
    const std::int64_t b = outside ? end : std::clamp(high, a, end);
    const std::int64_t origin = p - w;
    if (a > w) padding(origin + w, origin + a);
    if (b > a)
      inside(origin + a, origin + b,
             ((image * from_extent[0] + sd) * from_extent[1] + sh) * from_extent[2] + a * step + tap.offset[2], step);
    if (end > b) padding(origin + b, origin + end);
    p = origin + end;
    w = 0;
    if (++dh[fast] == grid[fast]) {
      dh[fast] = 0;
      if (++dh[slow] == grid[slow]) {
        dh[slow] = 0;
        ++image;
      }
    }
  }
}

}  // namespace mcn::cpu
