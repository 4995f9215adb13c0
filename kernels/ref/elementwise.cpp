// Reference elementwise kernels and reductions to a scalar.
#include <cmath>

#include "kernels/ref/ref_backend.h"
#include "kernels/ref/values.h"

namespace mcn::ref {

void RefBackend::fill(double value, View y) {
  count_kernel();
  write(Values(static_cast<std::size_t>(y.numel()), value), y);
}

void RefBackend::scale(double alpha, ConstView x, View y) {
  count_kernel();
  Values v = read(x);
  for (double& e : v) e *= alpha;
  write(v, y);
}

void RefBackend::axpy(double alpha, std::span<const ConstView> xs, std::span<const View> ys) {
  count_kernel();
  for (std::size_t n = 0; n < ys.size(); ++n) {
    const Values x = read(xs[n]);
    Values y = read(ys[n]);
    for (std::size_t i = 0; i < y.size(); ++i) y[i] += alpha * x[i];
    write(y, ys[n]);
  }
}

void RefBackend::add(ConstView a_view, ConstView b_view, View y_view) {
  count_kernel();
  const Values a = read(a_view);
  const Values b = read(b_view);
  Values y(a.size());
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = a[i] + b[i];
  write(y, y_view);
}

void RefBackend::relu(ConstView x, View y) {
  count_kernel();
  Values v = read(x);
  for (double& e : v) e = e < 0 ? 0.0 : e;  // NaN stays NaN
  write(v, y);
}

void RefBackend::relu_mask(ConstView y_view, ConstView g_view, View out_view) {
  count_kernel();
  const Values y = read(y_view);
  const Values g = read(g_view);
  Values out(g.size());
  // A NaN in y lets g pass, so that it is not hidden as a zero.
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = y[i] > 0 || std::isnan(y[i]) ? g[i] : 0.0;
  write(out, out_view);
}

double RefBackend::dot(std::span<const ConstView> as, std::span<const ConstView> bs) {
  count_kernel();
  double sum = 0;
  for (std::size_t n = 0; n < as.size(); ++n) {
    const Values a = read(as[n]);
    const Values b = read(bs[n]);
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  }
  return sum;
}

bool RefBackend::all_finite(std::span<const ConstView> xs) {
  count_kernel();
  for (const ConstView& x : xs)
    for (const double v : read(x))
      if (!std::isfinite(v)) return false;
  return true;
}

}  // namespace mcn::ref
