// Convolutions as implicit matrix products: operands are gathered from NDHWC tensors as tiles of them are read
// (device/conv_gather.h). One source for all kinds of tiles; conv.cu and conv_tensor_core.cu compile it for theirs.
//
//           rows              columns     depth           A                  B
//   fprop   positions of y    O           taps x I        x, gathered        w, as it lies: O x (taps I)
//   dgrad   positions of x    I           taps x O        y_bar, gathered    w, a row of I for each tap and o
//   wgrad   O                 taps x I    positions of y  y_bar, as it lies  x, gathered
//
// A sum of two products has the depth of both. dgrad under a stride runs once for each residue class of x's
// positions.
#pragma once

#include <type_traits>

#include "kernels/conv.h"
#include "kernels/cuda/device/conv_gather.h"
#include "kernels/cuda/split_k.h"

namespace mcn::MCN_DEVICE_NAMESPACE {

/// The two operands of one product, or of two that are added.
template <class T>
struct Products {
  const T* a[2];
  const T* b[2];
  int count;

  // Not a[p]: an array of arguments that is indexed would lie in local memory.
  __device__ const T* a_of(int p) const { return p == 0 ? a[0] : a[1]; }
  __device__ const T* b_of(int p) const { return p == 0 ? b[0] : b[1]; }
};

template <class T>
Products<T> products_of(std::span<const ConvProduct> products) {
  Products<T> result{{}, {}, static_cast<int>(products.size())};
  for (std::size_t i = 0; i < products.size(); ++i) {
    result.a[i] = products[i].a.as<T>();
    result.b[i] = products[i].b.as<T>();
  }
  return result;
}

template <class Tile, int width>
struct Fprop {
  using LoaderA = GatheredRows<Tile, width>;
  using LoaderB = DenseAlongDepth<Tile, Tile::columns, width>;
  struct Shared {
    typename Tile::template Slices<LoaderA, LoaderB> slices;
    SourceRow rows[Tile::rows];
  };
};

template <class Tile, int width>
__global__ void __launch_bounds__(Tile::threads)
    fprop_kernel(Gather g, int out, Products<typename Tile::Value> products, Split split,
                 Output<typename Tile::Value> y) {
  using Operands = Fprop<Tile, width>;
  auto& memory = shared<typename Operands::Shared>();
  const TilePlace place = tile_place<Tile>(g.positions(), out, blockIdx.x);
  fill_source_rows(g, place.first_row, memory.rows);
  __syncthreads();
  const int depth = g.depth();
  typename Tile::Share share = {};
  add_products<Tile>(
      memory.slices, products.count, depth, steps_of_block(split),
      [&](int p, int k) { return typename Operands::LoaderA(g, memory.rows, products.a_of(p), k); },
      [&](int p, int k) { return typename Operands::LoaderB(products.b_of(p), out, depth, place.first_column, k); },
      share);
  Tile::store(share, place, y.part(), y.accumulate, [&](int row) { return std::int64_t{row} * out; });
}

/// As many classes as a launch has room for in its arguments.
struct DgradClasses {
  static constexpr int most = 8;
  DgradClass of[most];
};

template <class Tile, int width_a, int width_b>
struct Dgrad {
  using LoaderA = GatheredRows<Tile, width_a>;
  using LoaderB = ClassWeights<Tile, width_b>;
  struct Shared {
    typename Tile::template Slices<LoaderA, LoaderB> slices;
    SourceRow rows[Tile::rows];
  };
};

template <class Tile, int width_a, int width_b>
__global__ void __launch_bounds__(Tile::threads)
    dgrad_kernel(ConvShape s, DgradClasses classes, unsigned tiles_of_class, Products<typename Tile::Value> products,
                 Split split, Output<typename Tile::Value> x_bar) {
  using Operands = Dgrad<Tile, width_a, width_b>;
  auto& memory = shared<typename Operands::Shared>();
  const DgradClass& c = classes.of[blockIdx.x / tiles_of_class];
  const Gather& g = c.gather;
  const TilePlace place = tile_place<Tile>(g.positions(), s.in, blockIdx.x % tiles_of_class);
  if (place.first_row >= place.rows) return;  // the class has fewer tiles than another; the whole block leaves
  fill_source_rows(g, place.first_row, memory.rows);
  __syncthreads();
  typename Tile::Share share = {};
  add_products<Tile>(
      memory.slices, products.count, g.depth(), steps_of_block(split),
      [&](int p, int k) { return typename Operands::LoaderA(g, memory.rows, products.a_of(p), k); },
      [&](int p, int k) { return typename Operands::LoaderB(s, c, products.b_of(p), place.first_column, k); }, share);
  Tile::store(share, place, x_bar.part(), x_bar.accumulate, [&](int row) {
    const int w = row % g.grid[2] * s.stride[2] + c.residue[2];
    row /= g.grid[2];
    const int h = row % g.grid[1] * s.stride[1] + c.residue[1];
    row /= g.grid[1];
    const int d = row % g.grid[0] * s.stride[0] + c.residue[0];
    const int pixel = ((row / g.grid[0] * s.x[0] + d) * s.x[1] + h) * s.x[2] + w;
    return std::int64_t{pixel} * s.in;
  });
}

template <class Tile, int width_a, int width_b>
struct Wgrad {
  using LoaderA = DenseAlongRows<Tile, Tile::rows, width_a>;
  using LoaderB = GatheredColumns<Tile, width_b>;
  using Shared = typename Tile::template Slices<LoaderA, LoaderB>;
};

template <class Tile, int width_a, int width_b>
__global__ void __launch_bounds__(Tile::threads)
    wgrad_kernel(Gather g, int out, Products<typename Tile::Value> products, Split split,
                 Output<typename Tile::Value> w_bar) {
  using Operands = Wgrad<Tile, width_a, width_b>;
  auto& slices = shared<typename Operands::Shared>();
  const int columns = g.depth();  // what is fprop's depth
  const int depth = g.positions();
  const TilePlace place = tile_place<Tile>(out, columns, blockIdx.x);
  typename Tile::Share share = {};
  add_products<Tile>(
      slices, products.count, depth, steps_of_block(split),
      [&](int p, int k) { return typename Operands::LoaderA(products.b_of(p), out, depth, place.first_row, k); },
      [&](int p, int k) { return typename Operands::LoaderB(g, products.a_of(p), place.first_column, k); }, share);
  Tile::store(share, place, w_bar.part(), w_bar.accumulate, [&](int row) { return std::int64_t{row} * columns; });
}

/// How many values of tensors with so many channels can be read at a time: 4, 2 or 1.
template <class T>
int vector_width(int channels, const T* const (&tensors)[2]) {
  const auto fits = [&](int width) {
    const auto aligned = [&](const T* p) {
      return reinterpret_cast<std::uintptr_t>(p) % (static_cast<std::size_t>(width) * sizeof(T)) == 0;
    };
    return channels % width == 0 && aligned(tensors[0]) && aligned(tensors[1]);
  };
  return fits(4) ? 4 : fits(2) ? 2 : 1;
}

/// Calls f(width of A's vectors, width of B's) with constants: the pairs that the networks' channels call for.
template <class Tile, class F>
void with_widths(int width_a, int width_b, F&& f) {
  using One = std::integral_constant<int, 1>;
  using Two = std::integral_constant<int, 2>;
  using Four = std::integral_constant<int, 4>;
  if constexpr (Tile::vectors) {
    if (width_a == 4 && width_b == 4) return f(Four{}, Four{});
    if (width_a >= 2 && width_b >= 2) return f(Two{}, Two{});
    if (width_a == 4) return f(Four{}, One{});
    if (width_b == 4) return f(One{}, Four{});
  }
  f(One{}, One{});
}

/// Tiles: the choice of a tile type by the result's extents (FmaTiles, MmaTiles). a: x, b: w.
template <class Tiles, class T = typename Tiles::Value>
void run_fprop(cudaStream_t stream, const ConvShape& s, const Products<T>& products, T* y, bool accumulate) {
  const Gather g = gather_of_fprop(s);
  const std::int64_t rows = s.outputs();
  if (rows * s.out == 0) return;
  const int width = std::min(vector_width(s.in, products.a), vector_width(s.in, products.b));
  Tiles::choose(rows, s.out, [&]<class Tile>(Tile) {
    const std::int64_t tiles = tile_count<Tile>(rows, s.out);
    const Split split = split_depth<Tile>(tiles, products.count, g.depth());
    with_widths<Tile>(width, width, [&]<class Width>(Width, auto) {
      const Grid grid = tile_grid<Tile>(tiles, split, sizeof(typename Fprop<Tile, Width::value>::Shared));
      with_parts(stream, split, y, rows * s.out, accumulate, [&](const Output<T>& output) {
        launch<fprop_kernel<Tile, Width::value>>(stream, grid, g, s.out, products, split, output);
      });
    });
  });
}

/// a: y_bar, b: w.
template <class Tiles, class T = typename Tiles::Value>
void run_dgrad(cudaStream_t stream, const ConvShape& s, const Products<T>& products, T* x_bar, bool accumulate) {
  const std::int64_t n = s.inputs() * s.in;
  if (n == 0) return;
  // Blocks and parts are counted by the largest class; in the others some have nothing to do.
  const int classes = s.stride[0] * s.stride[1] * s.stride[2];
  std::int64_t rows = 0;
  std::int64_t depth = 0;
  for (int c = 0; c < classes; ++c) {
    const Gather g = dgrad_class(s, c).gather;
    rows = std::max<std::int64_t>(rows, g.positions());
    depth = std::max<std::int64_t>(depth, g.depth());
  }
  const int width_a = vector_width(s.out, products.a);
  const int width_b = vector_width(s.in, products.b);
  Tiles::choose(rows, s.in, [&]<class Tile>(Tile) {
    const std::int64_t tiles = tile_count<Tile>(rows, s.in);
    const Split split = split_depth<Tile>(tiles * classes, products.count, depth);
    with_widths<Tile>(width_a, width_b, [&]<class WidthA, class WidthB>(WidthA, WidthB) {
      with_parts(stream, split, x_bar, n, accumulate, [&](const Output<T>& output) {
        for (int first = 0; first < classes; first += DgradClasses::most) {
          const int count = std::min(DgradClasses::most, classes - first);
          DgradClasses launched{};
          for (int c = 0; c < count; ++c) launched.of[c] = dgrad_class(s, first + c);
          const Grid grid =
              tile_grid<Tile>(tiles * count, split, sizeof(typename Dgrad<Tile, WidthA::value, WidthB::value>::Shared));
          launch<dgrad_kernel<Tile, WidthA::value, WidthB::value>>(
              stream, grid, s, launched, static_cast<unsigned>(tiles), products, split, output);
        }
      });
    });
  });
}

/// a: x, b: y_bar.
template <class Tiles, class T = typename Tiles::Value>
void run_wgrad(cudaStream_t stream, const ConvShape& s, const Products<T>& products, T* w_bar, bool accumulate) {
  const Gather g = gather_of_fprop(s);
  const std::int64_t columns = g.depth();
  if (s.out * columns == 0) return;
  const int width_a = vector_width(s.out, products.b);
  const int width_b = vector_width(s.in, products.a);
  Tiles::choose(s.out, columns, [&]<class Tile>(Tile) {
    const std::int64_t tiles = tile_count<Tile>(s.out, columns);
    const Split split = split_depth<Tile>(tiles, products.count, s.outputs());
    with_widths<Tile>(width_a, width_b, [&]<class WidthA, class WidthB>(WidthA, WidthB) {
      const Grid grid =
          tile_grid<Tile>(tiles, split, sizeof(typename Wgrad<Tile, WidthA::value, WidthB::value>::Shared));
      with_parts(stream, split, w_bar, s.out * columns, accumulate, [&](const Output<T>& output) {
        launch<wgrad_kernel<Tile, WidthA::value, WidthB::value>>(stream, grid, g, s.out, products, split, output);
      });
    });
  });
}

}  // namespace mcn::MCN_DEVICE_NAMESPACE
