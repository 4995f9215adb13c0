// Activations as a matrix of rows x C channels: which thread takes which elements, and sums over the rows.
//
// A block's 256 threads stand as block_rows rows of at most 64 neighbouring channels, a wider C in several tiles:
// reads are contiguous and few threads idle for any C (3, 45, 230, 921). A thread keeps its channel, and so what it
// needs to know of it in registers, and walks down the rows. blockIdx.x is the tile, blockIdx.y the part of the rows.
//
// Sums take a few rows at a time in the tensor's type and all else in double. Their order depends on the shape alone.
#pragma once

#include <algorithm>

#include "kernels/cuda/memory.h"

namespace mcn::MCN_DEVICE_NAMESPACE {

inline constexpr int channel_threads = 256;
/// Elements of a sum that a thread reads together, and adds in the tensor's type.
inline constexpr int sum_batch = 8;

/// How rows x channels are divided.
struct ChannelGrid {
  std::int64_t rows, channels;
  int columns;     ///< channels of a tile
  int block_rows;  ///< rows that a block takes at once
  int parts;       ///< blocks along the rows

  [[nodiscard]] Grid grid(std::size_t shared_bytes = 0) const {
    return {dim3(static_cast<unsigned>(ceil_div(channels, columns)), static_cast<unsigned>(parts)),
            dim3(channel_threads), shared_bytes};
  }
};

/// At least one channel. rows_of_thread: below so many, more blocks are not worth what they cost. The numbers are
/// constants, not the device's, so that results are the same bits on every GPU.
inline ChannelGrid channel_grid(std::int64_t rows, std::int64_t channels, std::int64_t rows_of_thread) {
  constexpr std::int64_t most_columns = 64;
  constexpr std::int64_t enough_blocks = 1056;  // eight for each multiprocessor of an H100
  const std::int64_t tiles = ceil_div(channels, most_columns);
  const std::int64_t columns = ceil_div(channels, tiles);
  const std::int64_t block_rows = channel_threads / columns;
  const std::int64_t parts = std::clamp<std::int64_t>(ceil_div(rows, block_rows * rows_of_thread), 1,
                                                      std::max<std::int64_t>(1, enough_blocks / tiles));
  return {rows, channels, static_cast<int>(columns), static_cast<int>(block_rows), static_cast<int>(parts)};
}

/// The elements of one thread: its channel's, in every row_step-th row from first_row on.
class ChannelWalk {
 public:
  __device__ explicit ChannelWalk(const ChannelGrid& g)
      : channel(std::int64_t{blockIdx.x} * g.columns + static_cast<int>(threadIdx.x) % g.columns),
        block_row(static_cast<int>(threadIdx.x) / g.columns),
        first_row(std::int64_t{blockIdx.y} * g.block_rows + block_row),
        row_step(std::int64_t{gridDim.y} * g.block_rows),
        active(channel < g.channels && block_row < g.block_rows),
        first_(first_row * g.channels + channel),
        stride_(row_step * g.channels),
        end_(active ? g.rows * g.channels : 0) {}

  /// Calls use(elements, loaded) for batches of at most `most` elements: `loaded` is an array of what load(element)
  /// gave for each, elements(j) the j-th one's number. A batch is loaded as a whole before it is used, so that its
  /// reads are under way together although a store may follow.
  template <int most, class Load, class Use>
  __device__ void for_each_batch(Load&& load, Use&& use) const {
    std::int64_t i = first_;
    while (fits<most>(i)) take<most>(i, load, use);
    take_rest<most / 2>(i, load, use);
  }

  const std::int64_t channel;
  const int block_row;
  const std::int64_t first_row, row_step;
  const bool active;  ///< false for a thread that has no channel

 private:
  template <int size>
  __device__ bool fits(std::int64_t i) const {
    return i + (size - 1) * stride_ < end_;
  }

  template <int size, class Load, class Use>
  __device__ void take(std::int64_t& i, Load&& load, Use&& use) const {
    decltype(load(i)) loaded[size];
#pragma unroll
    for (int j = 0; j < size; ++j) loaded[j] = load(i + j * stride_);
    use([i, this](int j) { return i + j * stride_; }, loaded);
    i += size * stride_;
  }

  // Less than a batch is left, and goes by halves.
  template <int size, class Load, class Use>
  __device__ void take_rest(std::int64_t& i, Load&& load, Use&& use) const {
    if constexpr (size > 0) {
      if (fits<size>(i)) take<size>(i, load, use);
      take_rest<size / 2>(i, load, use);
    }
  }

