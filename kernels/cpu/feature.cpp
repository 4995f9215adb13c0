// Kernels on feature vectors: L2 normalisation, pairing, and the memory bank's rows.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"

namespace mcn::cpu {
namespace {

template <class T>
double inner(const T* a, const T* b, std::int64_t n) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

// Calls f(row) for every row.
template <class F>
void each_row(std::int64_t rows, std::int64_t columns, F&& f) {
  parallel_blocks(rows, row_grain(columns), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) f(r);
  });
}

template <class T>
const T* row_of(ConstView v, std::int64_t row, std::int64_t columns) {
  return v ? v.as<T>() + row * columns : nullptr;
}

template <class T>
double at(const T* p, std::int64_t i) {
  return p != nullptr ? static_cast<double>(p[i]) : 0.0;
}

}  // namespace

void CpuBackend::l2_normalize_forward(double eps, ConstView x, View y, View norm) {
  count_kernel();
  dispatch_float(x.dtype, [&]<class T>(T) {
    const std::int64_t columns = x.shape.back();
    each_row(x.shape.rows(), columns, [&](std::int64_t r) {
      const T* in = row_of<T>(x, r, columns);
      T* out = y.as<T>() + r * columns;
      const double length = std::sqrt(inner(in, in, columns));
      const double n = length <= eps ? eps : length;
      norm.as<T>()[r] = static_cast<T>(n);
      for (std::int64_t c = 0; c < columns; ++c) out[c] = static_cast<T>(static_cast<double>(in[c]) / n);
    });
  });
}

void CpuBackend::l2_normalize_vjp(double eps, ConstView y, ConstView norm, ConstView y_bar, View x_bar) {
  count_kernel();
  dispatch_float(y.dtype, [&]<class T>(T) {
    const std::int64_t columns = y.shape.back();
    each_row(y.shape.rows(), columns, [&](std::int64_t r) {
      const T* yr = row_of<T>(y, r, columns);
      const T* yb = row_of<T>(y_bar, r, columns);
      T* out = x_bar.as<T>() + r * columns;
      const T n = norm.as<T>()[r];
      const double along = n <= static_cast<T>(eps) ? 0.0 : inner(yr, yb, columns);
      for (std::int64_t c = 0; c < columns; ++c)
        out[c] =
            static_cast<T>((static_cast<double>(yb[c]) - static_cast<double>(yr[c]) * along) / static_cast<double>(n));
    });
  });
}

void CpuBackend::l2_normalize_jvp(double eps, ConstView y, ConstView norm, ConstView x_dot, View y_dot, View norm_dot) {
  count_kernel();
  dispatch_float(y.dtype, [&]<class T>(T) {
    const std::int64_t columns = y.shape.back();
    each_row(y.shape.rows(), columns, [&](std::int64_t r) {
      const T* yr = row_of<T>(y, r, columns);
      const T* xd = row_of<T>(x_dot, r, columns);
      T* out = y_dot.as<T>() + r * columns;
      const T n = norm.as<T>()[r];
      const double along = xd == nullptr || n <= static_cast<T>(eps) ? 0.0 : inner(yr, xd, columns);
      norm_dot.as<T>()[r] = static_cast<T>(along);
      for (std::int64_t c = 0; c < columns; ++c)
        out[c] = static_cast<T>((at(xd, c) - static_cast<double>(yr[c]) * along) / static_cast<double>(n));
    });
  });
}

