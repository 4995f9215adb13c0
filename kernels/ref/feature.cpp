// Reference kernels on feature vectors: L2 normalisation, pairing, and the rows of a memory bank.
#include <cmath>
#include <cstring>

#include "kernels/ref/ref_backend.h"
#include "kernels/ref/values.h"

namespace mcn::ref {
namespace {

double dot_rows(const Values& a, const Values& b, std::int64_t row, std::int64_t size) {
  double sum = 0;
  for (std::int64_t c = 0; c < size; ++c) sum += a[row * size + c] * b[row * size + c];
  return sum;
}

// max(length, eps), but NaN for NaN.
double divisor(double length, double eps) { return length <= eps ? eps : length; }

// The divisor was the constant eps. norm holds it rounded to its dtype.
bool is_constant(double norm, double eps, DType dtype) {
  return norm <= (dtype == DType::f32 ? static_cast<double>(static_cast<float>(eps)) : eps);
}

// Every pair of a row of a with a row of b, and where the two halves of its features lie in y.
struct Pairs {
  std::int64_t rows, size;
  Values a, b;
  Pairs(ConstView a_view, ConstView b_view)
      : rows(a_view.shape[0]), size(a_view.shape[1]), a(read(a_view)), b(read(b_view)) {}

  // Calls f(ic, jc, product, difference): elements of a, of b, and of the two halves of y.
  template <class F>
  void for_each(F&& f) const {
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < rows; ++j)
        for (std::int64_t c = 0; c < size; ++c) {
          const std::int64_t product = (i * rows + j) * 2 * size + c;
          f(i * size + c, j * size + c, product, product + size);
        }
  }
};

}  // namespace

void RefBackend::l2_normalize_forward(double eps, ConstView x_view, View y_view, View norm_view) {
  count_kernel();
  const Values x = read(x_view);
  const std::int64_t rows = x_view.shape[0];
  const std::int64_t size = x_view.shape[1];
  Values y(x.size());
  Values norm(static_cast<std::size_t>(rows));
  for (std::int64_t r = 0; r < rows; ++r) {
    norm[r] = divisor(std::sqrt(dot_rows(x, x, r, size)), eps);
    for (std::int64_t c = 0; c < size; ++c) y[r * size + c] = x[r * size + c] / norm[r];
  }
  write(y, y_view);
  write(norm, norm_view);
}

void RefBackend::l2_normalize_vjp(double eps, ConstView y_view, ConstView norm_view, ConstView y_bar_view,
                                  View x_bar_view) {
  count_kernel();
  const Values y = read(y_view);
  const Values norm = read(norm_view);
  const Values g = read_or_zeros(y_bar_view, y_view.numel());
  const std::int64_t size = y_view.shape[1];
  Values x_bar(y.size());
  for (std::int64_t r = 0; r < y_view.shape[0]; ++r) {
    const double along = is_constant(norm[r], eps, norm_view.dtype) ? 0.0 : dot_rows(y, g, r, size);
    for (std::int64_t rc = r * size; rc < (r + 1) * size; ++rc) x_bar[rc] = (g[rc] - y[rc] * along) / norm[r];
  }
  write(x_bar, x_bar_view);
}

void RefBackend::l2_normalize_jvp(double eps, ConstView y_view, ConstView norm_view, ConstView x_dot_view,
                                  View y_dot_view, View norm_dot_view) {
  count_kernel();
  const Values y = read(y_view);
  const Values norm = read(norm_view);
  const Values x_dot = read_or_zeros(x_dot_view, y_view.numel());
  const std::int64_t size = y_view.shape[1];
  Values y_dot(y.size());
  Values norm_dot(norm.size());
  for (std::int64_t r = 0; r < y_view.shape[0]; ++r) {
    norm_dot[r] = is_constant(norm[r], eps, norm_view.dtype) ? 0.0 : dot_rows(y, x_dot, r, size);
    for (std::int64_t rc = r * size; rc < (r + 1) * size; ++rc) y_dot[rc] = (x_dot[rc] - y[rc] * norm_dot[r]) / norm[r];
  }
  write(y_dot, y_dot_view);
  write(norm_dot, norm_dot_view);
}

void RefBackend::l2_normalize_vjp_dot(double eps, ConstView y_view, ConstView norm_view, ConstView y_dot_view,
                                      ConstView norm_dot_view, ConstView y_bar_view, ConstView y_bar_dot_view,
                                      View x_bar_dot_view) {
  count_kernel();
  const Values y = read(y_view);
  const Values norm = read(norm_view);
  const Values y_dot = read_or_zeros(y_dot_view, y_view.numel());
  const Values norm_dot = read_or_zeros(norm_dot_view, norm_view.numel());
  const Values g = read_or_zeros(y_bar_view, y_view.numel());
  const Values g_dot = read_or_zeros(y_bar_dot_view, y_view.numel());
  const std::int64_t size = y_view.shape[1];
  Values out(y.size());
  for (std::int64_t r = 0; r < y_view.shape[0]; ++r) {
    const bool constant = is_constant(norm[r], eps, norm_view.dtype);
    const double along = constant ? 0.0 : dot_rows(y, g, r, size);
    const double along_dot = constant ? 0.0 : dot_rows(y_dot, g, r, size) + dot_rows(y, g_dot, r, size);
    for (std::int64_t rc = r * size; rc < (r + 1) * size; ++rc) {
      const double x_bar = (g[rc] - y[rc] * along) / norm[r];
      out[rc] = (g_dot[rc] - y_dot[rc] * along - y[rc] * along_dot - x_bar * norm_dot[r]) / norm[r];
    }
  }
  write(out, x_bar_dot_view);
}

