// Reference matrix products and row sums.
#include "kernels/ref/ref_backend.h"
#include "kernels/ref/values.h"

namespace mcn::ref {
namespace {

// op(a), row-major.
Values read_op(bool transpose, ConstView view) {
  Values a = read(view);
  if (!transpose) return a;
  const std::int64_t rows = view.shape[0];
  const std::int64_t columns = view.shape[1];
  Values t(a.size());
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c) t[c * rows + r] = a[r * columns + c];
  return t;
}

}  // namespace

void RefBackend::gemm(bool transpose_a, bool transpose_b, ConstView a_view, ConstView b_view, View c_view, Mode mode) {
  count_kernel();
  const Values a = read_op(transpose_a, a_view);
  const Values b = read_op(transpose_b, b_view);
  Values c = start(c_view, mode);
  const std::int64_t m = c_view.shape[0];
  const std::int64_t n = c_view.shape[1];
  const std::int64_t k = a_view.shape[transpose_a ? 0 : 1];
  for (std::int64_t row = 0; row < m; ++row)
    for (std::int64_t inner = 0; inner < k; ++inner)
      for (std::int64_t column = 0; column < n; ++column)
        c[row * n + column] += a[row * k + inner] * b[inner * n + column];
  write(c, c_view);
}

void RefBackend::add_bias(ConstView bias_view, View y_view) {
  count_kernel();
  const Values bias = read(bias_view);
  Values y = read(y_view);
  for (std::size_t i = 0; i < y.size(); ++i) y[i] += bias[i % bias.size()];
  write(y, y_view);
}

void RefBackend::sum_rows(ConstView x_view, View out_view, Mode mode) {
  count_kernel();
  const Values x = read(x_view);
  Values out = start(out_view, mode);
  for (std::size_t i = 0; i < x.size(); ++i) out[i % out.size()] += x[i];
  write(out, out_view);
}

}  // namespace mcn::ref
