// Matrix products and sums over rows.
#include "kernels/cpu/matrix.h"

#include <algorithm>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/scratch.h"

namespace mcn::cpu {

template <class T>
void multiply(CachingAllocator& allocator, std::int64_t m, std::int64_t n, std::int64_t k, Matrix<T> a, Matrix<T> b,
              T* c, std::int64_t stride, bool accumulate) {
  if (m == 0 || n == 0) return;
  if (k == 0) {
    if (!accumulate)
      for (std::int64_t i = 0; i < m; ++i) std::fill_n(c + i * stride, n, T{0});
    return;
  }
  const PanelLayout<T> layout(1, k, n);
  const Scratch<T> packed(allocator, layout.packed_size());
  const std::int64_t origin = 0;
  layout.pack(b.data, &origin, b.transposed ? 1 : b.stride, b.transposed ? b.stride : 1, packed.get());

  // The register tile walks along rows of A.
  const Scratch<T> turned(allocator, a.transposed ? m * k : 0);
  if (a.transposed) {
    constexpr std::int64_t strip = 16;
    parallel_blocks(m, std::max(strip, row_grain(k)), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i0 = begin; i0 < end; i0 += strip)
        for (std::int64_t j = 0; j < k; ++j)
          for (std::int64_t i = i0; i < std::min(end, i0 + strip); ++i) turned[i * k + j] = a.data[j * a.stride + i];
    });
    a = {turned.get(), k, false};
  }
  const auto panels = static_cast<std::int64_t>(layout.panels().size());
  const TaskGrid grid = divide(m, k, n, panels);
  const std::int64_t block = grid.row_block;
  const Scratch<const T*> rows(allocator, grid.row_blocks * block);
  const Scratch<T*> targets(allocator, grid.row_blocks * block);
  for (std::int64_t i = 0; i < grid.row_blocks * block; ++i) {
    rows[i] = a.data + std::min(i, m - 1) * a.stride;
    targets[i] = c + std::min(i, m - 1) * stride;
  }
  parallel_tasks(grid.tasks(), [&](std::int64_t task) {
    const std::int64_t first = task / grid.panel_blocks * block;
    const std::int64_t panel = task % grid.panel_blocks * grid.panel_block;
    multiply_block(layout, packed.get(), rows.get() + first, block, targets.get() + first, std::min(m - first, block),
                   panel, std::min(panels, panel + grid.panel_block), accumulate);
  });
}

template void multiply(CachingAllocator&, std::int64_t, std::int64_t, std::int64_t, Matrix<float>, Matrix<float>,
                       float*, std::int64_t, bool);
template void multiply(CachingAllocator&, std::int64_t, std::int64_t, std::int64_t, Matrix<double>, Matrix<double>,
                       double*, std::int64_t, bool);

template <>
void CpuBackend::compute(const kernel::Gemm& k) {
  const bool transpose_a = k.transpose_a == Transpose::yes, transpose_b = k.transpose_b == Transpose::yes;
  dispatch_float(k.c.dtype, [&]<class T>(T) {
    multiply<T>(allocator_, k.c.shape[0], k.c.shape[1], k.a.shape[transpose_a ? 0 : 1],
                {k.a.as<T>(), k.a.shape[1], transpose_a}, {k.b.as<T>(), k.b.shape[1], transpose_b}, k.c.as<T>(),
                k.c.shape[1], k.mode == Mode::accumulate);
  });
}

template <>
void CpuBackend::compute(const kernel::AddBias& k) {
  dispatch_float(k.y.dtype, [&]<class T>(T) {
    const std::int64_t columns = k.y.shape.back();
    const T* b = k.bias.as<T>();
    parallel_blocks(k.y.shape.rows(), row_grain(columns), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        T* row = k.y.as<T>() + r * columns;
#pragma omp simd
        for (std::int64_t c = 0; c < columns; ++c) row[c] += b[c];
      }
    });
  });
}

template <>
void CpuBackend::compute(const kernel::SumRows& k) {
  dispatch_float(k.x.dtype, [&]<class T>(T) {
    const std::int64_t columns = k.x.shape.back();
    const std::int64_t rows = k.x.shape.rows();
    const std::int64_t grain = row_grain(columns);
    const std::int64_t blocks = ceil_div(rows, grain);
    const Scratch<double> partial(allocator_, blocks * columns);
    parallel_blocks(rows, grain, [&](std::int64_t begin, std::int64_t end) {
      double* sum = partial.get() + begin / grain * columns;
      std::fill_n(sum, columns, 0.0);
      for (std::int64_t r = begin; r < end; ++r) {
        const T* row = k.x.as<T>() + r * columns;
#pragma omp simd
        for (std::int64_t c = 0; c < columns; ++c) sum[c] += static_cast<double>(row[c]);
      }
    });
    T* o = k.out.as<T>();
    for (std::int64_t c = 0; c < columns; ++c) {
      double sum = k.mode == Mode::accumulate ? static_cast<double>(o[c]) : 0.0;
      for (std::int64_t b = 0; b < blocks; ++b) sum += partial[b * columns + c];
      o[c] = static_cast<T>(sum);
    }
  });
}

}  // namespace mcn::cpu
