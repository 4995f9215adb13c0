// Max and average pooling over D, H, W of NDHWC. A thread keeps its channel and walks down the positions
// (device/channel_sums.h), so that a warp reads neighbouring channels. Adjoints gather: a position of x looks for the
// outputs whose window covers it. So nothing is added by two threads, and sums have one order.
#include <limits>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/device/channel_sums.h"

namespace mcn::MCN_DEVICE_NAMESPACE {
namespace {

// Positions of a tensor: images, and extents along D, H, W. Counted in 32 bits, because a division takes so much longer
// in 64.
struct Positions {
  int images;
  int extent[3];

  [[nodiscard]] __host__ __device__ int of_image() const { return extent[0] * extent[1] * extent[2]; }
};

Positions positions_of(const Shape& s) {
  if (s.rows() > std::numeric_limits<int>::max())
    fail("pool", "expected at most {} positions, got {}", std::numeric_limits<int>::max(), s.str());
  return {static_cast<int>(s.n()), {static_cast<int>(s.d()), static_cast<int>(s.h()), static_cast<int>(s.w())}};
}

// An image and a position in it.
struct Place {
  int image;
  int at[3];
};

__device__ Place place_of(const Positions& p, int row) {
  const int w = row % p.extent[2];
  row /= p.extent[2];
  const int h = row % p.extent[1];
  row /= p.extent[1];
  return {row / p.extent[0], {row % p.extent[0], h, w}};
}

__device__ int lesser(int a, int b) { return a < b ? a : b; }
__device__ int greater(int a, int b) { return a < b ? b : a; }

struct Range {
  int begin, end;
};

struct Box {
  Range along[3];

  // Calls f(row) for the rows of an image's box in their order.
  template <class F>
  __device__ void for_each(const Positions& p, int image, F&& f) const {
    for (int d = along[0].begin; d < along[0].end; ++d)
      for (int h = along[1].begin; h < along[1].end; ++h) {
        const int line = ((image * p.extent[0] + d) * p.extent[1] + h) * p.extent[2];
#pragma unroll 4
        for (int w = along[2].begin; w < along[2].end; ++w) f(line + w);
      }
  }
};

struct Pool {
  Positions x, y;
  int kernel[3], stride[3], padding[3];

  [[nodiscard]] __host__ __device__ int window_size() const { return kernel[0] * kernel[1] * kernel[2]; }

  // Places of x inside the window of an output.
  [[nodiscard]] __device__ Box window(const int (&output)[3]) const {
    Box box;
#pragma unroll
    for (int a = 0; a < 3; ++a) {
      const int begin = output[a] * stride[a] - padding[a];
      box.along[a] = {greater(0, begin), lesser(x.extent[a], begin + kernel[a])};
    }
    return box;
  }

