// Tiles of a matrix product of float32 operands on tensor cores: 128 x 64 by four warps of 64 x 32.
//
// A slice lies in shared memory the way its operand lies in device memory, [row][depth] or [depth][row], its rows
// padded so that the eight rows or columns that a fragment takes at once fall on different banks.
//   TF32: float32 values are copied asynchronously, three slices ahead, and rounded as fragments are loaded.
//   BF16: values travel through registers, are rounded there, and take half the room; slices are double-buffered.
#pragma once

#include <type_traits>

#include "kernels/cuda/device/mma.h"
#include "kernels/cuda/device/tile_operands.h"

namespace mcn::MCN_DEVICE_NAMESPACE {

/// A format of factors: its type in shared memory, whether it comes there by asynchronous copies, the depth of a slice
/// and how many of them there are, and the depth of one product of the tensor cores.
struct Tf32 {
  using Stored = float;  // rounded when it leaves shared memory
  static constexpr bool asynchronous = true;
  static constexpr int slice_depth = 16;
  static constexpr int stages = 4;
  static constexpr int mma_depth = 8;
};
struct Bf16 {
  using Stored = std::uint16_t;  // rounded on the way there
  static constexpr bool asynchronous = false;
  static constexpr int slice_depth = 32;
  static constexpr int stages = 2;
  static constexpr int mma_depth = 16;
};

template <class Format>
struct MmaTile {
  using Value = float;
  using Stored = typename Format::Stored;
  static constexpr int rows = 128;
  static constexpr int columns = 64;
  static constexpr int depth = Format::slice_depth;
  static constexpr int stages = Format::stages;
  static constexpr int threads = 128;
  static constexpr bool vectors = true;

  // A warp's part of the tile, in blocks of 16 x 8.
  static constexpr int warp_rows = 64;
  static constexpr int warp_columns = 32;
  static constexpr int row_blocks = warp_rows / 16;
  static constexpr int column_blocks = warp_columns / 8;
  using Share = float[row_blocks][column_blocks][4];

  /// Values in a row of a matrix that ldmatrix loads, 16 bytes.
  static constexpr int chunk = 16 / sizeof(Stored);

  /// [row][depth] or [depth][row].
  template <class Loader>
  struct alignas(16) Slice {
    static constexpr int pitch = Loader::along_depth ? depth + chunk : Loader::slice_rows + 8;
    Stored values[(Loader::along_depth ? Loader::slice_rows : depth) * pitch];

    __device__ const Stored* at(int row, int k) const {
      return values + (Loader::along_depth ? row * pitch + k : k * pitch + row);
    }
    __device__ Stored* at(int row, int k) { return const_cast<Stored*>(static_cast<const Slice&>(*this).at(row, k)); }
  };

  template <class LoaderA, class LoaderB>
  struct Slices {
    Slice<LoaderA> a[stages];
    Slice<LoaderB> b[stages];
  };

  /// share += the thread's share of the product over `steps` steps from where the loaders stand. All threads of the
  /// block call it.
  template <class LoaderA, class LoaderB>
  static __device__ void multiply(Slices<LoaderA, LoaderB>& slices, LoaderA& a, LoaderB& b, int steps, Share& share) {
    if constexpr (Format::asynchronous) {
#pragma unroll
      for (int step = 0; step < stages - 1; ++step) {
        if (step < steps) copy_slices(a, b, slices, step);
        commit_copies();
      }
      for (int step = 0; step < steps; ++step) {
        wait_copies<stages - 2>();  // this step's slices are there, for all threads after the barrier;
        __syncthreads();            // and all have done with the slices of the step before
        if (step + stages - 1 < steps) copy_slices(a, b, slices, (step + stages - 1) % stages);
        commit_copies();
        multiply_slices(slices.a[step % stages], slices.b[step % stages], share);
      }
      wait_copies<0>();
      __syncthreads();
    } else {
      Fetched<float, LoaderA> from_a;
      Fetched<float, LoaderB> from_b;
      fetch<float>(a, from_a);
      fetch<float>(b, from_b);
      place<LoaderA>(from_a, slices.a[0]);
      place<LoaderB>(from_b, slices.b[0]);
      __syncthreads();
      for (int step = 0; step < steps; ++step) {
        const int now = step % 2;
        const bool more = step + 1 < steps;
        if (more) {
          fetch<float>(a, from_a);
          fetch<float>(b, from_b);
        }
        multiply_slices(slices.a[now], slices.b[now], share);
        if (more) {
          place<LoaderA>(from_a, slices.a[1 - now]);
          place<LoaderB>(from_b, slices.b[1 - now]);
        }
        __syncthreads();
      }
    }
  }

  /// c[row_offset(row) + column] (+)= the thread's share. The offsets are multiples of the number of columns.
  template <class RowOffset>
  static __device__ void store(const Share& share, const TilePlace& place, float* c, bool accumulate,
                               RowOffset&& row_offset) {
    using Pair = Vector<float, 2>;
    const bool pairs = place.columns % 2 == 0 && reinterpret_cast<std::uintptr_t>(c) % alignof(Pair) == 0;
#pragma unroll
    for (int i = 0; i < 2 * row_blocks; ++i) {
      const int row = place.first_row + first_row() + i * 8 + lane() / 4;
      if (row >= place.rows) continue;
      float* to = c + row_offset(row);
#pragma unroll
      for (int j = 0; j < column_blocks; ++j) {
        const int column = place.first_column + first_column() + j * 8 + lane() % 4 * 2;
        const Pair values{{share[i / 2][j][i % 2 * 2], share[i / 2][j][i % 2 * 2 + 1]}};
        if (pairs && column < place.columns) {
          Pair sum = accumulate ? load_vector<2>(to + column) : Pair{};
          sum.value[0] += values.value[0];
          sum.value[1] += values.value[1];
          store_vector(to + column, sum);
        } else {
#pragma unroll
          for (int k = 0; k < 2; ++k)
            if (column + k < place.columns)
              to[column + k] = accumulate ? to[column + k] + values.value[k] : values.value[k];
        }
      }
    }
  }

