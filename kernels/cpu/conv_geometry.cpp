// Walks of the convolution kernels.
#include "kernels/cpu/conv_geometry.h"

namespace mcn::cpu {
namespace {

template <class F>
void for_each_tap(const Shape& w, F&& f) {
  std::int64_t index = 0;
  for (std::int64_t kd = 0; kd < w.kd(); ++kd)
    for (std::int64_t kh = 0; kh < w.kh(); ++kh)
      for (std::int64_t kw = 0; kw < w.kw(); ++kw) f(std::array{kd, kh, kw}, index++);
}

// A kernel along D alone reads every row of x for each of its taps, frames apart. Cutting the plane into short pieces
// and running through time within a piece lets the later taps find their rows in cache.
void run_through_time(ConvWalk& walk) {
  constexpr std::int64_t longest = 32;
  constexpr std::int64_t shortest = 4;
  if (walk.taps.size() < 2) return;
  for (std::size_t a = 1; a < 3; ++a) {
    if (walk.from_step[a] != 1 || walk.to_step[a] != 1 || walk.from_extent[a] != walk.to_extent[a]) return;
    for (const ConvWalk::Tap& tap : walk.taps)
      if (tap.offset[a] != 0) return;
  }
  const std::int64_t plane = walk.grid[1] * walk.grid[2];
  std::int64_t piece = longest;
  while (piece >= shortest && plane % piece != 0) --piece;
  if (piece < shortest) return;
  for (auto* extent : {&walk.grid, &walk.from_extent, &walk.to_extent}) {
    (*extent)[1] = plane / piece;
    (*extent)[2] = piece;
  }
  walk.time_inside = true;
}

}  // namespace

ConvWalk fprop_walk(const Conv3dParams& params, const Shape& x, const Shape& w, const Shape& y) {
  ConvWalk walk;
  walk.n = y.n();
  walk.grid = walk.to_extent = {y.d(), y.h(), y.w()};
  walk.from_step = params.stride;
  walk.from_extent = {x.d(), x.h(), x.w()};
  walk.to_step = {1, 1, 1};
  for_each_tap(w, [&](const std::array<std::int64_t, 3>& k, std::int64_t index) {
    ConvWalk::Tap tap{{}, index};
    for (std::size_t a = 0; a < 3; ++a) tap.offset[a] = k[a] - params.padding[a];
    walk.taps.push_back(tap);
  });
  run_through_time(walk);
  return walk;
}

std::vector<ConvWalk> dgrad_walks(const Conv3dParams& params, const Shape& x, const Shape& w, const Shape& y) {
  std::vector<ConvWalk> walks;
  const std::array extent{x.d(), x.h(), x.w()};
  const auto& stride = params.stride;
  for (std::int64_t cd = 0; cd < std::min(stride[0], extent[0]); ++cd)
    for (std::int64_t ch = 0; ch < std::min(stride[1], extent[1]); ++ch)
      for (std::int64_t cw = 0; cw < std::min(stride[2], extent[2]); ++cw) {
        const std::array residue{cd, ch, cw};
        ConvWalk walk;
        walk.n = x.n();
        walk.to_extent = extent;
        walk.to_step = stride;
        walk.to_offset = residue;
        walk.from_step = {1, 1, 1};
        walk.from_extent = {y.d(), y.h(), y.w()};
        for (std::size_t a = 0; a < 3; ++a) walk.grid[a] = (extent[a] - residue[a] + stride[a] - 1) / stride[a];
        // x = y stride + tap - padding: of the taps of this class, those for which y is whole.
        for_each_tap(w, [&](const std::array<std::int64_t, 3>& k, std::int64_t index) {
          ConvWalk::Tap tap{{}, index};
          for (std::size_t a = 0; a < 3; ++a) {
            const std::int64_t numerator = residue[a] + params.padding[a] - k[a];
            if (numerator % stride[a] != 0) return;
            tap.offset[a] = numerator / stride[a];
          }
          walk.taps.push_back(tap);
        });
        run_through_time(walk);
        walks.push_back(std::move(walk));
      }
  return walks;
}

}  // namespace mcn::cpu
