// Signatures of batch normalisation's four rules, fused with an optional residual add and ReLU:
//   h = (x - mean) * rstd;  pre = gamma * h + beta [+ residual];  y = pre, or max(pre, 0).
// Statistics are over every axis but the last (C), with the biased variance; rstd = 1 / sqrt(variance + eps).
#pragma once

#include "kernels/view.h"

namespace mcn {

struct BatchNormParams {
  double eps = 1e-5;
  bool relu = false;
  /// true: mean and rstd are computed from x, and derivatives flow through them. false: they are given constants
  /// (evaluation with running statistics).
  bool batch_statistics = true;
};

/// What the forward rule leaves for the others. mean, rstd, gamma: C. y is read only where relu is set (its mask).
struct BatchNormSaved {
  ConstView x, gamma, mean, rstd, y;
};

/// Tangents left by jvp for vjp_dot. Any but mean and rstd may be absent (zero); mean and rstd tangents are always
/// there when batch_statistics is set, and never otherwise.
struct BatchNormSavedDot {
  ConstView x, gamma, mean, rstd;
};

/// Cotangents to write (overwrite). A view without data is not wanted.
struct BatchNormGradients {
  View x, gamma, beta, residual;
};

class BatchNormKernels {
 public:
  /// residual may be absent. mean and rstd are written if batch_statistics is set, else read.
  virtual void batch_norm_forward(const BatchNormParams&, ConstView x, ConstView gamma, ConstView beta,
                                  ConstView residual, View y, View mean, View rstd) = 0;
  /// With g = y_bar under the ReLU mask, m1 = mean(g), m2 = mean(g h): x_bar = gamma rstd (g - m1 - h m2),
  /// gamma_bar = sum(g h), beta_bar = sum(g), residual_bar = g. (Fixed statistics: m1 = m2 = 0.)
  virtual void batch_norm_vjp(const BatchNormParams&, const BatchNormSaved&, ConstView y_bar,
                              const BatchNormGradients&) = 0;
  /// y_dot = mask (gamma_dot h + gamma h_dot + beta_dot + residual_dot), h_dot = rstd (x_dot - mean_dot) + (x - mean)
  /// rstd_dot. Tangents of gamma, beta, residual and x may be absent. mean_dot, rstd_dot: written if batch_statistics.
  virtual void batch_norm_jvp(const BatchNormParams&, const BatchNormSaved&, ConstView x_dot, ConstView gamma_dot,
                              ConstView beta_dot, ConstView residual_dot, View y_dot, View mean_dot, View rstd_dot) = 0;
  /// The tangent of vjp. y_bar_dot may be absent (zero).
  virtual void batch_norm_vjp_dot(const BatchNormParams&, const BatchNormSaved&, const BatchNormSavedDot&,
                                  ConstView y_bar, ConstView y_bar_dot, const BatchNormGradients& dots) = 0;

 protected:
  ~BatchNormKernels() = default;
};

}  // namespace mcn
