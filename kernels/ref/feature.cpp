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

template <>
void RefBackend::compute(const kernel::L2NormalizeForward& k) {
  const Values x = read(k.x);
  const std::int64_t rows = k.x.shape[0];
  const std::int64_t size = k.x.shape[1];
  Values y(x.size());
  Values norm(static_cast<std::size_t>(rows));
  for (std::int64_t r = 0; r < rows; ++r) {
    norm[r] = divisor(std::sqrt(dot_rows(x, x, r, size)), k.eps);
    for (std::int64_t c = 0; c < size; ++c) y[r * size + c] = x[r * size + c] / norm[r];
  }
  write(y, k.y);
  write(norm, k.norm);
}

template <>
void RefBackend::compute(const kernel::L2NormalizeVjp& k) {
  const Values y = read(k.y);
  const Values norm = read(k.norm);
  const Values g = read_or_zeros(k.y_bar, k.y.numel());
  const std::int64_t size = k.y.shape[1];
  Values x_bar(y.size());
  for (std::int64_t r = 0; r < k.y.shape[0]; ++r) {
    const double along = is_constant(norm[r], k.eps, k.norm.dtype) ? 0.0 : dot_rows(y, g, r, size);
    for (std::int64_t rc = r * size; rc < (r + 1) * size; ++rc) x_bar[rc] = (g[rc] - y[rc] * along) / norm[r];
  }
  write(x_bar, k.x_bar);
}

template <>
void RefBackend::compute(const kernel::L2NormalizeJvp& k) {
  const Values y = read(k.y);
  const Values norm = read(k.norm);
  const Values x_dot = read_or_zeros(k.x_dot, k.y.numel());
  const std::int64_t size = k.y.shape[1];
  Values y_dot(y.size());
  Values norm_dot(norm.size());
  for (std::int64_t r = 0; r < k.y.shape[0]; ++r) {
    norm_dot[r] = is_constant(norm[r], k.eps, k.norm.dtype) ? 0.0 : dot_rows(y, x_dot, r, size);
    for (std::int64_t rc = r * size; rc < (r + 1) * size; ++rc) y_dot[rc] = (x_dot[rc] - y[rc] * norm_dot[r]) / norm[r];
  }
  write(y_dot, k.y_dot);
  write(norm_dot, k.norm_dot);
}

template <>
void RefBackend::compute(const kernel::L2NormalizeVjpDot& k) {
  const Values y = read(k.y);
  const Values norm = read(k.norm);
  const Values y_dot = read_or_zeros(k.y_dot, k.y.numel());
  const Values norm_dot = read_or_zeros(k.norm_dot, k.norm.numel());
  const Values g = read_or_zeros(k.y_bar, k.y.numel());
  const Values g_dot = read_or_zeros(k.y_bar_dot, k.y.numel());
  const std::int64_t size = k.y.shape[1];
  Values out(y.size());
  for (std::int64_t r = 0; r < k.y.shape[0]; ++r) {
    const bool constant = is_constant(norm[r], k.eps, k.norm.dtype);
    const double along = constant ? 0.0 : dot_rows(y, g, r, size);
    const double along_dot = constant ? 0.0 : dot_rows(y_dot, g, r, size) + dot_rows(y, g_dot, r, size);
    for (std::int64_t rc = r * size; rc < (r + 1) * size; ++rc) {
      const double x_bar = (g[rc] - y[rc] * along) / norm[r];
      out[rc] = (g_dot[rc] - y_dot[rc] * along - y[rc] * along_dot - x_bar * norm_dot[r]) / norm[r];
    }
  }
  write(out, k.x_bar_dot);
}

template <>
void RefBackend::compute(const kernel::PairingForward& k) {
  const Pairs p(k.a, k.b);
  Values y(static_cast<std::size_t>(k.y.numel()));
  p.for_each([&](auto i, auto j, auto product, auto difference) {
    y[product] = k.scale * p.a[i] * p.b[j];
    y[difference] = k.scale * (p.a[i] - p.b[j]) * (p.a[i] - p.b[j]);
  });
  write(y, k.y);
}

