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

template <>
void CpuBackend::compute(const kernel::L2NormalizeForward& k) {
  dispatch_float(k.x.dtype, [&]<class T>(T) {
    const std::int64_t columns = k.x.shape.back();
    each_row(k.x.shape.rows(), columns, [&](std::int64_t r) {
      const T* in = row_of<T>(k.x, r, columns);
      T* out = k.y.as<T>() + r * columns;
      const double length = std::sqrt(inner(in, in, columns));
      const double n = length <= k.eps ? k.eps : length;
      k.norm.as<T>()[r] = static_cast<T>(n);
      for (std::int64_t c = 0; c < columns; ++c) out[c] = static_cast<T>(static_cast<double>(in[c]) / n);
    });
  });
}

template <>
void CpuBackend::compute(const kernel::L2NormalizeVjp& k) {
  dispatch_float(k.y.dtype, [&]<class T>(T) {
    const std::int64_t columns = k.y.shape.back();
    each_row(k.y.shape.rows(), columns, [&](std::int64_t r) {
      const T* yr = row_of<T>(k.y, r, columns);
      const T* yb = row_of<T>(k.y_bar, r, columns);
      T* out = k.x_bar.as<T>() + r * columns;
      const T n = k.norm.as<T>()[r];
      const double along = n <= static_cast<T>(k.eps) ? 0.0 : inner(yr, yb, columns);
      for (std::int64_t c = 0; c < columns; ++c)
        out[c] =
            static_cast<T>((static_cast<double>(yb[c]) - static_cast<double>(yr[c]) * along) / static_cast<double>(n));
    });
  });
}

template <>
void CpuBackend::compute(const kernel::L2NormalizeJvp& k) {
  dispatch_float(k.y.dtype, [&]<class T>(T) {
    const std::int64_t columns = k.y.shape.back();
    each_row(k.y.shape.rows(), columns, [&](std::int64_t r) {
      const T* yr = row_of<T>(k.y, r, columns);
      const T* xd = row_of<T>(k.x_dot, r, columns);
      T* out = k.y_dot.as<T>() + r * columns;
      const T n = k.norm.as<T>()[r];
      const double along = xd == nullptr || n <= static_cast<T>(k.eps) ? 0.0 : inner(yr, xd, columns);
      k.norm_dot.as<T>()[r] = static_cast<T>(along);
      for (std::int64_t c = 0; c < columns; ++c)
        out[c] = static_cast<T>((at(xd, c) - static_cast<double>(yr[c]) * along) / static_cast<double>(n));
    });
  });
}