void RefBackend::pairing_forward(double scale, ConstView a_view, ConstView b_view, View y_view) {
  count_kernel();
  const Pairs p(a_view, b_view);
  Values y(static_cast<std::size_t>(y_view.numel()));
  p.for_each([&](auto i, auto j, auto product, auto difference) {
    y[product] = scale * p.a[i] * p.b[j];
    y[difference] = scale * (p.a[i] - p.b[j]) * (p.a[i] - p.b[j]);
  });
  write(y, y_view);
}

void RefBackend::pairing_vjp(double scale, ConstView a_view, ConstView b_view, ConstView y_bar_view, View a_bar_view,
                             View b_bar_view) {
  count_kernel();
  const Pairs p(a_view, b_view);
  const Values g = read(y_bar_view);
  Values a_bar(p.a.size());
  Values b_bar(p.b.size());
  p.for_each([&](auto i, auto j, auto product, auto difference) {
    const double slope = 2 * (p.a[i] - p.b[j]) * g[difference];
    a_bar[i] += scale * (g[product] * p.b[j] + slope);
    b_bar[j] += scale * (g[product] * p.a[i] - slope);
  });
  write(a_bar, a_bar_view);
  write(b_bar, b_bar_view);
}

void RefBackend::pairing_jvp(double scale, ConstView a_view, ConstView b_view, ConstView a_dot_view,
                             ConstView b_dot_view, View y_dot_view) {
  count_kernel();
  const Pairs p(a_view, b_view);
  const Values a_dot = read_or_zeros(a_dot_view, a_view.numel());
  const Values b_dot = read_or_zeros(b_dot_view, b_view.numel());
  Values y_dot(static_cast<std::size_t>(y_dot_view.numel()));
  p.for_each([&](auto i, auto j, auto product, auto difference) {
    y_dot[product] = scale * (a_dot[i] * p.b[j] + p.a[i] * b_dot[j]);
    y_dot[difference] = scale * 2 * (p.a[i] - p.b[j]) * (a_dot[i] - b_dot[j]);
  });
  write(y_dot, y_dot_view);
}

void RefBackend::pairing_vjp_dot(double scale, ConstView a_view, ConstView b_view, ConstView a_dot_view,
                                 ConstView b_dot_view, ConstView y_bar_view, ConstView y_bar_dot_view,
                                 View a_bar_dot_view, View b_bar_dot_view) {
  count_kernel();
  const Pairs p(a_view, b_view);
  const Values a_dot = read_or_zeros(a_dot_view, a_view.numel());
  const Values b_dot = read_or_zeros(b_dot_view, b_view.numel());
  const Values g = read(y_bar_view);
  const Values g_dot = read_or_zeros(y_bar_dot_view, y_bar_view.numel());
  Values a_bar_dot(p.a.size());
  Values b_bar_dot(p.b.size());
  p.for_each([&](auto i, auto j, auto product, auto difference) {
    const double slope_dot = 2 * (a_dot[i] - b_dot[j]) * g[difference] + 2 * (p.a[i] - p.b[j]) * g_dot[difference];
    a_bar_dot[i] += scale * (g_dot[product] * p.b[j] + g[product] * b_dot[j] + slope_dot);
    b_bar_dot[j] += scale * (g_dot[product] * p.a[i] + g[product] * a_dot[i] - slope_dot);
  });
  write(a_bar_dot, a_bar_dot_view);
  write(b_bar_dot, b_bar_dot_view);
}

void RefBackend::gather_rows(ConstView bank_view, ConstView rows, View out_view) {
  count_kernel();
  const std::size_t row_bytes = static_cast<std::size_t>(bank_view.shape[1]) * size_of(bank_view.dtype);
  const auto* from = static_cast<const std::byte*>(bank_view.data);
  auto* to = static_cast<std::byte*>(out_view.data);
  const auto* row = rows.as<std::int64_t>();
  for (std::int64_t i = 0; i < rows.numel(); ++i)
    std::memcpy(to + static_cast<std::size_t>(i) * row_bytes, from + static_cast<std::size_t>(row[i]) * row_bytes,
                row_bytes);
}

void RefBackend::update_rows(double momentum, ConstView z_view, ConstView rows, View bank_view) {
  count_kernel();
  const Values z = read(z_view);
  Values bank = read(bank_view);
  const std::int64_t size = bank_view.shape[1];
  const auto* row = rows.as<std::int64_t>();
  for (std::int64_t i = 0; i < rows.numel(); ++i) {
    double* entry = &bank[row[i] * size];
    double squares = 0;
    for (std::int64_t c = 0; c < size; ++c) {
      entry[c] = momentum * entry[c] + (1 - momentum) * z[i * size + c];
      squares += entry[c] * entry[c];
    }
    const double norm = divisor(std::sqrt(squares), 1e-12);
    for (std::int64_t c = 0; c < size; ++c) entry[c] /= norm;
  }
  write(bank, bank_view);
}

}  // namespace mcn::ref