  // Outputs whose window holds a place of x.
  [[nodiscard]] __device__ Box windows_over(const int (&input)[3]) const {
    Box box;
#pragma unroll
    for (int a = 0; a < 3; ++a) {
      const int place = input[a] + padding[a];
      const int first = place - kernel[a] + 1;
      box.along[a] = {first <= 0 ? 0 : (first + stride[a] - 1) / stride[a], lesser(y.extent[a], place / stride[a] + 1)};
    }
    return box;
  }
};

Pool pool_of(const PoolParams& params, const Shape& x, const Shape& y) {
  Pool pool{positions_of(x), positions_of(y), {}, {}, {}};
  for (std::size_t a = 0; a < 3; ++a) {
    pool.kernel[a] = static_cast<int>(params.kernel[a]);
    pool.stride[a] = static_cast<int>(params.stride[a]);
    pool.padding[a] = static_cast<int>(params.padding[a]);
  }
  return pool;
}

// A thread to a position and channel, until the GPU is full.
ChannelGrid pool_grid(const Shape& s) { return channel_grid(s.rows(), s.c(), 1); }

// Calls f(row) for the thread's rows.
template <class F>
__device__ void for_each_row(const ChannelGrid& g, const ChannelWalk& walk, F&& f) {
  if (!walk.active) return;
  for (std::int64_t row = walk.first_row; row < g.rows; row += walk.row_step) f(static_cast<int>(row));
}

template <class T>
__global__ void __launch_bounds__(channel_threads)
    max_pool_kernel(ChannelGrid g, Pool pool, const T* x, T* y, std::int32_t* index) {
  const ChannelWalk walk(g);
  for_each_row(g, walk, [&](int row) {
    const Place place = place_of(pool.y, row);
    const int image_begin = place.image * pool.x.of_image();
    T best = 0;
    int where = -1;
    pool.window(place.at).for_each(pool.x, place.image, [&](int input) {
      const T value = x[input * g.channels + walk.channel];
      // The first NaN stays: nothing is greater than it, and it is not replaced by another.
      if (where < 0 || value > best || (value != value && best == best)) {
        best = value;
        where = input - image_begin;
      }
    });
    y[row * g.channels + walk.channel] = best;
    index[row * g.channels + walk.channel] = where;
  });
}

template <class T>
__global__ void __launch_bounds__(channel_threads)
    max_pool_gather_kernel(ChannelGrid g, int x_positions, int y_positions, const T* x_dot, const std::int32_t* index,
                           T* y_dot) {
  const ChannelWalk walk(g);
  for_each_row(g, walk, [&](int row) {
    const std::int64_t output = row * g.channels + walk.channel;
    y_dot[output] = x_dot[(row / y_positions * x_positions + index[output]) * g.channels + walk.channel];
  });
}

// The scatter does not know the windows, but index shows what it must of them. For each coordinate of an output along
// an axis, the coordinates of x that any such output names; turned round, for each coordinate of x a range of outputs
// that holds all that may name it. For the index of a max pooling that is the windows over it, or less; for any other,
// more outputs than need be are looked at.

// First and last of some coordinates; of none at first.
struct Reach {
  int first = std::numeric_limits<int>::max(), last = -1;

  __device__ void merge(const Reach& other) {
    first = lesser(first, other.first);
    last = greater(last, other.last);
  }
};

// Coordinates of all axes in one row: axis and coordinate of the i-th.
struct Coordinate {
  int axis, at;
};

__device__ Coordinate coordinate(const Positions& p, int i) {
  if (i < p.extent[0]) return {0, i};
  i -= p.extent[0];
  if (i < p.extent[1]) return {1, i};
  return {2, i - p.extent[1]};
}

int coordinates(const Positions& p) { return p.extent[0] + p.extent[1] + p.extent[2]; }

// reach[i] = the coordinates of x that index names where y's i-th coordinate is what it is; a block to each.
__global__ void __launch_bounds__(channel_threads)
    max_pool_reach_kernel(Positions x, Positions y, std::int64_t channels, const std::int32_t* index, Reach* reach) {
  const Coordinate c = coordinate(y, static_cast<int>(blockIdx.x));
  // index is outer x extent x inner for the axis; below: positions of x from one coordinate to the next.
  std::int64_t outer = y.images, inner = channels;
  int extent = 1, x_extent = 1, below = 1;
#pragma unroll
  for (int axis = 0; axis < 3; ++axis) {
    if (axis < c.axis) {
      outer *= y.extent[axis];
    } else if (axis > c.axis) {
      inner *= y.extent[axis];
      below *= x.extent[axis];
    } else {
      extent = y.extent[axis];
      x_extent = x.extent[axis];
    }
  }
  // A division a thread, not one an element.
  const std::int64_t outer_step = channel_threads / inner;
  const std::int64_t inner_step = channel_threads % inner;
  std::int64_t o = threadIdx.x / inner;
  std::int64_t i = threadIdx.x % inner;
  Reach mine;
#pragma unroll 8
  for (std::int64_t done = threadIdx.x; done < outer * inner; done += channel_threads) {
    const int at = index[(o * extent + c.at) * inner + i] / below % x_extent;
    mine.merge({at, at});
    const bool carry = i + inner_step >= inner;
    i += carry ? inner_step - inner : inner_step;
    o += carry ? outer_step + 1 : outer_step;
  }
  mine = merge_rows(mine, 1, channel_threads, shared<BlockValues<Reach>>());
  if (threadIdx.x == 0) reach[blockIdx.x] = mine;
}

// named_by[i] = first and last coordinate of y whose reach holds x's i-th coordinate.
__global__ void __launch_bounds__(channel_threads)
    max_pool_named_by_kernel(Positions x, Positions y, int count, const Reach* reach, Reach* named_by) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= count) return;
  const Coordinate c = coordinate(x, i);
  const int begin = c.axis == 0 ? 0 : c.axis == 1 ? y.extent[0] : y.extent[0] + y.extent[1];
  const int extent = c.axis == 0 ? y.extent[0] : c.axis == 1 ? y.extent[1] : y.extent[2];
  Reach mine;
#pragma unroll 4
  for (int at = 0; at < extent; ++at) {
    const Reach r = reach[begin + at];
    if (r.first <= c.at && c.at <= r.last) mine.merge({at, at});
  }
  named_by[i] = mine;
}

