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

template <>
void RefBackend::compute(const kernel::BatchNormForward& k) {
  const Shape& shape = k.x.shape;
  const Values x = read(k.x);
  const Values gamma = read(k.gamma);
  const Values beta = read(k.beta);
  const Values residual = read_or_zeros(k.residual, k.x.numel());
  if (k.params.batch_statistics) {
    const Values mean = mean_of(sum_over_rows(shape, [&](auto i, auto) { return x[i]; }), k.params, shape);
    Values rstd = mean_of(sum_over_rows(shape, [&](auto i, auto c) { return (x[i] - mean[c]) * (x[i] - mean[c]); }),
                          k.params, shape);
    for (double& v : rstd) v = 1.0 / std::sqrt(v + k.params.eps);
    write(mean, k.mean);
    write(rstd, k.rstd);
  }
  // Read back, so that this rule and the others see the same rounded statistics.
  const Values mean = read(k.mean);
  const Values rstd = read(k.rstd);
  Values y(x.size());
  for_each(shape, [&](std::int64_t i, std::int64_t c) {
    const double pre = gamma[c] * ((x[i] - mean[c]) * rstd[c]) + beta[c] + residual[i];
    y[i] = k.params.relu && pre < 0 ? 0.0 : pre;
  });
  write(y, k.y);
}

template <>
void RefBackend::compute(const kernel::BatchNormVjp& k) {
  const Saved s(k.params, k.saved);
  const Values g = s.masked(read(k.y_bar));
  const Values sum_g = sum_over_rows(s.shape, [&](auto i, auto) { return g[i]; });
  const Values sum_gh = sum_over_rows(s.shape, [&](auto i, auto) { return g[i] * s.h[i]; });
  const Values m1 = mean_of(sum_g, k.params, s.shape);
  const Values m2 = mean_of(sum_gh, k.params, s.shape);
  Values x_bar(s.x.size());
  for_each(s.shape, [&](std::int64_t i, std::int64_t c) {
    x_bar[i] = s.gamma[c] * s.rstd[c] * (g[i] - m1[c] - s.h[i] * m2[c]);
  });
  write(x_bar, k.bars.x);
  write(sum_gh, k.bars.gamma);
  write(sum_g, k.bars.beta);
  write(g, k.bars.residual);
}

template <>
void RefBackend::compute(const kernel::BatchNormJvp& k) {
  const Saved s(k.params, k.saved);
  const Values x_dot = read_or_zeros(k.x_dot, k.saved.x.numel());
  const Values gamma_dot = read_or_zeros(k.gamma_dot, s.shape.back());
  const Values beta_dot = read_or_zeros(k.beta_dot, s.shape.back());
  const Values residual_dot = read_or_zeros(k.residual_dot, k.saved.x.numel());
  // variance = mean((x - mean)^2), so its tangent is 2 mean((x - mean) (x_dot - mean_dot)), and
  // rstd_dot = -rstd^3 / 2 variance_dot = -rstd^2 mean(h (x_dot - mean_dot)).
  const Values mean_dot = mean_of(sum_over_rows(s.shape, [&](auto i, auto) { return x_dot[i]; }), k.params, s.shape);
  Values rstd_dot = mean_of(sum_over_rows(s.shape, [&](auto i, auto c) { return s.h[i] * (x_dot[i] - mean_dot[c]); }),
                            k.params, s.shape);
  for (std::int64_t c = 0; c < s.shape.back(); ++c) rstd_dot[c] *= -s.rstd[c] * s.rstd[c];
  const Values h_dot = s.h_dot(x_dot, mean_dot, rstd_dot);
  Values y_dot(s.x.size());
  for_each(s.shape, [&](std::int64_t i, std::int64_t c) {
    y_dot[i] = gamma_dot[c] * s.h[i] + s.gamma[c] * h_dot[i] + beta_dot[c] + residual_dot[i];
  });
  write(s.masked(std::move(y_dot)), k.y_dot);
  write(mean_dot, k.mean_dot);
  write(rstd_dot, k.rstd_dot);
}

template <>
void RefBackend::compute(const kernel::BatchNormVjpDot& k) {
  const Saved s(k.params, k.saved);
  const std::int64_t channels = s.shape.back();
  const Values gamma_dot = read_or_zeros(k.saved_dot.gamma, channels);
  const Values rstd_dot = read_or_zeros(k.saved_dot.rstd, channels);
  const Values h_dot =
      s.h_dot(read_or_zeros(k.saved_dot.x, k.saved.x.numel()), read_or_zeros(k.saved_dot.mean, channels), rstd_dot);
  const Values g = s.masked(read(k.y_bar));
  const Values g_dot = s.masked(read_or_zeros(k.y_bar_dot, k.saved.x.numel()));

  const Values sum_g = sum_over_rows(s.shape, [&](auto i, auto) { return g[i]; });
  const Values sum_gh = sum_over_rows(s.shape, [&](auto i, auto) { return g[i] * s.h[i]; });
  const Values sum_g_dot = sum_over_rows(s.shape, [&](auto i, auto) { return g_dot[i]; });
  const Values sum_gh_dot = sum_over_rows(s.shape, [&](auto i, auto) { return g_dot[i] * s.h[i] + g[i] * h_dot[i]; });
  const Values m1 = mean_of(sum_g, k.params, s.shape);
  const Values m2 = mean_of(sum_gh, k.params, s.shape);
  const Values m1_dot = mean_of(sum_g_dot, k.params, s.shape);
  const Values m2_dot = mean_of(sum_gh_dot, k.params, s.shape);

  Values x_bar_dot(s.x.size());
  for_each(s.shape, [&](std::int64_t i, std::int64_t c) {
    const double centred = g[i] - m1[c] - s.h[i] * m2[c];
    const double centred_dot = g_dot[i] - m1_dot[c] - h_dot[i] * m2[c] - s.h[i] * m2_dot[c];
    x_bar_dot[i] =
        (gamma_dot[c] * s.rstd[c] + s.gamma[c] * rstd_dot[c]) * centred + s.gamma[c] * s.rstd[c] * centred_dot;
  });
  write(x_bar_dot, k.dots.x);
  write(sum_gh_dot, k.dots.gamma);
  write(sum_g_dot, k.dots.beta);
  write(g_dot, k.dots.residual);
}

}  // namespace mcn::ref
