// Batch normalisation's tangents: jvp and vjp_dot, each a reduction over channels and one fused pass. With
// xc = x - mean and xdc = x_dot - mean_dot, h = rstd xc and h_dot = rstd xdc + rstd_dot xc, both rules become linear in
// the tensors that are read, with coefficients a channel.
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/rows.h"

namespace mcn::cpu {
namespace {

template <class T>
double at(ConstView v, std::size_t c) {
  return v ? static_cast<double>(v.as<T>()[c]) : 0.0;
}

template <class T>
void jvp(CachingAllocator& allocator, const BatchNormParams& params, const BatchNormSaved& saved, ConstView x_dot,
         ConstView gamma_dot, ConstView beta_dot, ConstView residual_dot, View y_dot, View mean_dot, View rstd_dot) {
  const RowGroups g(y_dot.shape.rows(), y_dot.shape.back());
  const auto rows = static_cast<double>(y_dot.shape.rows());
  const auto channels = static_cast<std::size_t>(g.channels);
  const Scratch<T> wide(allocator, 5 * g.width);
  const T* m = wide.get();
  g.widen(saved.mean.as<T>(), wide.get());
  const T* x = saved.x.as<T>();
  const T* y = saved.y.as<T>();
  const T* xd = x_dot.as<T>();
  const T* rd = residual_dot.as<T>();

  // Sums of x_dot, x_dot xc and xc; the last is zero but for the rounding of the mean.
  std::vector<double> sums(3 * channels);
  if (params.batch_statistics && xd != nullptr)
    sum_channels<3, T>(allocator, g, sums.data(), [=](std::int64_t i, std::int64_t w) {
      const T xc = x[i] - m[w];
      return Terms<T, 3>{{xd[i], xd[i] * xc, xc}};
    });
  // y_dot = mask (p xc + q (x_dot - mean_dot) + beta_dot + residual_dot)
  std::vector<T> p(channels), q(p), md(p), offset(p);
  for (std::size_t c = 0; c < channels; ++c) {
    const auto rstd = static_cast<double>(saved.rstd.as<T>()[c]);
    const auto gamma = static_cast<double>(saved.gamma.as<T>()[c]);
    double rstd_change = 0;
    if (params.batch_statistics) {
      md[c] = static_cast<T>(sums[c] / rows);
      const double covariance = (sums[c + channels] - sums[c] / rows * sums[c + 2 * channels]) / rows;
      rstd_change = -rstd * rstd * rstd * covariance;
      mean_dot.as<T>()[c] = md[c];
      rstd_dot.as<T>()[c] = static_cast<T>(rstd_change);
    }
    p[c] = static_cast<T>(at<T>(gamma_dot, c) * rstd + gamma * rstd_change);
    q[c] = static_cast<T>(gamma * rstd);
    offset[c] = static_cast<T>(at<T>(beta_dot, c));
  }
  const T* pw = m + g.width;
  const T* qw = pw + g.width;
  const T* mw = qw + g.width;
  const T* ow = mw + g.width;
  g.widen(p.data(), wide.get() + g.width);
  g.widen(q.data(), wide.get() + 2 * g.width);
  g.widen(md.data(), wide.get() + 3 * g.width);
  g.widen(offset.data(), wide.get() + 4 * g.width);
  T* out = y_dot.as<T>();
  branch(params.relu, [&](auto relu) {
    branch(xd != nullptr, [&](auto has_x) {
      branch(rd != nullptr, [&](auto has_residual) {
        for_each_row_element(g, [=](std::int64_t i, std::int64_t w) {
          T v = pw[w] * (x[i] - m[w]) + ow[w];
          if constexpr (has_x) v += qw[w] * (xd[i] - mw[w]);
          if constexpr (has_residual) v += rd[i];
          if constexpr (relu) v = masked(y[i], v);
          out[i] = v;
        });
      });
    });
  });
}

template <class T>
void vjp_dot(CachingAllocator& allocator, const BatchNormParams& params, const BatchNormSaved& saved,
             const BatchNormSavedDot& dot, ConstView y_bar, ConstView y_bar_dot, const BatchNormGradients& out) {
  const RowGroups g(y_bar.shape.rows(), y_bar.shape.back());
  const auto rows = static_cast<double>(y_bar.shape.rows());
  const auto channels = static_cast<std::size_t>(g.channels);
  const Scratch<T> wide(allocator, 7 * g.width);
  const T* m = wide.get();
  const T* md = m + g.width;
  g.widen(saved.mean.as<T>(), wide.get());
  if (dot.mean)
    g.widen(dot.mean.as<T>(), wide.get() + g.width);
  else
    std::fill_n(wide.get() + g.width, g.width, T{0});
  const T* x = saved.x.as<T>();
  const T* y = saved.y.as<T>();
  const T* xd = dot.x.as<T>();
  const T* yb = y_bar.as<T>();
  const T* ybd = y_bar_dot.as<T>();

  // Sums of g, g xc, g_dot, g_dot xc, g xdc. An absent x_dot is zero, and so is its mean's tangent: xdc = 0.
  std::vector<double> sums(5 * channels);
  if (out.gamma || out.beta || (out.x && params.batch_statistics)) {
    branch(params.relu, [&](auto relu) {
      branch(xd != nullptr, [&](auto has_x) {
        branch(ybd != nullptr, [&](auto has_bar) {
          sum_channels<5, T>(allocator, g, sums.data(), [=](std::int64_t i, std::int64_t w) {
            const T xc = x[i] - m[w];
            T gi = yb[i];
            T gd{0};
            if constexpr (has_bar) gd = ybd[i];
            if constexpr (relu) {
              gi = masked(y[i], gi);
              gd = masked(y[i], gd);
            }
            T gx{0};
            if constexpr (has_x) gx = gi * (xd[i] - md[w]);
            return Terms<T, 5>{{gi, gi * xc, gd, gd * xc, gx}};
          });
        });
      });
    });
  }
  // x_bar_dot = a g + b g_dot + p xc + q xdc + e
  std::vector<T> a(channels), b(a), p(a), q(a), e(a);
  for (std::size_t c = 0; c < channels; ++c) {
    const auto rstd = static_cast<double>(saved.rstd.as<T>()[c]);
    const auto gamma = static_cast<double>(saved.gamma.as<T>()[c]);
    const double rstd_dot = at<T>(dot.rstd, c);
    const double sum_gh_dot = rstd * (sums[c + 3 * channels] + sums[c + 4 * channels]) + rstd_dot * sums[c + channels];
    if (out.gamma) out.gamma.as<T>()[c] = static_cast<T>(sum_gh_dot);
    if (out.beta) out.beta.as<T>()[c] = static_cast<T>(sums[c + 2 * channels]);
    const double slope = gamma * rstd;
    const double slope_dot = at<T>(dot.gamma, c) * rstd + gamma * rstd_dot;
    a[c] = static_cast<T>(slope_dot);
    b[c] = static_cast<T>(slope);
    if (!params.batch_statistics) continue;
    const double m1 = sums[c] / rows;
    const double m2 = rstd * sums[c + channels] / rows;
    const double m1_dot = sums[c + 2 * channels] / rows;
    const double m2_dot = sum_gh_dot / rows;
    p[c] = static_cast<T>(-slope_dot * rstd * m2 - slope * (rstd_dot * m2 + rstd * m2_dot));
    q[c] = static_cast<T>(-slope * rstd * m2);
    e[c] = static_cast<T>(-slope_dot * m1 - slope * m1_dot);
  }
  if (!out.x && !out.residual) return;
  const T* aw = md + g.width;
  const T* bw = aw + g.width;
  const T* pw = bw + g.width;
  const T* qw = pw + g.width;
  const T* ew = qw + g.width;
  g.widen(a.data(), wide.get() + 2 * g.width);
  g.widen(b.data(), wide.get() + 3 * g.width);
  g.widen(p.data(), wide.get() + 4 * g.width);
  g.widen(q.data(), wide.get() + 5 * g.width);
  g.widen(e.data(), wide.get() + 6 * g.width);
  T* xb = out.x.as<T>();
  T* rb = out.residual.as<T>();
  branch(params.relu, [&](auto relu) {
    branch(xd != nullptr, [&](auto has_x) {
      branch(ybd != nullptr, [&](auto has_bar) {
        branch(xb != nullptr, [&](auto wants_x) {
          branch(rb != nullptr, [&](auto wants_residual) {
            for_each_row_element(g, [=](std::int64_t i, std::int64_t w) {
              T gi = yb[i];
              T gd{0};
              if constexpr (has_bar) gd = ybd[i];
              if constexpr (relu) {
                gi = masked(y[i], gi);
                gd = masked(y[i], gd);
              }
              if constexpr (wants_residual) rb[i] = gd;
              if constexpr (wants_x) {
                T v = aw[w] * gi + pw[w] * (x[i] - m[w]) + ew[w];
                if constexpr (has_bar) v += bw[w] * gd;
                if constexpr (has_x) v += qw[w] * (xd[i] - md[w]);
                xb[i] = v;
              }
            });
          });
        });
      });
    });
  });
}

}  // namespace

template <>
void CpuBackend::compute(const kernel::BatchNormJvp& k) {
  dispatch_float(k.y_dot.dtype, [&]<class T>(T) {
    jvp<T>(allocator_, k.params, k.saved, k.x_dot, k.gamma_dot, k.beta_dot, k.residual_dot, k.y_dot, k.mean_dot,
           k.rstd_dot);
  });
}

template <>
void CpuBackend::compute(const kernel::BatchNormVjpDot& k) {
  dispatch_float(k.y_bar.dtype, [&]<class T>(T) {
    vjp_dot<T>(allocator_, k.params, k.saved, k.saved_dot, k.y_bar, k.y_bar_dot, k.dots);
  });
}

}  // namespace mcn::cpu
