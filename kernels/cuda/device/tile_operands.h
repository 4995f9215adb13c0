// The operands of a tiled matrix product C = A B, and what its kernels share. A: rows x depth, B: depth x columns.
//
// A block makes one tile of C and walks along the depth in steps: it brings a slice of each operand to shared memory
// and multiplies the slices. How it does that, and what a thread keeps of C, is a tile type's affair (tile_fma.h,
// tile_mma.h). Such a type has the extents rows, columns, depth (of a step) and threads; vectors, whether operands may
// be read four or two values at a time; a type Value; and
//     Slices<LoaderA, LoaderB>, its shared memory; Share, the thread's part of the tile of C;
//     multiply(slices, a, b, steps, share), which adds a product; store(share, place, c, accumulate, row_offset).
//
// A loader walks over the slices of one operand. It is a class on top of AlongDepth or AlongRows, which say how the
// threads share out a slice, with a function visit(f): f(pass, from, inside) for each vector of the thread, zeros where
// it is not inside the operand; then it has moved on by one step. B's columns are called rows here as well.
#pragma once

#include "kernels/cuda/device/platform.h"

namespace mcn::MCN_DEVICE_NAMESPACE {

/// Consecutive values that are read and written at once, by load_vector and store_vector alone: a GPU wants an address
/// that is a multiple of alignof(Vector).
template <class T, int count>
struct alignas(sizeof(T) * count < 16 ? sizeof(T) * count : 16) Vector {
  T value[count];
};

template <int count, class T>
__device__ Vector<T, count> load_vector(const T* from) {
#if !defined(__CUDACC__)
  simt::check_aligned(from, alignof(Vector<T, count>), "a vector is read");
#endif
  return *reinterpret_cast<const Vector<T, count>*>(from);
}

template <int count, class T>
__device__ void store_vector(T* to, const Vector<T, count>& vector) {
#if !defined(__CUDACC__)
  simt::check_aligned(to, alignof(Vector<T, count>), "a vector is written");
#endif
  *reinterpret_cast<Vector<T, count>*>(to) = vector;
}

/// Rows, columns and depths are counted in 32 bits, with room for a tile past the end.
inline constexpr std::int64_t most_rows = (std::int64_t{1} << 31) - (1 << 16);

/// For an operand that is contiguous along its depth: a thread takes `width` neighbours along the depth, the same for
/// several rows.
template <class Tile, int extent, int vector_width>
struct AlongDepth {
  static constexpr bool along_depth = true;
  static constexpr int width = vector_width;
  static constexpr int slice_rows = extent;
  static constexpr int lanes = Tile::depth / width;
  static constexpr int spacing = Tile::threads / lanes;
  static constexpr int passes = slice_rows / spacing;
  static_assert(passes > 0 && passes * spacing == slice_rows);

  static __device__ int depth(int = 0) { return static_cast<int>(threadIdx.x) % lanes * width; }
  static __device__ int row(int pass) { return static_cast<int>(threadIdx.x) / lanes + pass * spacing; }
};

/// For an operand that is contiguous along its rows: a thread takes `width` neighbouring rows, the same for several
/// depths.
template <class Tile, int extent, int vector_width>
struct AlongRows {
  static constexpr bool along_depth = false;
  static constexpr int width = vector_width;
  static constexpr int slice_rows = extent;
  static constexpr int lanes = slice_rows / width;
  static constexpr int spacing = Tile::threads / lanes;
  static constexpr int passes = Tile::depth / spacing;
  static_assert(passes > 0 && passes * spacing == Tile::depth);

  static __device__ int depth(int pass) { return static_cast<int>(threadIdx.x) / lanes + pass * spacing; }
  static __device__ int row(int = 0) { return static_cast<int>(threadIdx.x) % lanes * width; }
};

/// The thread's part of a slice, in registers.
template <class Value, class Loader>
using Fetched = Vector<Value, Loader::width>[Loader::passes];

template <class Value, class Loader>
__device__ void fetch(Loader& loader, Fetched<Value, Loader>& values) {
  loader.visit([&](int pass, const Value* from, bool inside) {
    values[pass] = inside ? load_vector<Loader::width>(from) : Vector<Value, Loader::width>{};
  });
}

/// A dense operand, row-major: data[row * depth + k].
template <class Tile, int extent, int width>
class DenseAlongDepth : public AlongDepth<Tile, extent, width> {
  using Lanes = AlongDepth<Tile, extent, width>;
  using Value = typename Tile::Value;

