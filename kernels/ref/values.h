// How the reference kernels read and write tensors: float32 and float64 both become lists of double, so that a kernel
// is written once and rounds once.
#pragma once

#include <vector>

#include "kernels/view.h"

namespace mcn::ref {

using Values = std::vector<double>;

inline Values read(ConstView x) {
  return dispatch_float(x.dtype, [&](auto zero) {
    const auto* p = x.as<decltype(zero)>();
    return Values(p, p + x.numel());
  });
}

/// An absent tensor is zero.
inline Values read_or_zeros(ConstView x, std::int64_t numel) {
  return x ? read(x) : Values(static_cast<std::size_t>(numel));
}

/// What a kernel with a Mode adds its result to.
inline Values start(View y, Mode mode) { return read_or_zeros(mode == Mode::accumulate ? y : ConstView{}, y.numel()); }

/// Writes nothing where the output is not wanted.
inline void write(const Values& values, View y) {
  if (!y) return;
  dispatch_float(y.dtype, [&](auto zero) {
    using T = decltype(zero);
    T* p = y.as<T>();
    for (std::size_t i = 0; i < values.size(); ++i) p[i] = static_cast<T>(values[i]);
  });
}

inline double read_scalar(ConstView x) { return x ? read(x).front() : 0.0; }
inline void write_scalar(double value, View y) { write({value}, y); }

}  // namespace mcn::ref