template <>
void RefBackend::compute(const kernel::PairingVjp& k) {
  const Pairs p(k.a, k.b);
  const Values g = read(k.y_bar);
  Values a_bar(p.a.size());
  Values b_bar(p.b.size());
  p.for_each([&](auto i, auto j, auto product, auto difference) {
    const double slope = 2 * (p.a[i] - p.b[j]) * g[difference];
    a_bar[i] += k.scale * (g[product] * p.b[j] + slope);
    b_bar[j] += k.scale * (g[product] * p.a[i] - slope);
  });
  write(a_bar, k.a_bar);
  write(b_bar, k.b_bar);
}

template <>
void RefBackend::compute(const kernel::PairingJvp& k) {
  const Pairs p(k.a, k.b);
  const Values a_dot = read_or_zeros(k.a_dot, k.a.numel());
  const Values b_dot = read_or_zeros(k.b_dot, k.b.numel());
  Values y_dot(static_cast<std::size_t>(k.y_dot.numel()));
  p.for_each([&](auto i, auto j, auto product, auto difference) {
    y_dot[product] = k.scale * (a_dot[i] * p.b[j] + p.a[i] * b_dot[j]);
    y_dot[difference] = k.scale * 2 * (p.a[i] - p.b[j]) * (a_dot[i] - b_dot[j]);
  });
  write(y_dot, k.y_dot);
}

template <>
void RefBackend::compute(const kernel::PairingVjpDot& k) {
  const Pairs p(k.a, k.b);
  const Values a_dot = read_or_zeros(k.a_dot, k.a.numel());
  const Values b_dot = read_or_zeros(k.b_dot, k.b.numel());
  const Values g = read(k.y_bar);
  const Values g_dot = read_or_zeros(k.y_bar_dot, k.y_bar.numel());
  Values a_bar_dot(p.a.size());
  Values b_bar_dot(p.b.size());
  p.for_each([&](auto i, auto j, auto product, auto difference) {
    const double slope_dot = 2 * (a_dot[i] - b_dot[j]) * g[difference] + 2 * (p.a[i] - p.b[j]) * g_dot[difference];
    a_bar_dot[i] += k.scale * (g_dot[product] * p.b[j] + g[product] * b_dot[j] + slope_dot);
    b_bar_dot[j] += k.scale * (g_dot[product] * p.a[i] + g[product] * a_dot[i] - slope_dot);
  });
  write(a_bar_dot, k.a_bar_dot);
  write(b_bar_dot, k.b_bar_dot);
}

template <>
void RefBackend::compute(const kernel::GatherRows& k) {
  const std::size_t row_bytes = static_cast<std::size_t>(k.bank.shape[1]) * size_of(k.bank.dtype);
  const auto* from = static_cast<const std::byte*>(k.bank.data);
  auto* to = static_cast<std::byte*>(k.out.data);
  const auto* row = k.rows.as<std::int64_t>();
  for (std::int64_t i = 0; i < k.rows.numel(); ++i)
    std::memcpy(to + static_cast<std::size_t>(i) * row_bytes, from + static_cast<std::size_t>(row[i]) * row_bytes,
                row_bytes);
}

template <>
void RefBackend::compute(const kernel::UpdateRows& k) {
  const Values z = read(k.z);
  Values bank = read(k.bank);
  const std::int64_t size = k.bank.shape[1];
  const auto* row = k.rows.as<std::int64_t>();
  for (std::int64_t i = 0; i < k.rows.numel(); ++i) {
    double* entry = &bank[row[i] * size];
    double squares = 0;
    for (std::int64_t c = 0; c < size; ++c) {
      entry[c] = k.momentum * entry[c] + (1 - k.momentum) * z[i * size + c];
      squares += entry[c] * entry[c];
    }
    const double norm = divisor(std::sqrt(squares), 1e-12);
    for (std::int64_t c = 0; c < size; ++c) entry[c] /= norm;
  }
  write(bank, k.bank);
}

}  // namespace mcn::ref
