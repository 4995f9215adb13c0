// Checks that operators share: dtype, backend and shape of their inputs.
#pragma once

#include <span>

#include "engine/operator.h"

namespace mcn::ops {

/// All inputs are there (or absent where `optional` says so, by index), of one floating-point dtype and one backend.
inline void check_inputs(std::string_view op, std::span<const Tensor> x, std::size_t required,
                         std::size_t optional = 0) {
  if (x.size() < required || x.size() > required + optional)
    fail(op, "expected {} inputs, got {}", required + optional, x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (!x[i]) {
      if (i < required) fail(op, "input {} is absent", i);
      continue;
    }
    if (x[i].dtype() != DType::f32 && x[i].dtype() != DType::f64)
      fail(op, "input {}: expected f32 or f64, got {}", i, name_of(x[i].dtype()));
    if (x[i].dtype() != x[0].dtype())
      fail(op, "input {} is {}, input 0 {}", i, name_of(x[i].dtype()), name_of(x[0].dtype()));
    if (&x[i].backend() != &x[0].backend())
      fail(op, "input {} is on {}, input 0 on {}", i, x[i].backend().name(), x[0].backend().name());
  }
}

inline void check_shape(std::string_view op, std::string_view what, const Shape& actual, const Shape& expected) {
  if (actual != expected) fail(op, "{}: expected shape {}, got {}", what, expected.str(), actual.str());
}

inline void check_rank(std::string_view op, std::string_view what, const Shape& shape, int rank) {
  if (shape.rank() != rank) fail(op, "{}: expected {} axes, got shape {}", what, rank, shape.str());
}

/// The i-th tangent, absent if the list is shorter.
inline Tensor at(std::span<const Tensor> x, std::size_t i) { return i < x.size() ? x[i] : Tensor(); }

/// A tensor like t where it is wanted, else absent.
inline Tensor like_if(bool wanted, const Tensor& t) { return wanted ? Tensor::like(t) : Tensor(); }

/// The list with what is not wanted made absent, for kernels that compute all cotangents at once.
inline Tensors only(Tensors bars, Wanted wanted) {
  for (std::size_t i = 0; i < bars.size(); ++i)
    if (!wanted[i]) bars[i] = Tensor();
  return bars;
}

/// One element of t's dtype and backend.
inline Tensor scalar_like(const Tensor& t) { return {t.backend(), t.dtype(), Shape{1}}; }

}  // namespace mcn::ops