template <>
void CpuBackend::compute(const kernel::L2NormalizeVjpDot& k) {
  dispatch_float(k.y.dtype, [&]<class T>(T) {
    const std::int64_t columns = k.y.shape.back();
    each_row(k.y.shape.rows(), columns, [&](std::int64_t r) {
      const T* yr = row_of<T>(k.y, r, columns);
      const T* yd = row_of<T>(k.y_dot, r, columns);
      const T* yb = row_of<T>(k.y_bar, r, columns);
      const T* ybd = row_of<T>(k.y_bar_dot, r, columns);
      T* out = k.x_bar_dot.as<T>() + r * columns;
      const auto n = static_cast<double>(k.norm.as<T>()[r]);
      if (k.norm.as<T>()[r] <= static_cast<T>(k.eps)) {
        for (std::int64_t c = 0; c < columns; ++c) out[c] = static_cast<T>(at(ybd, c) / n);
        return;
      }
      const double n_dot = k.norm_dot ? static_cast<double>(k.norm_dot.as<T>()[r]) : 0.0;
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

template <>
void CpuBackend::compute(const kernel::PairingForward& k) {
  dispatch_float(k.a.dtype, [&]<class T>(T) {
    const std::int64_t n = k.a.shape[0];
    const std::int64_t columns = k.a.shape[1];
    const T s = static_cast<T>(k.scale);
    each_row(n * n, 2 * columns, [&](std::int64_t r) {
      const T* ai = row_of<T>(k.a, r / n, columns);
      const T* bj = row_of<T>(k.b, r % n, columns);
      T* out = k.y.as<T>() + r * 2 * columns;
#pragma omp simd
      for (std::int64_t c = 0; c < columns; ++c) {
        const T difference = ai[c] - bj[c];
        out[c] = s * (ai[c] * bj[c]);
        out[columns + c] = s * (difference * difference);
      }
    });
  });
}

template <>
void CpuBackend::compute(const kernel::PairingJvp& k) {
  dispatch_float(k.a.dtype, [&]<class T>(T) {
    const std::int64_t n = k.a.shape[0];
    const std::int64_t columns = k.a.shape[1];
    const T s = static_cast<T>(k.scale);
    each_row(n * n, 2 * columns, [&](std::int64_t r) {
      const T* ai = row_of<T>(k.a, r / n, columns);
      const T* bj = row_of<T>(k.b, r % n, columns);
      const T* adi = row_of<T>(k.a_dot, r / n, columns);
      const T* bdj = row_of<T>(k.b_dot, r % n, columns);
      T* out = k.y_dot.as<T>() + r * 2 * columns;
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

template <>
void CpuBackend::compute(const kernel::PairingVjp& k) {
  dispatch_float(k.a.dtype, [&]<class T>(T) {
    const std::int64_t n = k.a.shape[0];
    const std::int64_t columns = k.a.shape[1];
    const T* none = nullptr;
    if (k.a_bar)
      pairing_pull(k.scale, n, columns, n, 1, k.a.as<T>(), k.b.as<T>(), none, none, k.y_bar.as<T>(), none, false,
                   k.a_bar.as<T>());
    if (k.b_bar)
      pairing_pull(k.scale, n, columns, 1, n, k.b.as<T>(), k.a.as<T>(), none, none, k.y_bar.as<T>(), none, false,
                   k.b_bar.as<T>());
  });
}

template <>
void CpuBackend::compute(const kernel::PairingVjpDot& k) {
  dispatch_float(k.a.dtype, [&]<class T>(T) {
    const std::int64_t n = k.a.shape[0];
    const std::int64_t columns = k.a.shape[1];
    if (k.a_bar_dot)
      pairing_pull(k.scale, n, columns, n, 1, k.a.as<T>(), k.b.as<T>(), k.a_dot.as<T>(), k.b_dot.as<T>(),
                   k.y_bar.as<T>(), k.y_bar_dot.as<T>(), true, k.a_bar_dot.as<T>());
    if (k.b_bar_dot)
      pairing_pull(k.scale, n, columns, 1, n, k.b.as<T>(), k.a.as<T>(), k.b_dot.as<T>(), k.a_dot.as<T>(),
                   k.y_bar.as<T>(), k.y_bar_dot.as<T>(), true, k.b_bar_dot.as<T>());
  });
}

template <>
void CpuBackend::compute(const kernel::GatherRows& k) {
  dispatch_float(k.bank.dtype, [&]<class T>(T) {
    const std::int64_t columns = k.bank.shape[1];
    each_row(k.rows.numel(), columns, [&](std::int64_t r) {
      std::copy_n(k.bank.as<T>() + k.rows.as<std::int64_t>()[r] * columns, columns, k.out.as<T>() + r * columns);
    });
  });
}

template <>
void CpuBackend::compute(const kernel::UpdateRows& k) {
  dispatch_float(k.bank.dtype, [&]<class T>(T) {
    const std::int64_t columns = k.bank.shape[1];
    each_row(k.rows.numel(), columns, [&](std::int64_t r) {
      T* row = k.bank.as<T>() + k.rows.as<std::int64_t>()[r] * columns;
      const T* zr = row_of<T>(k.z, r, columns);
      const auto blend = [&](std::int64_t c) {
        return k.momentum * static_cast<double>(row[c]) + (1 - k.momentum) * static_cast<double>(zr[c]);
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
