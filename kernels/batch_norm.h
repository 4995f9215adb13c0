// Batch normalization's four rules, fused with an optional residual add and ReLU:
//   h = (x - mean) * rstd;  pre = gamma * h + beta [+ residual];  y = pre, or max(pre, 0).
// Statistics are over every axis but the last (C), with the biased variance; rstd = 1 / sqrt(variance + eps).
#pragma once

#include "kernels/kernel.h"

namespace mcn {

struct BatchNormParams {
  using HasNoMembersToVisit = void;
  double eps = 1e-5;
  bool relu = false;
  /// true: mean and rstd are computed from x, and derivatives flow through them. false: they are given constants
  /// (evaluation with running statistics).
  bool batch_statistics = true;
};

/// What the forward rule leaves for the others. mean, rstd, gamma: C. y is read only where relu is set (its mask).
struct BatchNormSaved {
  ConstView x, gamma, mean, rstd;
  OptionalConstView y = {};
  static auto members(auto& s) { return std::tie(s.x, s.gamma, s.mean, s.rstd, s.y); }
};

/// Tangents left by jvp for vjp_dot. Absent ones are zero; mean's and rstd's are always there when batch_statistics is
/// set, and never otherwise.
struct BatchNormSavedDot {
  OptionalConstView x = {}, gamma = {}, mean = {}, rstd = {};
  static auto members(auto& s) { return std::tie(s.x, s.gamma, s.mean, s.rstd); }
};

/// Cotangents to write (overwrite).
struct BatchNormGradients {
  OptionalView x = {}, gamma = {}, beta = {}, residual = {};
  static auto members(auto& g) { return std::tie(g.x, g.gamma, g.beta, g.residual); }
};

namespace kernel {

/// mean and rstd are written if batch_statistics is set, else read.
struct BatchNormForward {
  static constexpr std::string_view name = "batch_norm_forward";
  BatchNormParams params = {};
  ConstView x, gamma, beta;
  OptionalConstView residual = {};
  View y, mean, rstd;
  static auto members(auto& k) { return std::tie(k.params, k.x, k.gamma, k.beta, k.residual, k.y, k.mean, k.rstd); }
};

/// With g = y_bar under the ReLU mask, m1 = mean(g), m2 = mean(g h): x_bar = gamma rstd (g - m1 - h m2),
/// gamma_bar = sum(g h), beta_bar = sum(g), residual_bar = g. (Fixed statistics: m1 = m2 = 0.)
struct BatchNormVjp {
  static constexpr std::string_view name = "batch_norm_vjp";
  BatchNormParams params = {};
  BatchNormSaved saved;
  ConstView y_bar;
  BatchNormGradients bars;
  static auto members(auto& k) { return std::tie(k.params, k.saved, k.y_bar, k.bars); }
};

/// y_dot = mask (gamma_dot h + gamma h_dot + beta_dot + residual_dot), h_dot = rstd (x_dot - mean_dot) + (x - mean)
/// rstd_dot. mean_dot, rstd_dot: written if batch_statistics.
struct BatchNormJvp {
  static constexpr std::string_view name = "batch_norm_jvp";
  BatchNormParams params = {};
  BatchNormSaved saved;
  OptionalConstView x_dot = {}, gamma_dot = {}, beta_dot = {}, residual_dot = {};
  View y_dot;
  OptionalView mean_dot = {}, rstd_dot = {};
  static auto members(auto& k) {
    return std::tie(k.params, k.saved, k.x_dot, k.gamma_dot, k.beta_dot, k.residual_dot, k.y_dot, k.mean_dot,
                    k.rstd_dot);
  }
};

/// The tangent of vjp.
struct BatchNormVjpDot {
  static constexpr std::string_view name = "batch_norm_vjp_dot";
  BatchNormParams params = {};
  BatchNormSaved saved;
  BatchNormSavedDot saved_dot;
  ConstView y_bar;
  OptionalConstView y_bar_dot = {};
  BatchNormGradients dots;
  static auto members(auto& k) { return std::tie(k.params, k.saved, k.saved_dot, k.y_bar, k.y_bar_dot, k.dots); }
};

}  // namespace kernel
}  // namespace mcn
