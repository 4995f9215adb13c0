// Reference pooling over windows of D, H, W.
#include <cmath>

#include "kernels/ref/ref_backend.h"
#include "kernels/ref/values.h"

namespace mcn::ref {
namespace {

// Calls f(y_pixel, x_pixel) for every tap of every window that is inside x, in row-major order. A pixel is a row of
// channels, counted over N, D, H, W.
template <class F>
void for_each_tap(const PoolParams& p, const Shape& x, const Shape& y, F&& f) {
  for (std::int64_t n = 0; n < y.n(); ++n)
    for (std::int64_t d = 0; d < y.d(); ++d)
      for (std::int64_t h = 0; h < y.h(); ++h)
        for (std::int64_t w = 0; w < y.w(); ++w)
          for (std::int64_t kd = 0; kd < p.kernel[0]; ++kd)
            for (std::int64_t kh = 0; kh < p.kernel[1]; ++kh)
              for (std::int64_t kw = 0; kw < p.kernel[2]; ++kw) {
                const std::int64_t xd = d * p.stride[0] - p.padding[0] + kd;
                const std::int64_t xh = h * p.stride[1] - p.padding[1] + kh;
                const std::int64_t xw = w * p.stride[2] - p.padding[2] + kw;
                const bool inside = xd >= 0 && xd < x.d() && xh >= 0 && xh < x.h() && xw >= 0 && xw < x.w();
                if (inside) f(((n * y.d() + d) * y.h() + h) * y.w() + w, ((n * x.d() + xd) * x.h() + xh) * x.w() + xw);
              }
}

// Calls f(y_element, x_element) for every output and the input that its index names.
template <class F>
void for_each_index(const Shape& x, ConstView index_view, F&& f) {
  const auto* index = index_view.as<std::int32_t>();
  const std::int64_t channels = x.c();
  const std::int64_t per_sample = index_view.numel() / x.n();
  for (std::int64_t i = 0; i < index_view.numel(); ++i) {
    const std::int64_t n = i / per_sample;
    f(i, (n * x.d() * x.h() * x.w() + index[i]) * channels + i % channels);
  }
}

double window_size(const PoolParams& p) { return static_cast<double>(p.kernel[0] * p.kernel[1] * p.kernel[2]); }

}  // namespace

template <>
void RefBackend::compute(const kernel::MaxPool& k) {
  const Values x = read(k.x);
  Values y(static_cast<std::size_t>(k.y.numel()));
  auto* index = k.index.as<std::int32_t>();
  std::fill(index, index + k.index.numel(), -1);
  const std::int64_t channels = k.x.shape.c();
  const std::int64_t sample_pixels = k.x.shape.d() * k.x.shape.h() * k.x.shape.w();
  for_each_tap(k.params, k.x.shape, k.y.shape, [&](std::int64_t y_pixel, std::int64_t x_pixel) {
    for (std::int64_t c = 0; c < channels; ++c) {
      double& best = y[y_pixel * channels + c];
      std::int32_t& where = index[y_pixel * channels + c];
      const double value = x[x_pixel * channels + c];
      if (where < 0 || value > best || (std::isnan(value) && !std::isnan(best))) {
        best = value;
        where = static_cast<std::int32_t>(x_pixel % sample_pixels);
      }
    }
  });
  write(y, k.y);
}

template <>
void RefBackend::compute(const kernel::MaxPoolGather& k) {
  const Values x_dot = read(k.x_dot);
  Values y_dot(static_cast<std::size_t>(k.y_dot.numel()));
  for_each_index(k.x_dot.shape, k.index, [&](std::int64_t y, std::int64_t x) { y_dot[y] = x_dot[x]; });
  write(y_dot, k.y_dot);
}

template <>
void RefBackend::compute(const kernel::MaxPoolScatter& k) {
  const Values y_bar = read(k.y_bar);
  Values x_bar(static_cast<std::size_t>(k.x_bar.numel()));
  for_each_index(k.x_bar.shape, k.index, [&](std::int64_t y, std::int64_t x) { x_bar[x] += y_bar[y]; });
  write(x_bar, k.x_bar);
}

template <>
void RefBackend::compute(const kernel::AvgPool& k) {
  const Values x = read(k.x);
  Values y(static_cast<std::size_t>(k.y.numel()));
  const std::int64_t channels = k.x.shape.c();
  for_each_tap(k.params, k.x.shape, k.y.shape, [&](std::int64_t y_pixel, std::int64_t x_pixel) {
    for (std::int64_t c = 0; c < channels; ++c) y[y_pixel * channels + c] += x[x_pixel * channels + c];
  });
  for (double& v : y) v /= window_size(k.params);
  write(y, k.y);
}

template <>
void RefBackend::compute(const kernel::AvgPoolAdjoint& k) {
  const Values y_bar = read(k.y_bar);
  Values x_bar(static_cast<std::size_t>(k.x_bar.numel()));
  const std::int64_t channels = k.x_bar.shape.c();
  for_each_tap(k.params, k.x_bar.shape, k.y_bar.shape, [&](std::int64_t y_pixel, std::int64_t x_pixel) {
    for (std::int64_t c = 0; c < channels; ++c) x_bar[x_pixel * channels + c] += y_bar[y_pixel * channels + c];
  });
  for (double& v : x_bar) v /= window_size(k.params);
  write(x_bar, k.x_bar);
}

}  // namespace mcn::ref
