// Principal components from the products of centered rows, which are fewer than features.
#include "meta/evaluate/projection.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/error.h"

namespace mcn {
namespace {

/// Symmetric, n x n, row-major.
struct Matrix {
  std::size_t n = 0;
  std::vector<double> values;

  double& at(std::size_t i, std::size_t j) { return values[i * n + j]; }
};

// Rows of unit length, their mean taken away.
std::vector<double> centered_rows(const Embedding& e) {
  const auto rows = static_cast<std::size_t>(e.rows()), features = static_cast<std::size_t>(e.features);
  std::vector<double> x(rows * features), mean(features);
  for (std::size_t i = 0; i < rows; ++i) {
    const float* in = e.row(static_cast<std::int64_t>(i));
    double squares = 0;
    for (std::size_t f = 0; f < features; ++f) squares += static_cast<double>(in[f]) * in[f];
    if (!std::isfinite(squares)) fail<NonFiniteError>("projection", "the features of row {} are not finite", i);
    for (std::size_t f = 0; f < features; ++f) {
      x[i * features + f] = squares > 0 ? in[f] / std::sqrt(squares) : 0;
      mean[f] += x[i * features + f] / static_cast<double>(rows);
    }
  }
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t f = 0; f < features; ++f) x[i * features + f] -= mean[f];
  return x;
}

Matrix products_of(const std::vector<double>& x, std::size_t rows) {
  const std::size_t features = x.size() / rows;
  Matrix g{rows, std::vector<double>(rows * rows)};
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j <= i; ++j)
      g.at(i, j) = g.at(j, i) = std::inner_product(x.begin() + static_cast<std::ptrdiff_t>(i * features),
                                                   x.begin() + static_cast<std::ptrdiff_t>((i + 1) * features),
                                                   x.begin() + static_cast<std::ptrdiff_t>(j * features), 0.0);
  return g;
}

// Jacobi's method: turns two rows and columns of a at a time until what is not on its diagonal is nothing beside it.
// Afterwards the diagonal has the eigenvalues, and row i of the result the eigenvector of the i-th.
Matrix diagonalize(Matrix& a) {
  Matrix vectors{a.n, std::vector<double>(a.n * a.n)};
  double size = 0;
  for (std::size_t i = 0; i < a.n; ++i) {
    vectors.at(i, i) = 1;
    size = std::max(size, std::abs(a.at(i, i)));
  }
  constexpr int most_sweeps = 30;
  for (int sweep = 0; sweep < most_sweeps; ++sweep) {
    double largest = 0;
    for (std::size_t p = 0; p < a.n; ++p)
      for (std::size_t q = p + 1; q < a.n; ++q) {
        const double off = a.at(p, q);
        if (!(std::abs(off) > 1e-13 * size)) continue;
        largest = std::max(largest, std::abs(off));
        const double ratio = (a.at(q, q) - a.at(p, p)) / (2 * off);
        const double tangent = (ratio < 0 ? -1 : 1) / (std::abs(ratio) + std::sqrt(ratio * ratio + 1));
        const double c = 1 / std::sqrt(tangent * tangent + 1), s = tangent * c;
        const auto turn = [c, s](double& x, double& y) {
          const double before = x;
          x = c * before - s * y;
          y = s * before + c * y;
        };
        for (std::size_t k = 0; k < a.n; ++k) turn(a.at(k, p), a.at(k, q));
        for (std::size_t k = 0; k < a.n; ++k) turn(a.at(p, k), a.at(q, k));
        for (std::size_t k = 0; k < a.n; ++k) turn(vectors.at(p, k), vectors.at(q, k));
      }
    if (largest == 0) break;
  }
  return vectors;
}

}  // namespace

Projection principal_plane(const Embedding& embedding) {
  const auto rows = static_cast<std::size_t>(embedding.rows());
  if (rows == 0) fail("projection", "expected features, got none");
  Matrix a = products_of(centered_rows(embedding), rows);
  Projection result;
  result.points.resize(rows);
  double whole = 0;
  for (std::size_t i = 0; i < rows; ++i) whole += a.at(i, i);
  // Rounding leaves a little where all rows are equal.
  if (!(whole > 1e-12 * static_cast<double>(rows))) return result;
  Matrix vectors = diagonalize(a);
  std::vector<std::size_t> order(rows);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](std::size_t i, std::size_t j) { return a.at(i, i) > a.at(j, j); });
  for (std::size_t axis = 0; axis < std::min<std::size_t>(2, rows); ++axis) {
    const double value = std::max(0.0, a.at(order[axis], order[axis]));
    result.variance[axis] = value / whole;
    double largest = 0;
    for (std::size_t i = 0; i < rows; ++i)
      if (const double v = vectors.at(order[axis], i); std::abs(v) > std::abs(largest)) largest = v;
    for (std::size_t i = 0; i < rows; ++i)
      result.points[i][axis] = (largest < 0 ? -1 : 1) * std::sqrt(value) * vectors.at(order[axis], i);
  }
  return result;
}

}  // namespace mcn
