// Power iteration.
#include "meta/curvature.h"

#include <algorithm>
#include <cmath>

#include "engine/random.h"
#include "kernels/range.h"

namespace mcn {
namespace {

// In place where nobody shares the memory.
void scale(double factor, Tensors& v) {
  for (Tensor& t : v) {
    if (!t) continue;
    if (!t.unique()) t = t.clone();
    t.backend().run(kernel::Scale{.alpha = factor, .x = t, .y = t});
  }
}

// A vector of length 0 stays: a device on which nothing runs reads zeros.
double normalise(Tensors& v) {
  const double length = std::sqrt(dot(v, v));
  if (length > 0) scale(1 / length, v);
  return length;
}

}  // namespace

Curvature top_eigenvalue(const Tensors& theta, const LossFunction& loss, const Tensors& start, int products,
                         const std::vector<bool>& inner) {
  if (products < 1) fail("curvature", "expected at least 1 Hessian product, got {}", products);
  const Range range("curvature");
  GradientTape tape = gradient_tape(theta, loss, After::keep, inner);
  tape.gradient.clear();
  Curvature result;
  result.vector = inner_part(start, inner);
  normalise(result.vector);
  for (int i = 0; i < products; ++i) {
    const After after = i + 1 < products ? After::keep : After::release;
    Tensors hv = inner_part(tape.tape.hessian_vector(tape.theta, result.vector, after), inner);
    const double quotient = dot(result.vector, hv);
    result.vector = std::move(hv);
    const double length = normalise(result.vector);
    result.eigenvalue = std::copysign(length, quotient);
    result.alignment = length > 0 ? std::abs(quotient) / length : 0;
  }
  return result;
}

Tensors random_direction(const Tensors& like, std::uint64_t seed) {
  constexpr std::uint64_t direction_stream = 0xC02E;
  Tensors v;
  for (std::size_t i = 0; i < like.size(); ++i) {
    Philox random(seed, hash_stream(direction_stream, i));
    std::vector<double> values(static_cast<std::size_t>(like[i].numel()));
    for (double& x : values) x = random.normal();
    v.push_back(Tensor::from(like[i].backend(), like[i].dtype(), like[i].shape(), std::span<const double>(values)));
  }
  return v;
}

double stable_inner_lr(double eigenvalue) {
  constexpr double share = 0.5, most = 1;
  return std::min(most, share / std::abs(eigenvalue));
}

}  // namespace mcn
