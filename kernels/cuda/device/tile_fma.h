// Tiles of a matrix product by ordinary multiply-adds, in float32 and float64.
//
// Slices lie in shared memory as [depth][row] and [depth][column], whatever their layout in device memory; there a
// thread reads 4 or 8 values of A and 4 of B for each k and adds their outer product to its share of C. Slices are
// double-buffered: those of the next step are on their way to registers while this one is multiplied, so that a step
// costs one barrier.
#pragma once

#include "kernels/cuda/device/tile_operands.h"

namespace mcn::MCN_DEVICE_NAMESPACE {

/// A thread's share of the tile is rows_of_thread / 4 squares of 4 x 4, evenly spaced down the tile.
template <class T, int tile_rows, int tile_columns, int rows_of_thread>
struct FmaTile {
  using Value = T;
  static constexpr int rows = tile_rows;
  static constexpr int columns = tile_columns;
  static constexpr int depth = 16;
  static constexpr int square = 4;
  static constexpr int squares = rows_of_thread / square;
  static constexpr int square_spacing = rows / squares;
  static constexpr int threads = rows * columns / (rows_of_thread * square);
  static constexpr bool vectors = squares > 1;  // in the small tile they win too little
  // The least addition that keeps vectors aligned and moves the next row to other banks.
  static constexpr int row_pitch = rows + 4;
  static constexpr int column_pitch = columns + 4;

  using Share = T[rows_of_thread][square];

  template <class LoaderA, class LoaderB>
  struct Slices {
    T a[2][depth][row_pitch];
    T b[2][depth][column_pitch];
  };

  /// share += the thread's share of the product over `steps` steps from where the loaders stand. All threads of the
  /// block call it. In float32 the products of a step are added up on their own: half the rounding error of long sums.
  template <class LoaderA, class LoaderB>
  static __device__ void multiply(Slices<LoaderA, LoaderB>& slices, LoaderA& a, LoaderB& b, int steps, Share& share) {
    constexpr bool in_chains = sizeof(T) < sizeof(double);
    Fetched<T, LoaderA> from_a;
    Fetched<T, LoaderB> from_b;
    fetch<T>(a, from_a);
    fetch<T>(b, from_b);
    place<LoaderA>(from_a, slices.a[0]);
    place<LoaderB>(from_b, slices.b[0]);
    __syncthreads();
    for (int step = 0; step < steps; ++step) {
      const int now = step % 2;
      const bool more = step + 1 < steps;
      if (more) {
        fetch<T>(a, from_a);
        fetch<T>(b, from_b);
      }
      if constexpr (in_chains) {
        Share chain = {};
        add_outer_products(slices.a[now], slices.b[now], chain);
        add(chain, share);
      } else {
        add_outer_products(slices.a[now], slices.b[now], share);
      }
      if (more) {
        place<LoaderA>(from_a, slices.a[1 - now]);
        place<LoaderB>(from_b, slices.b[1 - now]);
      }
      __syncthreads();
    }
  }

  /// c[row_offset(row) + column] (+)= the thread's share. The offsets are multiples of the number of columns.
  template <class RowOffset>
  static __device__ void store(const Share& share, const TilePlace& place, T* c, bool accumulate,
                               RowOffset&& row_offset) {
    using Row = Vector<T, square>;
    const int column = place.first_column + first_column();
    const bool whole = place.columns % square == 0 && reinterpret_cast<std::uintptr_t>(c) % alignof(Row) == 0;
#pragma unroll
    for (int i = 0; i < rows_of_thread; ++i) {
      const int row = place.first_row + first_row() + i / square * square_spacing + i % square;
      if (row >= place.rows || column >= place.columns) continue;
      T* to = c + row_offset(row) + column;
      if (whole) {
        Row values = accumulate ? load_vector<square>(to) : Row{};
#pragma unroll
        for (int j = 0; j < square; ++j) values.value[j] += share[i][j];
        store_vector(to, values);
      } else {
#pragma unroll
        for (int j = 0; j < square; ++j)
          if (column + j < place.columns) to[j] = accumulate ? to[j] + share[i][j] : share[i][j];
      }
    }
  }

 private:
  // A warp's squares are 4 x 8: wide enough to write rows of 32 values, narrow enough to read few of A and B.
  static constexpr int warps_across = columns / (8 * square);
  static_assert(columns % (8 * square) == 0 && square_spacing % (4 * square) == 0 && threads % 32 == 0);

  // Where the thread's first square lies.
  static __device__ int first_row() {
    const auto thread = static_cast<int>(threadIdx.x);
    return (thread / 32 / warps_across * 4 + thread % 32 / 8) * square;
  }
  static __device__ int first_column() {
    const auto thread = static_cast<int>(threadIdx.x);
    return (thread / 32 % warps_across * 8 + thread % 8) * square;
  }

  template <class Loader, int pitch>
  static __device__ void place(const Fetched<T, Loader>& values, T (&slice)[depth][pitch]) {
#pragma unroll
    for (int pass = 0; pass < Loader::passes; ++pass) {
      const int k = Loader::depth(pass);
      const int row = Loader::row(pass);
      if constexpr (Loader::along_depth) {
#pragma unroll
        for (int i = 0; i < Loader::width; ++i) slice[k + i][row] = values[pass].value[i];
      } else {
        store_vector(&slice[k][row], values[pass]);
      }
    }
  }

  static __device__ void add_outer_products(const T (&a)[depth][row_pitch], const T (&b)[depth][column_pitch],
                                            Share& share) {
    const int row = first_row();
    const int column = first_column();
// Unrolled whole, it reads so far ahead that registers allow one block a multiprocessor in place of two.
#pragma unroll 8
    for (int k = 0; k < depth; ++k) {
      const auto of_b = load_vector<square>(&b[k][column]);
#pragma unroll
      for (int s = 0; s < squares; ++s) {
        const auto of_a = load_vector<square>(&a[k][row + s * square_spacing]);
#pragma unroll
        for (int i = 0; i < square; ++i)
#pragma unroll
          for (int j = 0; j < square; ++j) share[s * square + i][j] += of_a.value[i] * of_b.value[j];
      }
    }
  }

  static __device__ void add(const Share& chain, Share& share) {
#pragma unroll
    for (int i = 0; i < rows_of_thread; ++i)
#pragma unroll
      for (int j = 0; j < square; ++j) share[i][j] += chain[i][j];
  }
};

/// 8 x 4 values a thread keep the multiply-adds ahead of what they read from shared memory. Results that would leave
/// most of such a tile empty, and all of float64, take the small one.
template <class T>
using LargeTile = FmaTile<T, 128, 64, 8>;
template <class T>
using SmallTile = FmaTile<T, 64, 32, 4>;

/// The choice between them.
template <class T>
struct FmaTiles {
  using Value = T;

  /// Calls f with a value of the tile type for a result of rows x columns.
  template <class F>
  static void choose(std::int64_t rows, std::int64_t columns, F&& f) {
    if constexpr (sizeof(T) < sizeof(double))
      if (rows > SmallTile<T>::rows && columns > SmallTile<T>::columns) return f(LargeTile<T>{});
    f(SmallTile<T>{});
  }
};

}  // namespace mcn::MCN_DEVICE_NAMESPACE