void CpuBackend::l2_normalize_vjp_dot(double eps, ConstView y, ConstView norm, ConstView y_dot, ConstView norm_dot,
                                      ConstView y_bar, ConstView y_bar_dot, View x_bar_dot) {
  count_kernel();
  dispatch_float(y.dtype, [&]<class T>(T) {
    const std::int64_t columns = y.shape.back();
    each_row(y.shape.rows(), columns, [&](std::int64_t r) {
      const T* yr = row_of<T>(y, r, columns);
      const T* yd = row_of<T>(y_dot, r, columns);
      const T* yb = row_of<T>(y_bar, r, columns);
      const T* ybd = row_of<T>(y_bar_dot, r, columns);
      T* out = x_bar_dot.as<T>() + r * columns;
      const auto n = static_cast<double>(norm.as<T>()[r]);
      if (norm.as<T>()[r] <= static_cast<T>(eps)) {
        for (std::int64_t c = 0; c < columns; ++c) out[c] = static_cast<T>(at(ybd, c) / n);
        return;
      }
      const double n_dot = norm_dot ? static_cast<double>(norm_dot.as<T>()[r]) : 0.0;
      const double along = inner(yr, yb, columns);
      const double along_dot =
          (yd != nullptr ? inner(yd, yb, columns) : 0.0) + (ybd != nullptr ? inner(yr, ybd, columns) : 0.0);
      for (std::int64_t c = 0; c < columns; ++c) {
        const auto yc = static_cast<double>(yr[c]);
        const double x_bar = (static_cast<double>(yb[c]) - yc * along) / n;
        out[c] = static_cast<T>((at(ybd, c) - at(yd, c) * along - yc * along_dot - x_bar * n_dot) / n);
      }
    });
  });
}

void CpuBackend::pairing_forward(double scale, ConstView a, ConstView b, View y) {
  count_kernel();
  dispatch_float(a.dtype, [&]<class T>(T) {
    const std::int64_t n = a.shape[0];
    const std::int64_t columns = a.shape[1];
    const T s = static_cast<T>(scale);
    each_row(n * n, 2 * columns, [&](std::int64_t r) {
      const T* ai = row_of<T>(a, r / n, columns);
      const T* bj = row_of<T>(b, r % n, columns);
      T* out = y.as<T>() + r * 2 * columns;
#pragma omp simd
      for (std::int64_t c = 0; c < columns; ++c) {
        const T difference = ai[c] - bj[c];
        out[c] = s * (ai[c] * bj[c]);
        out[columns + c] = s * (difference * difference);
      }
    });
  });
}

void CpuBackend::pairing_jvp(double scale, ConstView a, ConstView b, ConstView a_dot, ConstView b_dot, View y_dot) {
  count_kernel();
  dispatch_float(a.dtype, [&]<class T>(T) {
    const std::int64_t n = a.shape[0];
    const std::int64_t columns = a.shape[1];
    const T s = static_cast<T>(scale);
    each_row(n * n, 2 * columns, [&](std::int64_t r) {
      const T* ai = row_of<T>(a, r / n, columns);
      const T* bj = row_of<T>(b, r % n, columns);
      const T* adi = row_of<T>(a_dot, r / n, columns);
      const T* bdj = row_of<T>(b_dot, r % n, columns);
      T* out = y_dot.as<T>() + r * 2 * columns;
      for (std::int64_t c = 0; c < columns; ++c) {
        const T ad = adi != nullptr ? adi[c] : T{0};
        const T bd = bdj != nullptr ? bdj[c] : T{0};
        out[c] = s * (ad * bj[c] + ai[c] * bd);
        out[columns + c] = s * (2 * (ai[c] - bj[c]) * (ad - bd));
      }
    });
  });
}

namespace {

// out[i] = scale sum over j of the cotangents' pull on row i of `self`, paired with rows j of `other`; pair rows are
// i * i_step + j * j_step. Both halves are symmetric in (a, b), so one function serves both sides.
template <class T>
void pairing_pull(double scale, std::int64_t n, std::int64_t columns, std::int64_t i_step, std::int64_t j_step,
                  const T* self, const T* other, const T* self_dot, const T* other_dot, const T* y_bar,
                  const T* y_bar_dot, bool tangent, T* out) {
  const T s = static_cast<T>(scale);
  each_row(n, n * columns, [&](std::int64_t i) {
    T* o = out + i * columns;
    std::fill_n(o, columns, T{0});
    const T* si = self + i * columns;
    for (std::int64_t j = 0; j < n; ++j) {
      const std::int64_t pair = (i * i_step + j * j_step) * 2 * columns;
      const T* oj = other + j * columns;
      // A tangent of the pull: the cotangent's tangent pulls as the cotangent did, and the cotangent on the tangents.
      const T* direct = tangent ? y_bar_dot : y_bar;
      if (direct != nullptr) {
        const T* g = direct + pair;
#pragma omp simd
        for (std::int64_t c = 0; c < columns; ++c) o[c] += g[c] * oj[c] + 2 * (si[c] - oj[c]) * g[columns + c];
      }
      if (!tangent) continue;
      const T* g = y_bar + pair;
      if (self_dot != nullptr) {
        const T* sd = self_dot + i * columns;
#pragma omp simd
        for (std::int64_t c = 0; c < columns; ++c) o[c] += 2 * sd[c] * g[columns + c];
      }
      if (other_dot != nullptr) {
        const T* od = other_dot + j * columns;
#pragma omp simd
        for (std::int64_t c = 0; c < columns; ++c) o[c] += od[c] * (g[c] - 2 * g[columns + c]);
      }
    }
#pragma omp simd
    for (std::int64_t c = 0; c < columns; ++c) o[c] *= s;
  });
}

}  // namespace