// Six blocks to a multiprocessor: for the eight that it would choose, the compiler spills.
template <class T>
__global__ void __launch_bounds__(channel_threads, 6)
    max_pool_scatter_kernel(ChannelGrid g, Positions x, Positions y, const Reach* named_by, const T* y_bar,
                            const std::int32_t* index, T* x_bar) {
  const ChannelWalk walk(g);
  for_each_row(g, walk, [&](int row) {
    const Place place = place_of(x, row);
    const int position = row - place.image * x.of_image();
    Box box;
    const Reach* of_axis = named_by;
#pragma unroll
    for (int axis = 0; axis < 3; ++axis) {
      const Reach outputs = of_axis[place.at[axis]];
      box.along[axis] = {outputs.first, outputs.last + 1};
      of_axis += x.extent[axis];
    }
    T sum = 0;
    box.for_each(y, place.image, [&](int output) {
      const std::int64_t i = output * g.channels + walk.channel;
      if (index[i] == position) sum += y_bar[i];
    });
    x_bar[row * g.channels + walk.channel] = sum;
  });
}

template <class T>
__global__ void __launch_bounds__(channel_threads)
    avg_pool_kernel(ChannelGrid g, Pool pool, T share, const T* x, T* y) {
  const ChannelWalk walk(g);
  for_each_row(g, walk, [&](int row) {
    const Place place = place_of(pool.y, row);
    T sum = 0;
    pool.window(place.at).for_each(pool.x, place.image,
                                   [&](int input) { sum += x[input * g.channels + walk.channel]; });
    y[row * g.channels + walk.channel] = sum * share;
  });
}

// Windows of many places, of which there are few: the rows of a block share a window.
template <class T>
__global__ void __launch_bounds__(channel_threads)
    avg_pool_wide_kernel(ChannelGrid g, Pool pool, double share, const T* x, T* y) {
  const ChannelWalk walk(g);
  auto& scratch = shared<BlockValues<Sums<1>>>();
  for (std::int64_t row = blockIdx.y; row < g.rows; row += gridDim.y) {
    const Place place = place_of(pool.y, static_cast<int>(row));
    const Box box = pool.window(place.at);
    const int lines = box.along[1].end - box.along[1].begin;
    const int line = box.along[2].end - box.along[2].begin;
    const int taps = walk.active ? (box.along[0].end - box.along[0].begin) * lines * line : 0;
    Sums<1> sum;
    for (int tap = walk.block_row; tap < taps; tap += g.block_rows) {
      const int d = box.along[0].begin + tap / line / lines;
      const int h = box.along[1].begin + tap / line % lines;
      const int w = box.along[2].begin + tap % line;
      const int input = ((place.image * pool.x.extent[0] + d) * pool.x.extent[1] + h) * pool.x.extent[2] + w;
      sum.of[0] += static_cast<double>(x[input * g.channels + walk.channel]);
    }
    sum = merge_rows(sum, g.columns, g.block_rows, scratch);
    if (walk.active && walk.block_row == 0) y[row * g.channels + walk.channel] = static_cast<T>(sum.of[0] * share);
  }
}

template <class T>
__global__ void __launch_bounds__(channel_threads)
    avg_pool_adjoint_kernel(ChannelGrid g, Pool pool, T share, const T* y_bar, T* x_bar) {
  const ChannelWalk walk(g);
  for_each_row(g, walk, [&](int row) {
    const Place place = place_of(pool.x, row);
    T sum = 0;
    pool.windows_over(place.at).for_each(pool.y, place.image,
                                         [&](int output) { sum += share * y_bar[output * g.channels + walk.channel]; });
    x_bar[row * g.channels + walk.channel] = sum;
  });
}

}  // namespace

