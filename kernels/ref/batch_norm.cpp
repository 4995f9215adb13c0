// Reference batch normalisation: statistics, means and cotangents in the notation of kernels/batch_norm.h.
#include <cmath>

#include "kernels/ref/ref_backend.h"
#include "kernels/ref/values.h"

namespace mcn::ref {
namespace {

// Calls f(i, c) for every element i, in channel c.
template <class F>
void for_each(const Shape& shape, F&& f) {
  const std::int64_t channels = shape.back();
  for (std::int64_t r = 0; r < shape.rows(); ++r)
    for (std::int64_t c = 0; c < channels; ++c) f(r * channels + c, c);
}

// A channel's sum over rows of term(i, c).
template <class F>
Values sum_over_rows(const Shape& shape, F&& term) {
  Values sums(static_cast<std::size_t>(shape.back()));
  for_each(shape, [&](std::int64_t i, std::int64_t c) { sums[c] += term(i, c); });
  return sums;
}

// A channel's mean where the derivative of batch statistics asks for one; zero for fixed statistics.
Values mean_of(Values sums, const BatchNormParams& p, const Shape& shape) {
  for (double& sum : sums) sum = p.batch_statistics ? sum / static_cast<double>(shape.rows()) : 0.0;
  return sums;
}

// What forward saved, and h.
struct Saved {
  Shape shape;
  Values x, gamma, mean, rstd, h;
  Values y;  // empty without ReLU

  Saved(const BatchNormParams& p, const BatchNormSaved& s)
      : shape(s.x.shape), x(read(s.x)), gamma(read(s.gamma)), mean(read(s.mean)), rstd(read(s.rstd)), h(x.size()) {
    if (p.relu) y = read(s.y);
    for_each(shape, [&](std::int64_t i, std::int64_t c) { h[i] = (x[i] - mean[c]) * rstd[c]; });
  }

  // A NaN in y lets its cotangent pass, so that it is not hidden as a zero.
  [[nodiscard]] bool passes(std::int64_t i) const { return y.empty() || y[i] > 0 || std::isnan(y[i]); }

  [[nodiscard]] Values masked(Values g) const {
    for (std::size_t i = 0; i < g.size(); ++i)
      if (!passes(static_cast<std::int64_t>(i))) g[i] = 0;
    return g;
  }