  const std::int64_t first_, stride_, end_;
};

/// Several sums. A default one is empty, here and in every Value below.
template <int n>
struct Sums {
  double of[n] = {};

  __device__ void merge(const Sums& other) {
#pragma unroll
    for (int k = 0; k < n; ++k) of[k] += other.of[k];
  }
};

/// A Value of each thread, in shared memory.
template <class Value>
struct BlockValues {
  Value of[channel_threads];
};

/// Merges the values of threads that stand `columns` apart, `rows` of them, in one fixed order: the result is that of
/// the first `columns` threads. All threads of the block call it; those past columns * rows do not count.
template <class Value>
__device__ Value merge_rows(const Value& mine, int columns, int rows, BlockValues<Value>& scratch) {
  const int thread = static_cast<int>(threadIdx.x);
  const int row = thread / columns;
  scratch.of[thread] = mine;
  __syncthreads();
  for (int half = channel_threads / 2; half > 0; half /= 2) {
    if (half >= rows) continue;
    if (row < half && row + half < rows) scratch.of[thread].merge(scratch.of[thread + half * columns]);
    __syncthreads();
  }
  const Value merged = scratch.of[thread];
  __syncthreads();
  return merged;
}

/// partial[part, channel] = the part's rule.sum(walk), a Rule::Value over a thread's elements, merged over the block.
/// Two blocks to a multiprocessor are the least that it must have room for: left alone, the compiler spills for more.
template <class Rule>
__global__ void __launch_bounds__(channel_threads, 2)
    channel_partials_kernel(ChannelGrid g, Rule rule, typename Rule::Value* partial) {
  const ChannelWalk walk(g);
  typename Rule::Value value;
  if (walk.active) value = rule.sum(walk);
  value = merge_rows(value, g.columns, g.block_rows, shared<BlockValues<typename Rule::Value>>());
  if (walk.active && walk.block_row == 0) partial[blockIdx.y * g.channels + walk.channel] = value;
}

// Few channels to a block, so that there are many blocks, each of them with many threads along the parts.
inline constexpr int finish_columns = 8;
inline constexpr int finish_rows = channel_threads / finish_columns;

/// finish(channel, value) for every channel, once, with what the parts have left, merged in one order.
template <class Finish, class Value>
__global__ void __launch_bounds__(channel_threads)
    channel_finish_kernel(std::int64_t channels, int parts, const Value* partial, Finish finish) {
  const int row = static_cast<int>(threadIdx.x) / finish_columns;
  const std::int64_t channel = std::int64_t{blockIdx.x} * finish_columns + threadIdx.x % finish_columns;
  Value value;
  if (channel < channels)
    for (int part = row; part < parts; part += finish_rows) value.merge(partial[part * channels + channel]);
  value = merge_rows(value, finish_columns, finish_rows, shared<BlockValues<Value>>());
  if (row == 0 && channel < channels) finish(channel, value);
}

/// finish(channel, value) on the device for every channel, with rule.sum over all rows, or an empty value without
/// a read where the sum is not wanted.
template <class Rule, class Finish>
void sum_channels(cudaStream_t stream, const ChannelGrid& g, bool wanted, const Rule& rule, const Finish& finish) {
  using Value = typename Rule::Value;
  const Grid finish_grid{dim3(static_cast<unsigned>(ceil_div(g.channels, finish_columns))), dim3(channel_threads),
                         sizeof(BlockValues<Value>)};
  if (!wanted) {
    const Value* none = nullptr;
    return launch<channel_finish_kernel<Finish, Value>>(stream, finish_grid, g.channels, 0, none, finish);
  }
  const DeviceArray<Value> partial(stream, g.parts * g.channels);
  launch<channel_partials_kernel<Rule>>(stream, g.grid(sizeof(BlockValues<Value>)), g, rule, partial.get());
  const Value* parts = partial.get();
  launch<channel_finish_kernel<Finish, Value>>(stream, finish_grid, g.channels, g.parts, parts, finish);
}

/// For a rule whose value is Sums: a batch's terms in T, batches in double. add(element, sums) adds an element's terms.
template <class T, int n, class Load, class Add>
__device__ Sums<n> sum_terms(const ChannelWalk& walk, Load&& load, Add&& add) {
  Sums<n> total;
  walk.for_each_batch<sum_batch>(load, [&](auto&&, const auto& loaded) {
    T sums[n] = {};
    for (const auto& element : loaded) add(element, sums);
#pragma unroll
    for (int k = 0; k < n; ++k) total.of[k] += static_cast<double>(sums[k]);
  });
  return total;
}

}  // namespace mcn::MCN_DEVICE_NAMESPACE
