// Reference matrix products and row sums.
#include "kernels/ref/ref_backend.h"
#include "kernels/ref/values.h"

namespace mcn::ref {
namespace {

// op(a), row-major.
Values read_op(Transpose transpose, ConstView view) {
  Values a = read(view);
  if (transpose == Transpose::no) return a;
  const std::int64_t rows = view.shape[0];
  const std::int64_t columns = view.shape[1];
  Values t(a.size());
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c) t[c * rows + r] = a[r * columns + c];
  return t;
}

}  // namespace

template <>
void RefBackend::compute(const kernel::Gemm& k) {
  const Values a = read_op(k.transpose_a, k.a);
  const Values b = read_op(k.transpose_b, k.b);
  Values c = start(k.c, k.mode);
  const std::int64_t m = k.c.shape[0];
  const std::int64_t n = k.c.shape[1];
  const std::int64_t depth = k.a.shape[k.transpose_a == Transpose::yes ? 0 : 1];
  for (std::int64_t row = 0; row < m; ++row)
    for (std::int64_t inner = 0; inner < depth; ++inner)
      for (std::int64_t column = 0; column < n; ++column)
        c[row * n + column] += a[row * depth + inner] * b[inner * n + column];
  write(c, k.c);
}

template <>
void RefBackend::compute(const kernel::AddBias& k) {
  const Values bias = read(k.bias);
  Values y = read(k.y);
  for (std::size_t i = 0; i < y.size(); ++i) y[i] += bias[i % bias.size()];
  write(y, k.y);
}

template <>
void RefBackend::compute(const kernel::SumRows& k) {
  const Values x = read(k.x);
  Values out = start(k.out, k.mode);
  for (std::size_t i = 0; i < x.size(); ++i) out[i % out.size()] += x[i];
  write(out, k.out);
}

}  // namespace mcn::ref
