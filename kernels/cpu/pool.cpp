// Max and average pooling. Inner loops run over channels, which are contiguous.
#include <algorithm>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"

namespace mcn::cpu {
namespace {

struct Range {
  std::int64_t begin, end;
};

// Places of the window of output o that lie inside an axis of the given extent.
Range window(const PoolParams& params, std::size_t axis, std::int64_t o, std::int64_t extent) {
  const std::int64_t begin = o * params.stride[axis] - params.padding[axis];
  return {std::max<std::int64_t>(0, begin), std::min(extent, begin + params.kernel[axis])};
}

// Outputs whose window holds place i.
Range windows_over(const PoolParams& params, std::size_t axis, std::int64_t i, std::int64_t outputs) {
  const std::int64_t p = i + params.padding[axis];
  const std::int64_t step = params.stride[axis];
  const std::int64_t first = p - params.kernel[axis] + 1;
  return {first <= 0 ? 0 : ceil_div(first, step), std::min(outputs, p / step + 1)};
}

struct Place {
  std::int64_t n, d, h, w;
};
Place place_of(const Shape& s, std::int64_t row) {
  const std::int64_t line = row / s.w();
  const std::int64_t plane = line / s.h();
  return {plane / s.d(), plane % s.d(), line % s.h(), row % s.w()};
}
std::int64_t row_of(const Shape& s, const Place& p) { return ((p.n * s.d() + p.d) * s.h() + p.h) * s.w() + p.w; }

double window_size(const PoolParams& params) {
  return static_cast<double>(params.kernel[0] * params.kernel[1] * params.kernel[2]);
}

}  // namespace

template <>
void CpuBackend::compute(const kernel::MaxPool& k) {
  dispatch_float(k.x.dtype, [&]<class T>(T) {
    const std::int64_t channels = k.y.shape.c();
    const Shape& xs = k.x.shape;
    parallel_blocks(k.y.shape.rows(), row_grain(channels * 8), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const Place o = place_of(k.y.shape, row);
        T* best = k.y.as<T>() + row * channels;
        auto* where = k.index.as<std::int32_t>() + row * channels;
        const Range rd = window(k.params, 0, o.d, xs.d());
        const Range rh = window(k.params, 1, o.h, xs.h());
        const Range rw = window(k.params, 2, o.w, xs.w());
        bool first = true;
        for (std::int64_t d = rd.begin; d < rd.end; ++d)
          for (std::int64_t h = rh.begin; h < rh.end; ++h)
            for (std::int64_t w = rw.begin; w < rw.end; ++w) {
              const T* in = k.x.as<T>() + row_of(xs, {o.n, d, h, w}) * channels;
              const auto position = static_cast<std::int32_t>((d * xs.h() + h) * xs.w() + w);
              if (first) {
                std::copy_n(in, channels, best);
                std::fill_n(where, channels, position);
                first = false;
                continue;
              }
#pragma omp simd
              for (std::int64_t c = 0; c < channels; ++c) {
                // The first NaN stays: nothing is greater than it, and it is not replaced by another.
                const bool better = in[c] > best[c] || (in[c] != in[c] && best[c] == best[c]);
                best[c] = better ? in[c] : best[c];
                where[c] = better ? position : where[c];
              }
            }
      }
    });
  });
}

template <>
void CpuBackend::compute(const kernel::MaxPoolGather& k) {
  dispatch_float(k.x_dot.dtype, [&]<class T>(T) {
    const std::int64_t channels = k.y_dot.shape.c();
    const std::int64_t in_rows = k.x_dot.shape.d() * k.x_dot.shape.h() * k.x_dot.shape.w();
    const std::int64_t out_rows = k.y_dot.shape.d() * k.y_dot.shape.h() * k.y_dot.shape.w();
    parallel_blocks(k.y_dot.shape.rows(), row_grain(channels), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const T* in = k.x_dot.as<T>() + row / out_rows * in_rows * channels;
        const auto* where = k.index.as<std::int32_t>() + row * channels;
        T* out = k.y_dot.as<T>() + row * channels;
        for (std::int64_t c = 0; c < channels; ++c) out[c] = in[where[c] * channels + c];
      }
    });
  });
}