  [[nodiscard]] Values h_dot(const Values& x_dot, const Values& mean_dot, const Values& rstd_dot) const {
    Values dot(x.size());
    for_each(shape, [&](std::int64_t i, std::int64_t c) {
      dot[i] = rstd[c] * (x_dot[i] - mean_dot[c]) + (x[i] - mean[c]) * rstd_dot[c];
    });
    return dot;
  }
};

}  // namespace

void RefBackend::batch_norm_forward(const BatchNormParams& p, ConstView x_view, ConstView gamma_view,
                                    ConstView beta_view, ConstView residual_view, View y_view, View mean_view,
                                    View rstd_view) {
  count_kernel();
  const Shape& shape = x_view.shape;
  const Values x = read(x_view);
  const Values gamma = read(gamma_view);
  const Values beta = read(beta_view);
  const Values residual = read_or_zeros(residual_view, x_view.numel());
  if (p.batch_statistics) {
    const Values mean = mean_of(sum_over_rows(shape, [&](auto i, auto) { return x[i]; }), p, shape);
    Values rstd =
        mean_of(sum_over_rows(shape, [&](auto i, auto c) { return (x[i] - mean[c]) * (x[i] - mean[c]); }), p, shape);
    for (double& v : rstd) v = 1.0 / std::sqrt(v + p.eps);
    write(mean, mean_view);
    write(rstd, rstd_view);
  }
  // Read back, so that this rule and the others see the same rounded statistics.
  const Values mean = read(mean_view);
  const Values rstd = read(rstd_view);
  Values y(x.size());
  for_each(shape, [&](std::int64_t i, std::int64_t c) {
    const double pre = gamma[c] * ((x[i] - mean[c]) * rstd[c]) + beta[c] + residual[i];
    y[i] = p.relu && pre < 0 ? 0.0 : pre;
  });
  write(y, y_view);
}

void RefBackend::batch_norm_vjp(const BatchNormParams& p, const BatchNormSaved& saved, ConstView y_bar,
                                const BatchNormGradients& bars) {
  count_kernel();
  const Saved s(p, saved);
  const Values g = s.masked(read(y_bar));
  const Values sum_g = sum_over_rows(s.shape, [&](auto i, auto) { return g[i]; });
  const Values sum_gh = sum_over_rows(s.shape, [&](auto i, auto) { return g[i] * s.h[i]; });
  const Values m1 = mean_of(sum_g, p, s.shape);
  const Values m2 = mean_of(sum_gh, p, s.shape);
  Values x_bar(s.x.size());
  for_each(s.shape, [&](std::int64_t i, std::int64_t c) {
    x_bar[i] = s.gamma[c] * s.rstd[c] * (g[i] - m1[c] - s.h[i] * m2[c]);
  });
  write(x_bar, bars.x);
  write(sum_gh, bars.gamma);
  write(sum_g, bars.beta);
  write(g, bars.residual);
}

void RefBackend::batch_norm_jvp(const BatchNormParams& p, const BatchNormSaved& saved, ConstView x_dot_view,
                                ConstView gamma_dot_view, ConstView beta_dot_view, ConstView residual_dot_view,
                                View y_dot_view, View mean_dot_view, View rstd_dot_view) {
  count_kernel();
  const Saved s(p, saved);
  const Values x_dot = read_or_zeros(x_dot_view, saved.x.numel());
  const Values gamma_dot = read_or_zeros(gamma_dot_view, s.shape.back());
  const Values beta_dot = read_or_zeros(beta_dot_view, s.shape.back());
  const Values residual_dot = read_or_zeros(residual_dot_view, saved.x.numel());
  // variance = mean((x - mean)^2), so its tangent is 2 mean((x - mean) (x_dot - mean_dot)), and
  // rstd_dot = -rstd^3 / 2 variance_dot = -rstd^2 mean(h (x_dot - mean_dot)).
  const Values mean_dot = mean_of(sum_over_rows(s.shape, [&](auto i, auto) { return x_dot[i]; }), p, s.shape);
  Values rstd_dot =
      mean_of(sum_over_rows(s.shape, [&](auto i, auto c) { return s.h[i] * (x_dot[i] - mean_dot[c]); }), p, s.shape);
  for (std::int64_t c = 0; c < s.shape.back(); ++c) rstd_dot[c] *= -s.rstd[c] * s.rstd[c];
  const Values h_dot = s.h_dot(x_dot, mean_dot, rstd_dot);
  Values y_dot(s.x.size());
  for_each(s.shape, [&](std::int64_t i, std::int64_t c) {
    y_dot[i] = gamma_dot[c] * s.h[i] + s.gamma[c] * h_dot[i] + beta_dot[c] + residual_dot[i];
  });
  write(s.masked(std::move(y_dot)), y_dot_view);
  write(mean_dot, mean_dot_view);
  write(rstd_dot, rstd_dot_view);
}

void RefBackend::batch_norm_vjp_dot(const BatchNormParams& p, const BatchNormSaved& saved,
                                    const BatchNormSavedDot& saved_dot, ConstView y_bar, ConstView y_bar_dot,
                                    const BatchNormGradients& dots) {
  count_kernel();
  const Saved s(p, saved);
  const std::int64_t channels = s.shape.back();
  const Values gamma_dot = read_or_zeros(saved_dot.gamma, channels);
  const Values rstd_dot = read_or_zeros(saved_dot.rstd, channels);
  const Values h_dot =
      s.h_dot(read_or_zeros(saved_dot.x, saved.x.numel()), read_or_zeros(saved_dot.mean, channels), rstd_dot);
  const Values g = s.masked(read(y_bar));
  const Values g_dot = s.masked(read_or_zeros(y_bar_dot, saved.x.numel()));

  const Values sum_g = sum_over_rows(s.shape, [&](auto i, auto) { return g[i]; });
  const Values sum_gh = sum_over_rows(s.shape, [&](auto i, auto) { return g[i] * s.h[i]; });
  const Values sum_g_dot = sum_over_rows(s.shape, [&](auto i, auto) { return g_dot[i]; });
  const Values sum_gh_dot = sum_over_rows(s.shape, [&](auto i, auto) { return g_dot[i] * s.h[i] + g[i] * h_dot[i]; });
  const Values m1 = mean_of(sum_g, p, s.shape);
  const Values m2 = mean_of(sum_gh, p, s.shape);
  const Values m1_dot = mean_of(sum_g_dot, p, s.shape);
  const Values m2_dot = mean_of(sum_gh_dot, p, s.shape);

  Values x_bar_dot(s.x.size());
  for_each(s.shape, [&](std::int64_t i, std::int64_t c) {
    const double centred = g[i] - m1[c] - s.h[i] * m2[c];
    const double centred_dot = g_dot[i] - m1_dot[c] - h_dot[i] * m2[c] - s.h[i] * m2_dot[c];
    x_bar_dot[i] =
        (gamma_dot[c] * s.rstd[c] + s.gamma[c] * rstd_dot[c]) * centred + s.gamma[c] * s.rstd[c] * centred_dot;
  });
  write(x_bar_dot, dots.x);
  write(sum_gh_dot, dots.gamma);
  write(sum_g_dot, dots.beta);
  write(g_dot, dots.residual);
}

}  // namespace mcn::ref