 private:
  static constexpr int warps_across = columns / warp_columns;
  static_assert(rows / warp_rows * warps_across * 32 == threads);

  static __device__ int lane() { return static_cast<int>(threadIdx.x) % 32; }
  // Where the warp's part begins.
  static __device__ int first_row() { return static_cast<int>(threadIdx.x) / 32 / warps_across * warp_rows; }
  static __device__ int first_column() { return static_cast<int>(threadIdx.x) / 32 % warps_across * warp_columns; }

  template <class Loader>
  static __device__ void copy_slice(Loader& loader, Slice<Loader>& slice) {
    loader.visit([&](int pass, const float* from, bool inside) {
      copy_async<Loader::width * sizeof(float)>(slice.at(Loader::row(pass), Loader::depth(pass)), from, inside);
    });
  }
  template <class LoaderA, class LoaderB>
  static __device__ void copy_slices(LoaderA& a, LoaderB& b, Slices<LoaderA, LoaderB>& slices, int stage) {
    copy_slice(a, slices.a[stage]);
    copy_slice(b, slices.b[stage]);
  }

  template <class Loader>
  static __device__ void place(const Fetched<float, Loader>& fetched, Slice<Loader>& slice) {
#pragma unroll
    for (int pass = 0; pass < Loader::passes; ++pass) {
      Stored* to = slice.at(Loader::row(pass), Loader::depth(pass));
      const auto& values = fetched[pass].value;
      if constexpr (Loader::width == 4)
        store_vector(reinterpret_cast<unsigned*>(to),
                     Vector<unsigned, 2>{{to_bf16_pair(values[0], values[1]), to_bf16_pair(values[2], values[3])}});
      else if constexpr (Loader::width == 2)
        store_vector(reinterpret_cast<unsigned*>(to), Vector<unsigned, 1>{{to_bf16_pair(values[0], values[1])}});
      else
        *to = static_cast<Stored>(to_bf16_pair(values[0], 0));
    }
  }

  // The fragments of a product's 16 x mma_depth of A.
  template <class Loader>
  static __device__ void load_a(unsigned (&f)[4], const Slice<Loader>& slice, int row, int k) {
    const int l = lane();
    if constexpr (Loader::along_depth) {
      load_matrices(f, slice.at(row + l % 16, k + l / 16 * chunk));
    } else if constexpr (std::is_same_v<Format, Bf16>) {
      load_matrices_transposed(f, slice.at(row + l / 8 % 2 * 8, k + l % 8 + l / 16 * 8));
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) f[i] = __float_as_uint(*slice.at(row + l / 4 + i % 2 * 8, k + l % 4 + i / 2 * 4));
    }
    round(f);
  }

  // The fragments of two neighbouring products' mma_depth x 8 of B.
  template <class Loader>
  static __device__ void load_b(unsigned (&f)[4], const Slice<Loader>& slice, int column, int k) {
    const int l = lane();
    if constexpr (Loader::along_depth) {
      load_matrices(f, slice.at(column + l % 8 + l / 16 * 8, k + l / 8 % 2 * chunk));
    } else if constexpr (std::is_same_v<Format, Bf16>) {
      load_matrices_transposed(f, slice.at(column + l / 16 * 8, k + l % 16));
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) f[i] = __float_as_uint(*slice.at(column + l / 4 + i / 2 * 8, k + l % 4 + i % 2 * 4));
    }
    round(f);
  }

  static __device__ void round(unsigned (&f)[4]) {
    if constexpr (std::is_same_v<Format, Tf32>)
#pragma unroll
      for (int i = 0; i < 4; ++i) f[i] = to_tf32(f[i]);
  }

  template <class LoaderA, class LoaderB>
  static __device__ void multiply_slices(const Slice<LoaderA>& a, const Slice<LoaderB>& b, Share& share) {
#pragma unroll
    for (int k = 0; k < depth; k += Format::mma_depth) {
      unsigned of_b[column_blocks / 2][4];
#pragma unroll
      for (int j = 0; j < column_blocks / 2; ++j) load_b(of_b[j], b, first_column() + j * 16, k);
#pragma unroll
      for (int i = 0; i < row_blocks; ++i) {
        unsigned of_a[4];
        load_a(of_a, a, first_row() + i * 16, k);
#pragma unroll
        for (int j = 0; j < column_blocks; ++j) {
          const unsigned factor[2] = {of_b[j / 2][j % 2 * 2], of_b[j / 2][j % 2 * 2 + 1]};
          if constexpr (std::is_same_v<Format, Bf16>)
            mma_bf16(share[i][j], of_a, factor);
          else
            mma_tf32(share[i][j], of_a, factor);
        }
      }
    }
  }
};

/// One tile type for all extents.
template <class Format>
struct MmaTiles {
  using Value = float;

  template <class F>
  static void choose(std::int64_t, std::int64_t, F&& f) {
    f(MmaTile<Format>{});
  }
};

}  // namespace mcn::MCN_DEVICE_NAMESPACE