template <>
void CudaBackend::compute(const kernel::MaxPool& k) {
  if (k.y.numel() == 0) return;
  const Pool pool = pool_of(k.params, k.x.shape, k.y.shape);
  const ChannelGrid g = pool_grid(k.y.shape);
  dispatch_float(k.x.dtype, [&]<class T>(T) {
    launch<max_pool_kernel<T>>(stream(), g.grid(), g, pool, k.x.as<T>(), k.y.as<T>(), k.index.as<std::int32_t>());
  });
}

template <>
void CudaBackend::compute(const kernel::MaxPoolGather& k) {
  if (k.y_dot.numel() == 0) return;
  const int x_positions = positions_of(k.x_dot.shape).of_image();
  const int y_positions = positions_of(k.y_dot.shape).of_image();
  const ChannelGrid g = pool_grid(k.y_dot.shape);
  dispatch_float(k.x_dot.dtype, [&]<class T>(T) {
    launch<max_pool_gather_kernel<T>>(stream(), g.grid(), g, x_positions, y_positions, k.x_dot.as<T>(),
                                      k.index.as<std::int32_t>(), k.y_dot.as<T>());
  });
}

template <>
void CudaBackend::compute(const kernel::MaxPoolScatter& k) {
  if (k.x_bar.numel() == 0) return;
  const Positions x = positions_of(k.x_bar.shape);
  const Positions y = positions_of(k.y_bar.shape);
  const auto* indices = k.index.as<std::int32_t>();
  const DeviceArray<Reach> reach(stream(), coordinates(y));
  const DeviceArray<Reach> named_by(stream(), coordinates(x));
  launch<max_pool_reach_kernel>(
      stream(), {dim3(static_cast<unsigned>(coordinates(y))), dim3(channel_threads), sizeof(BlockValues<Reach>)}, x, y,
      k.x_bar.shape.c(), indices, reach.get());
  launch<max_pool_named_by_kernel>(
      stream(), {dim3(static_cast<unsigned>(ceil_div(coordinates(x), channel_threads))), dim3(channel_threads)}, x, y,
      coordinates(x), reach.get(), named_by.get());
  const ChannelGrid g = pool_grid(k.x_bar.shape);
  dispatch_float(k.y_bar.dtype, [&]<class T>(T) {
    launch<max_pool_scatter_kernel<T>>(stream(), g.grid(), g, x, y, named_by.get(), k.y_bar.as<T>(), indices,
                                       k.x_bar.as<T>());
  });
}

template <>
void CudaBackend::compute(const kernel::AvgPool& k) {
  if (k.y.numel() == 0) return;
  const Pool pool = pool_of(k.params, k.x.shape, k.y.shape);
  const double share = 1.0 / pool.window_size();
  ChannelGrid g = pool_grid(k.y.shape);
  constexpr int wide_window = 64;
  dispatch_float(k.x.dtype, [&]<class T>(T) {
    if (pool.window_size() < wide_window)
      return launch<avg_pool_kernel<T>>(stream(), g.grid(), g, pool, static_cast<T>(share), k.x.as<T>(), k.y.as<T>());
    constexpr std::int64_t most_blocks = 4096;
    g.parts = static_cast<int>(std::min(g.rows, most_blocks));
    launch<avg_pool_wide_kernel<T>>(stream(), g.grid(sizeof(BlockValues<Sums<1>>)), g, pool, share, k.x.as<T>(),
                                    k.y.as<T>());
  });
}

template <>
void CudaBackend::compute(const kernel::AvgPoolAdjoint& k) {
  if (k.x_bar.numel() == 0) return;
  const Pool pool = pool_of(k.params, k.x_bar.shape, k.y_bar.shape);
  const ChannelGrid g = pool_grid(k.x_bar.shape);
  dispatch_float(k.y_bar.dtype, [&]<class T>(T) {
    launch<avg_pool_adjoint_kernel<T>>(stream(), g.grid(), g, pool, static_cast<T>(1.0 / pool.window_size()),
                                       k.y_bar.as<T>(), k.x_bar.as<T>());
  });
}

}  // namespace mcn::MCN_DEVICE_NAMESPACE
