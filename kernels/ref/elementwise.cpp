// Reference elementwise kernels and reductions to a scalar.
#include <cmath>

#include "kernels/ref/ref_backend.h"
#include "kernels/ref/values.h"

namespace mcn::ref {

template <>
void RefBackend::compute(const kernel::Fill& k) {
  write(Values(static_cast<std::size_t>(k.y.numel()), k.value), k.y);
}

template <>
void RefBackend::compute(const kernel::Scale& k) {
  Values v = read(k.x);
  for (double& e : v) e *= k.alpha;
  write(v, k.y);
}

template <>
void RefBackend::compute(const kernel::Axpy& k) {
  for (std::size_t n = 0; n < k.y.size(); ++n) {
    const Values x = read(k.x[n]);
    Values y = read(k.y[n]);
    for (std::size_t i = 0; i < y.size(); ++i) y[i] += k.alpha * x[i];
    write(y, k.y[n]);
  }
}

template <>
void RefBackend::compute(const kernel::Add& k) {
  const Values a = read(k.a);
  const Values b = read(k.b);
  Values y(a.size());
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = a[i] + b[i];
  write(y, k.y);
}

template <>
void RefBackend::compute(const kernel::Relu& k) {
  Values v = read(k.x);
  for (double& e : v) e = e < 0 ? 0.0 : e;  // NaN stays NaN
  write(v, k.y);
}

template <>
void RefBackend::compute(const kernel::ReluMask& k) {
  const Values y = read(k.y);
  const Values g = read(k.g);
  Values out(g.size());
  // A NaN in y lets g pass, so that it is not hidden as a zero.
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = y[i] > 0 || std::isnan(y[i]) ? g[i] : 0.0;
  write(out, k.out);
}

template <>
double RefBackend::compute(const kernel::Dot& k) {
  double sum = 0;
  for (std::size_t n = 0; n < k.a.size(); ++n) {
    const Values a = read(k.a[n]);
    const Values b = read(k.b[n]);
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  }
  return sum;
}

template <>
bool RefBackend::compute(const kernel::AllFinite& k) {
  for (const ConstView& x : k.x)
    for (const double v : read(x))
      if (!std::isfinite(v)) return false;
  return true;
}

}  // namespace mcn::ref