template <>
void CpuBackend::compute(const kernel::MaxPoolScatter& k) {
  dispatch_float(k.y_bar.dtype, [&]<class T>(T) {
    const std::int64_t channels = k.y_bar.shape.c();
    const std::int64_t in_rows = k.x_bar.shape.d() * k.x_bar.shape.h() * k.x_bar.shape.w();
    const std::int64_t out_rows = k.y_bar.shape.d() * k.y_bar.shape.h() * k.y_bar.shape.w();
    // A clip a task: windows overlap, so that outputs of one clip may add to the same place.
    parallel_tasks(k.x_bar.shape.n(), [&](std::int64_t n) {
      T* out = k.x_bar.as<T>() + n * in_rows * channels;
      std::fill_n(out, in_rows * channels, T{0});
      for (std::int64_t row = n * out_rows; row < (n + 1) * out_rows; ++row) {
        const T* in = k.y_bar.as<T>() + row * channels;
        const auto* where = k.index.as<std::int32_t>() + row * channels;
        for (std::int64_t c = 0; c < channels; ++c) out[where[c] * channels + c] += in[c];
      }
    });
  });
}

template <>
void CpuBackend::compute(const kernel::AvgPool& k) {
  dispatch_float(k.x.dtype, [&]<class T>(T) {
    const std::int64_t channels = k.y.shape.c();
    const Shape& xs = k.x.shape;
    const T share = static_cast<T>(1.0 / window_size(k.params));
    const auto reads = static_cast<std::int64_t>(window_size(k.params));
    parallel_blocks(k.y.shape.rows(), row_grain(channels * reads), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const Place o = place_of(k.y.shape, row);
        T* out = k.y.as<T>() + row * channels;
        const Range rd = window(k.params, 0, o.d, xs.d());
        const Range rh = window(k.params, 1, o.h, xs.h());
        const Range rw = window(k.params, 2, o.w, xs.w());
        std::fill_n(out, channels, T{0});
        for (std::int64_t d = rd.begin; d < rd.end; ++d)
          for (std::int64_t h = rh.begin; h < rh.end; ++h)
            for (std::int64_t w = rw.begin; w < rw.end; ++w) {
              const T* in = k.x.as<T>() + row_of(xs, {o.n, d, h, w}) * channels;
#pragma omp simd
              for (std::int64_t c = 0; c < channels; ++c) out[c] += in[c];
            }
#pragma omp simd
        for (std::int64_t c = 0; c < channels; ++c) out[c] *= share;
      }
    });
  });
}

template <>
void CpuBackend::compute(const kernel::AvgPoolAdjoint& k) {
  dispatch_float(k.y_bar.dtype, [&]<class T>(T) {
    const std::int64_t channels = k.x_bar.shape.c();
    const Shape& ys = k.y_bar.shape;
    const T share = static_cast<T>(1.0 / window_size(k.params));
    parallel_blocks(k.x_bar.shape.rows(), row_grain(channels), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const Place i = place_of(k.x_bar.shape, row);
        T* out = k.x_bar.as<T>() + row * channels;
        const Range rd = windows_over(k.params, 0, i.d, ys.d());
        const Range rh = windows_over(k.params, 1, i.h, ys.h());
        const Range rw = windows_over(k.params, 2, i.w, ys.w());
        std::fill_n(out, channels, T{0});
        for (std::int64_t d = rd.begin; d < rd.end; ++d)
          for (std::int64_t h = rh.begin; h < rh.end; ++h)
            for (std::int64_t w = rw.begin; w < rw.end; ++w) {
              const T* in = k.y_bar.as<T>() + row_of(ys, {i.n, d, h, w}) * channels;
#pragma omp simd
              for (std::int64_t c = 0; c < channels; ++c) out[c] += share * in[c];
            }
      }
    });
  });
}

}  // namespace mcn::cpu
