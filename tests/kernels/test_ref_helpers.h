// What the tests of the reference kernels share: float64 arrays with a shape, and central differences.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "engine/random.h"
#include "kernels/backend.h"
#include "tests/catch.h"
#include "tests/tolerances.h"

namespace mcn::test {

/// A float64 tensor of the host, which is what the `ref` backend computes on.
struct Array {
  Shape shape;
  std::vector<double> values;

  Array() = default;
  explicit Array(const Shape& s) : shape(s), values(static_cast<std::size_t>(s.numel())) {}
  Array(const Shape& s, std::vector<double> v) : shape(s), values(std::move(v)) {}
  /// Standard normal numbers.
  static Array random(const Shape& s, std::uint64_t stream) {
    Array a(s);
    Philox philox(7, stream);
    for (double& v : a.values) v = philox.normal();
    return a;
  }

  operator View() { return {values.data(), DType::f64, shape}; }             // NOLINT(google-explicit-constructor)
  operator ConstView() const { return {values.data(), DType::f64, shape}; }  // NOLINT(google-explicit-constructor)
  double& operator[](std::size_t i) { return values[i]; }
  double operator[](std::size_t i) const { return values[i]; }
  [[nodiscard]] Array moved(double step, const Array& direction) const {
    Array a = *this;
    for (std::size_t i = 0; i < values.size(); ++i) a[i] += step * direction[i];
    return a;
  }
};

struct Labels {
  std::vector<std::int64_t> values;
  operator ConstView() const {  // NOLINT(google-explicit-constructor)
    return {values.data(), DType::i64, {static_cast<std::int64_t>(values.size())}};
  }
};

inline double inner(const Array& a, const Array& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// Largest difference, relative to the largest value; NaN if any value is.
inline double difference(const Array& a, const Array& b) {
  REQUIRE(a.values.size() == b.values.size());
  double worst = 0;
  double scale = 1e-30;
  for (std::size_t i = 0; i < a.values.size(); ++i) {
    const double error = std::abs(a[i] - b[i]);
    if (std::isnan(error)) return error;
    worst = std::max(worst, error);
    scale = std::max(scale, std::abs(b[i]));
  }
  return worst / scale;
}

/// d f(t) / dt at 0.
inline Array central_difference(const std::function<Array(double)>& f, double step = 1e-5) {
  Array plus = f(step);
  const Array minus = f(-step);
  for (std::size_t i = 0; i < plus.values.size(); ++i) plus[i] = (plus[i] - minus[i]) / (2 * step);
  return plus;
}

}  // namespace mcn::test