void CpuBackend::pairing_vjp(double scale, ConstView a, ConstView b, ConstView y_bar, View a_bar, View b_bar) {
  count_kernel();
  dispatch_float(a.dtype, [&]<class T>(T) {
    const std::int64_t n = a.shape[0];
    const std::int64_t columns = a.shape[1];
    const T* none = nullptr;
    if (a_bar)
      pairing_pull(scale, n, columns, n, 1, a.as<T>(), b.as<T>(), none, none, y_bar.as<T>(), none, false,
                   a_bar.as<T>());
    if (b_bar)
      pairing_pull(scale, n, columns, 1, n, b.as<T>(), a.as<T>(), none, none, y_bar.as<T>(), none, false,
                   b_bar.as<T>());
  });
}

void CpuBackend::pairing_vjp_dot(double scale, ConstView a, ConstView b, ConstView a_dot, ConstView b_dot,
                                 ConstView y_bar, ConstView y_bar_dot, View a_bar_dot, View b_bar_dot) {
  count_kernel();
  dispatch_float(a.dtype, [&]<class T>(T) {
    const std::int64_t n = a.shape[0];
    const std::int64_t columns = a.shape[1];
    if (a_bar_dot)
      pairing_pull(scale, n, columns, n, 1, a.as<T>(), b.as<T>(), a_dot.as<T>(), b_dot.as<T>(), y_bar.as<T>(),
                   y_bar_dot.as<T>(), true, a_bar_dot.as<T>());
    if (b_bar_dot)
      pairing_pull(scale, n, columns, 1, n, b.as<T>(), a.as<T>(), b_dot.as<T>(), a_dot.as<T>(), y_bar.as<T>(),
                   y_bar_dot.as<T>(), true, b_bar_dot.as<T>());
  });
}

void CpuBackend::gather_rows(ConstView bank, ConstView rows, View out) {
  count_kernel();
  dispatch_float(bank.dtype, [&]<class T>(T) {
    const std::int64_t columns = bank.shape[1];
    each_row(rows.numel(), columns, [&](std::int64_t r) {
      std::copy_n(bank.as<T>() + rows.as<std::int64_t>()[r] * columns, columns, out.as<T>() + r * columns);
    });
  });
}

void CpuBackend::update_rows(double momentum, ConstView z, ConstView rows, View bank) {
  count_kernel();
  dispatch_float(bank.dtype, [&]<class T>(T) {
    const std::int64_t columns = bank.shape[1];
    each_row(rows.numel(), columns, [&](std::int64_t r) {
      T* row = bank.as<T>() + rows.as<std::int64_t>()[r] * columns;
      const T* zr = row_of<T>(z, r, columns);
      const auto blend = [&](std::int64_t c) {
        return momentum * static_cast<double>(row[c]) + (1 - momentum) * static_cast<double>(zr[c]);
      };
      double squares = 0;
      for (std::int64_t c = 0; c < columns; ++c) squares += blend(c) * blend(c);
      // A row that cancels to nothing has no direction: it stays zero.
      const double inverse = squares <= 0 ? 0.0 : 1.0 / std::sqrt(squares);
      for (std::int64_t c = 0; c < columns; ++c) row[c] = static_cast<T>(blend(c) * inverse);
    });
  });
}

}  // namespace mcn::cpu
