// Reference 3-D convolution. All three maps walk the same rows of multiply-adds, in an order that keeps a contiguous
// run of channels innermost: whole networks are run on this backend in tests.
#include <algorithm>

#include "kernels/ref/ref_backend.h"
#include "kernels/ref/values.h"

namespace mcn::ref {
namespace {

struct Range {
  std::int64_t begin, end;
};

// The outputs along one axis whose tap k falls on an element of x rather than on padding.
Range outputs_of_tap(std::int64_t k, std::int64_t stride, std::int64_t padding, std::int64_t in, std::int64_t out) {
  const std::int64_t first = padding - k;          // output * stride >= first
  const std::int64_t last = in - 1 + padding - k;  // output * stride <= last
  if (last < 0) return {0, 0};
  return {first > 0 ? (first + stride - 1) / stride : 0, std::min(last / stride + 1, out)};
}

struct Row {
  std::int64_t tap;      // (kd * KH + kh) * KW + kw
  std::int64_t x_pixel;  // ((n * D + d) * H + h) * W + w under the first output
  std::int64_t y_pixel;  // the first output
  std::int64_t count;    // outputs along W; x steps by the stride of W
};

template <class F>
void for_each_row(const Conv3dParams& p, const Shape& x, const Shape& w, const Shape& y, F&& f) {
  const auto tap_range = [&](int axis, std::int64_t k) {
    const auto a = static_cast<std::size_t>(axis - 1);
    return outputs_of_tap(k, p.stride[a], p.padding[a], x[axis], y[axis]);
  };
  for (std::int64_t kd = 0; kd < w.kd(); ++kd)
    for (std::int64_t kh = 0; kh < w.kh(); ++kh)
      for (std::int64_t kw = 0; kw < w.kw(); ++kw) {
        const Range ds = tap_range(1, kd);
        const Range hs = tap_range(2, kh);
        const Range ws = tap_range(3, kw);
        if (ws.begin >= ws.end) continue;
        for (std::int64_t n = 0; n < y.n(); ++n)
          for (std::int64_t d = ds.begin; d < ds.end; ++d)
            for (std::int64_t h = hs.begin; h < hs.end; ++h) {
              const std::int64_t xd = d * p.stride[0] - p.padding[0] + kd;
              const std::int64_t xh = h * p.stride[1] - p.padding[1] + kh;
              const std::int64_t xw = ws.begin * p.stride[2] - p.padding[2] + kw;
              f(Row{(kd * w.kh() + kh) * w.kw() + kw, ((n * x.d() + xd) * x.h() + xh) * x.w() + xw,
                    ((n * y.d() + d) * y.h() + h) * y.w() + ws.begin, ws.end - ws.begin});
            }
      }
}

// y += factor * x
void add_multiple(double factor, const double* x, double* y, std::int64_t count) {
  for (std::int64_t c = 0; c < count; ++c) y[c] += factor * x[c];
}

std::int64_t taps(const Shape& w) { return w.kd() * w.kh() * w.kw(); }

// sums[n d h w, o] += sum over taps and i of x[.., i] w[o, tap, i]
void add_fprop(const Conv3dParams& p, ConstView x_view, ConstView w_view, const Shape& y_shape, Values& sums) {
  const Values x = read(x_view);
  const Values w = read(w_view);
  const std::int64_t in = x_view.shape.c();
  const std::int64_t out = y_shape.c();
  const std::int64_t tap_count = taps(w_view.shape);
  Values w_tio(w.size());
  for (std::int64_t o = 0; o < out; ++o)
    for (std::int64_t ti = 0; ti < tap_count * in; ++ti) w_tio[ti * out + o] = w[o * tap_count * in + ti];
  for_each_row(p, x_view.shape, w_view.shape, y_shape, [&](const Row& row) {
    for (std::int64_t i = 0; i < in; ++i)
      for (std::int64_t j = 0; j < row.count; ++j)
        add_multiple(x[(row.x_pixel + j * p.stride[2]) * in + i], &w_tio[(row.tap * in + i) * out],
                     &sums[(row.y_pixel + j) * out], out);
  });
}

// sums[n d h w, i] += sum over taps and o of y_bar[.., o] w[o, tap, i]
void add_dgrad(const Conv3dParams& p, ConstView y_bar_view, ConstView w_view, const Shape& x_shape, Values& sums) {
  const Values y_bar = read(y_bar_view);
  const Values w = read(w_view);
  const std::int64_t in = x_shape.c();
  const std::int64_t out = y_bar_view.shape.c();
  const std::int64_t tap_count = taps(w_view.shape);
  for_each_row(p, x_shape, w_view.shape, y_bar_view.shape, [&](const Row& row) {
    for (std::int64_t o = 0; o < out; ++o)
      for (std::int64_t j = 0; j < row.count; ++j)
        add_multiple(y_bar[(row.y_pixel + j) * out + o], &w[(o * tap_count + row.tap) * in],
                     &sums[(row.x_pixel + j * p.stride[2]) * in], in);
  });
}

// sums[o, tap, i] += sum over outputs of y_bar[.., o] x[.., i]
void add_wgrad(const Conv3dParams& p, ConstView x_view, ConstView y_bar_view, const Shape& w_shape, Values& sums) {
  const Values x = read(x_view);
  const Values y_bar = read(y_bar_view);
  const std::int64_t in = x_view.shape.c();
  const std::int64_t out = y_bar_view.shape.c();
  const std::int64_t tap_count = taps(w_shape);
  for_each_row(p, x_view.shape, w_shape, y_bar_view.shape, [&](const Row& row) {
    for (std::int64_t o = 0; o < out; ++o)
      for (std::int64_t j = 0; j < row.count; ++j)
        add_multiple(y_bar[(row.y_pixel + j) * out + o], &x[(row.x_pixel + j * p.stride[2]) * in],
                     &sums[(o * tap_count + row.tap) * in], in);
  });
}

}  // namespace

template <>
void RefBackend::compute(const kernel::Conv3dFprop& k) {
  require_precision(k.params.precision);
  Values sums = start(k.y, k.mode);
  for (const ConvProduct& product : k.products) add_fprop(k.params, product.a, product.b, k.y.shape, sums);
  write(sums, k.y);
}

template <>
void RefBackend::compute(const kernel::Conv3dDgrad& k) {
  require_precision(k.params.precision);
  Values sums = start(k.x_bar, k.mode);
  for (const ConvProduct& product : k.products) add_dgrad(k.params, product.a, product.b, k.x_bar.shape, sums);
  write(sums, k.x_bar);
}

template <>
void RefBackend::compute(const kernel::Conv3dWgrad& k) {
  require_precision(k.params.precision);
  Values sums = start(k.w_bar, k.mode);
  for (const ConvProduct& product : k.products) add_wgrad(k.params, product.a, product.b, k.w_bar.shape, sums);
  write(sums, k.w_bar);
}

}  // namespace mcn::ref
