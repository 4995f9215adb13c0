// Dense matrix products, row-major, and sums over rows. Products are tiled by device/tile_fma.h; the four cases of
// transposition differ in the loaders of their operands only. They are exact whatever the precision: the models' own
// are small, of logits and similarities.
#include <type_traits>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/device/tile_fma.h"
#include "kernels/cuda/split_k.h"

namespace mcn::MCN_DEVICE_NAMESPACE {
namespace {

// c: m x n, the depth is k.
struct GemmShape {
  int m, n, k;
};

// op(a) is m x k and along its depth where it is not transposed; op(b) is k x n and along its depth where it is.
template <class Tile, bool transpose_a, bool transpose_b>
struct Gemm {
  using LoaderA =
      std::conditional_t<transpose_a, DenseAlongRows<Tile, Tile::rows, 1>, DenseAlongDepth<Tile, Tile::rows, 1>>;
  using LoaderB =
      std::conditional_t<transpose_b, DenseAlongDepth<Tile, Tile::columns, 1>, DenseAlongRows<Tile, Tile::columns, 1>>;
  using Shared = typename Tile::template Slices<LoaderA, LoaderB>;
};

template <class Tile, bool transpose_a, bool transpose_b>
__global__ void __launch_bounds__(Tile::threads)
    gemm_kernel(GemmShape s, const typename Tile::Value* a, const typename Tile::Value* b, Split split,
                Output<typename Tile::Value> c) {
  using Operands = Gemm<Tile, transpose_a, transpose_b>;
  auto& slices = shared<typename Operands::Shared>();
  const TilePlace place = tile_place<Tile>(s.m, s.n, blockIdx.x);
  typename Tile::Share share = {};
  add_products<Tile>(
      slices, 1, s.k, steps_of_block(split),
      [&](int, int k) { return typename Operands::LoaderA(a, s.m, s.k, place.first_row, k); },
      [&](int, int k) { return typename Operands::LoaderB(b, s.n, s.k, place.first_column, k); }, share);
  Tile::store(share, place, c.part(), c.accumulate, [&](int row) { return std::int64_t{row} * s.n; });
}

template <class Tile, bool transpose_a, bool transpose_b, class T>
void run_gemm(cudaStream_t stream, const GemmShape& s, const T* a, const T* b, T* c, bool accumulate) {
  const std::int64_t tiles = tile_count<Tile>(s.m, s.n);
  const Split split = split_depth<Tile>(tiles, 1, s.k);
  const Grid grid = tile_grid<Tile>(tiles, split, sizeof(typename Gemm<Tile, transpose_a, transpose_b>::Shared));
  with_parts(stream, split, c, std::int64_t{s.m} * s.n, accumulate, [&](const Output<T>& output) {
    launch<gemm_kernel<Tile, transpose_a, transpose_b>>(stream, grid, s, a, b, split, output);
  });
}

template <class Tile, class T>
void run_gemm(cudaStream_t stream, bool transpose_a, bool transpose_b, const GemmShape& s, const T* a, const T* b, T* c,
              bool accumulate) {
  if (transpose_a)
    return transpose_b ? run_gemm<Tile, true, true>(stream, s, a, b, c, accumulate)
                       : run_gemm<Tile, true, false>(stream, s, a, b, c, accumulate);
  return transpose_b ? run_gemm<Tile, false, true>(stream, s, a, b, c, accumulate)
                     : run_gemm<Tile, false, false>(stream, s, a, b, c, accumulate);
}

// A warp's lanes take neighbouring columns, a block's eight warps every eighth row.
constexpr unsigned block_columns = 32;
constexpr unsigned block_rows = 8;

// Blocks along y for so many rows: enough to fill a GPU, each with several rows to a warp.
unsigned row_blocks(std::int64_t rows) {
  constexpr std::int64_t most_blocks = 256;
  constexpr std::int64_t rows_of_warp = 16;
  return static_cast<unsigned>(std::clamp<std::int64_t>(ceil_div(rows, block_rows * rows_of_warp), 1, most_blocks));
}

template <class T>
__global__ void add_bias_kernel(std::int64_t rows, std::int64_t columns, const T* bias, T* y) {
  const std::int64_t column = std::int64_t{blockIdx.x} * block_columns + threadIdx.x;
  if (column >= columns) return;
  const T value = bias[column];
  const std::int64_t step = std::int64_t{gridDim.y} * block_rows;
  for (std::int64_t row = std::int64_t{blockIdx.y} * block_rows + threadIdx.y; row < rows; row += step)
    y[row * columns + column] += value;
}

struct ColumnSums {
  double of[block_rows][block_columns];
};

// partial[blockIdx.y, column] = the block's share of the column's sum.
template <class T>
__global__ void sum_rows_kernel(std::int64_t rows, std::int64_t columns, const T* x, double* partial) {
  const std::int64_t column = std::int64_t{blockIdx.x} * block_columns + threadIdx.x;
  const std::int64_t step = std::int64_t{gridDim.y} * block_rows;
  double sum = 0;
  if (column < columns)
    for (std::int64_t row = std::int64_t{blockIdx.y} * block_rows + threadIdx.y; row < rows; row += step)
      sum += x[row * columns + column];
  auto& sums = shared<ColumnSums>();
  sums.of[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= columns) return;
  for (unsigned i = 1; i < block_rows; ++i) sum += sums.of[i][threadIdx.x];
  partial[blockIdx.y * columns + column] = sum;
}

// out (+)= the sum of the blocks' shares.
template <class T>
__global__ void add_column_sums_kernel(std::int64_t columns, unsigned parts, const double* partial, T* out,
                                       bool accumulate) {
  const std::int64_t column = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (column >= columns) return;
  double sum = accumulate ? out[column] : T{0};
  for (unsigned p = 0; p < parts; ++p) sum += partial[p * columns + column];
  out[column] = static_cast<T>(sum);
}

Grid column_grid(std::int64_t rows, std::int64_t columns) {
  return {dim3(static_cast<unsigned>(ceil_div(columns, block_columns)), row_blocks(rows)),
          dim3(block_columns, block_rows)};
}

}  // namespace

template <>
void CudaBackend::compute(const kernel::Gemm& k) {
  if (k.c.numel() == 0) return;
  const bool transpose_a = k.transpose_a == Transpose::yes, transpose_b = k.transpose_b == Transpose::yes;
  const std::int64_t depth = k.a.shape[transpose_a ? 0 : 1];
  if (std::max({k.c.shape[0], k.c.shape[1], depth}) > most_rows)
    fail("gemm", "expected extents of at most {}, got a {}, b {}", most_rows, k.a.shape.str(), k.b.shape.str());
  const GemmShape s{static_cast<int>(k.c.shape[0]), static_cast<int>(k.c.shape[1]), static_cast<int>(depth)};
  const bool accumulate = k.mode == Mode::accumulate;
  dispatch_float(k.c.dtype, [&]<class T>(T) {
#if defined(__CUDACC__)
    if (cublas_ != nullptr) {
      use_device(device_);
      return cublas_->run(k.transpose_a, k.transpose_b, s.m, s.n, s.k, k.a.as<T>(), k.b.as<T>(), k.c.as<T>(),
                          accumulate);
    }
#endif
    FmaTiles<T>::choose(s.m, s.n, [&]<class Tile>(Tile) {
      run_gemm<Tile>(stream(), transpose_a, transpose_b, s, k.a.as<T>(), k.b.as<T>(), k.c.as<T>(), accumulate);
    });
  });
}

template <>
void CudaBackend::compute(const kernel::AddBias& k) {
  if (k.y.numel() == 0) return;
  const std::int64_t rows = k.y.shape.rows();
  const std::int64_t columns = k.y.shape.back();
  dispatch_float(k.y.dtype, [&]<class T>(T) {
    launch<add_bias_kernel<T>>(stream(), column_grid(rows, columns), rows, columns, k.bias.as<T>(), k.y.as<T>());
  });
}

template <>
void CudaBackend::compute(const kernel::SumRows& k) {
  if (k.out.numel() == 0) return;
  const std::int64_t rows = k.x.shape.rows();
  const std::int64_t columns = k.x.shape.back();
  Grid grid = column_grid(rows, columns);
  grid.shared_bytes = sizeof(ColumnSums);
  const unsigned parts = grid.blocks.y;
  const DeviceArray<double> partial(stream(), parts * columns);
  dispatch_float(k.x.dtype, [&]<class T>(T) {
    launch<sum_rows_kernel<T>>(stream(), grid, rows, columns, k.x.as<T>(), partial.get());
    constexpr unsigned threads = 256;
    launch<add_column_sums_kernel<T>>(stream(),
                                      {dim3(static_cast<unsigned>(ceil_div(columns, threads))), dim3(threads)}, columns,
                                      parts, partial.get(), k.out.as<T>(), k.mode == Mode::accumulate);
  });
}

}  // namespace mcn::MCN_DEVICE_NAMESPACE