 public:
  /// Stands at first_row of `rows` and at k of `depth`.
  __device__ DenseAlongDepth(const Value* data, int rows, int depth, int first_row, int k)
      : next_(data + std::int64_t{first_row + Lanes::row(0)} * depth + k + Lanes::depth()),
        pitch_(depth),
        rows_left_(rows - first_row - Lanes::row(0)),
        depth_left_(depth - k - Lanes::depth()) {}

  template <class F>
  __device__ void visit(F&& f) {
#pragma unroll
    for (int pass = 0; pass < Lanes::passes; ++pass)
      f(pass, next_ + std::int64_t{pass * Lanes::spacing} * pitch_,
        depth_left_ > 0 && pass * Lanes::spacing < rows_left_);
    next_ += Tile::depth;
    depth_left_ -= Tile::depth;
  }

 private:
  const Value* next_;
  int pitch_, rows_left_, depth_left_;
};

/// A dense operand that lies transposed: data[k * rows + row].
template <class Tile, int extent, int width>
class DenseAlongRows : public AlongRows<Tile, extent, width> {
  using Lanes = AlongRows<Tile, extent, width>;
  using Value = typename Tile::Value;

 public:
  __device__ DenseAlongRows(const Value* data, int rows, int depth, int first_row, int k)
      : next_(data + std::int64_t{k + Lanes::depth(0)} * rows + first_row + Lanes::row()),
        pitch_(rows),
        depth_left_(first_row + Lanes::row() < rows ? depth - k - Lanes::depth(0) : 0) {}

  template <class F>
  __device__ void visit(F&& f) {
#pragma unroll
    for (int pass = 0; pass < Lanes::passes; ++pass)
      f(pass, next_ + std::int64_t{pass * Lanes::spacing} * pitch_, pass * Lanes::spacing < depth_left_);
    next_ += std::int64_t{Tile::depth} * pitch_;
    depth_left_ -= Tile::depth;
  }

 private:
  const Value* next_;
  int pitch_, depth_left_;
};

/// The part of the depth that a block sums: steps [first, first + count) of all steps of all products.
struct StepRange {
  int first, count;
};

/// share += the thread's share of the block's steps of `products` products, each of so much depth. make_a(product, k)
/// gives a loader that stands at depth k. All threads of the block call it.
template <class Tile, class Slices, class MakeA, class MakeB>
__device__ void add_products(Slices& slices, int products, int depth, StepRange range, MakeA&& make_a, MakeB&& make_b,
                             typename Tile::Share& share) {
  const auto steps = static_cast<int>(ceil_div(depth, Tile::depth));
  for (int product = 0; product < products; ++product) {
    int first = range.first - product * steps;
    int last = first + range.count;
    first = first < 0 ? 0 : first;
    last = last > steps ? steps : last;
    if (first >= last) continue;
    auto a = make_a(product, first * Tile::depth);
    auto b = make_b(product, first * Tile::depth);
    Tile::multiply(slices, a, b, last - first, share);
  }
}

/// Where a tile goes: rows x columns from first_row, first_column on; what lies past is not written.
struct TilePlace {
  int rows, columns, first_row, first_column;
};

/// Tiles of a result of rows x columns.
template <class Tile>
std::int64_t tile_count(std::int64_t rows, std::int64_t columns) {
  return ceil_div(rows, Tile::rows) * ceil_div(columns, Tile::columns);
}

/// A tile by its number, columns first: blocks that run together share rows of A.
template <class Tile>
__device__ TilePlace tile_place(int rows, int columns, unsigned number) {
  const auto across = static_cast<unsigned>(ceil_div(columns, Tile::columns));
  return {rows, columns, static_cast<int>(number / across) * Tile::rows,
          static_cast<int>(number % across) * Tile::columns};
}

}  // namespace mcn::MCN_DEVICE_NAMESPACE
