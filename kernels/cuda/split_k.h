// Products whose result has too few tiles to fill a GPU divide the depth: each block sums a range of it into a partial
// result of its own, and a second kernel adds those up, in one order.
#pragma once

#include <algorithm>

#include "kernels/cuda/device/tile_operands.h"
#include "kernels/cuda/memory.h"

namespace mcn::MCN_DEVICE_NAMESPACE {

/// How the steps of a depth are divided.
struct Split {
  int parts, steps_of_part;
};

/// tiles: blocks that there are without a division; the depth is that of `products` products. The numbers are
/// constants, not the device's, so that results are the same bits on every GPU.
template <class Tile>
Split split_depth(std::int64_t tiles, int products, std::int64_t depth) {
  constexpr std::int64_t enough_blocks = 264;     // two for each multiprocessor of an H100
  constexpr std::int64_t least_depth = 256;       // below, writing and adding the parts costs more than it wins
  constexpr std::int64_t most_depth = 32 * 1024;  // above, a float32 sum loses too many bits
  const std::int64_t steps = std::max<std::int64_t>(1, products * ceil_div(depth, Tile::depth));
  const std::int64_t to_fill =
      std::min(enough_blocks / std::max<std::int64_t>(1, tiles), steps * Tile::depth / least_depth);
  const std::int64_t parts = std::max({std::int64_t{1}, to_fill, ceil_div(steps * Tile::depth, most_depth)});
  const std::int64_t steps_of_part = ceil_div(steps, parts);
  return {static_cast<int>(ceil_div(steps, steps_of_part)), static_cast<int>(steps_of_part)};
}

/// The steps of the block's part.
__device__ inline StepRange steps_of_block(const Split& split) {
  return {static_cast<int>(blockIdx.y) * split.steps_of_part, split.steps_of_part};
}

/// A block for each tile and part.
template <class Tile>
Grid tile_grid(std::int64_t tiles, const Split& split, std::size_t shared_bytes) {
  return {dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(split.parts)), dim3(Tile::threads), shared_bytes};
}

/// Where a block writes: part p at data + p * part_size.
template <class T>
struct Output {
  T* data;
  std::int64_t part_size;
  bool accumulate;

  __device__ T* part() const { return data + blockIdx.y * part_size; }
};

/// y (+)= the sum of the parts, in their order.
template <class T>
__global__ void add_parts_kernel(std::int64_t n, int parts, const T* partial, T* y, bool accumulate) {
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += step) {
    double sum = accumulate ? y[i] : T{0};
    for (int p = 0; p < parts; ++p) sum += partial[p * n + i];
    y[i] = static_cast<T>(sum);
  }
}

/// Runs multiply(Output) so that y (+)= what its blocks write, one part for each blockIdx.y.
template <class T, class Multiply>
void with_parts(cudaStream_t stream, const Split& split, T* y, std::int64_t n, bool accumulate, Multiply&& multiply) {
  if (split.parts == 1) return multiply(Output<T>{y, 0, accumulate});
  const DeviceArray<T> partial(stream, split.parts * n);
  multiply(Output<T>{partial.get(), n, false});
  constexpr unsigned threads = 256;
  const auto blocks = static_cast<unsigned>(std::min<std::int64_t>(1024, ceil_div(n, threads)));
  launch<add_parts_kernel<T>>(stream, {dim3(blocks), dim3(threads)}, n, split.parts, partial.get(), y, accumulate);
}

}  // namespace mcn::MCN_DEVICE_NAMESPACE
