// Reference binary cross-entropy with logits: loss = mean of  w t softplus(-x) + (1 - t) softplus(x).
#include <cmath>

#include "kernels/ref/ref_backend.h"
#include "kernels/ref/values.h"

namespace mcn::ref {
namespace {

// log(1 + exp(x)) without overflow; NaN for NaN through the logarithm.
double softplus(double x) { return (x > 0 ? x : 0.0) + std::log1p(std::exp(-std::abs(x))); }

double sigmoid(double x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }

// First and second derivative of one term in x; 1 - sigmoid(x) = sigmoid(-x) keeps its digits for large x.
double slope(double w, double x, double t) { return (1 - t) * sigmoid(x) - w * t * sigmoid(-x); }
double curvature(double w, double x, double t) { return (1 - t + w * t) * sigmoid(x) * sigmoid(-x); }

}  // namespace

template <>
void RefBackend::compute(const kernel::BceForward& k) {
  const Values x = read(k.logits);
  const Values t = read(k.targets);
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += k.pos_weight * t[i] * softplus(-x[i]) + (1 - t[i]) * softplus(x[i]);
  write_scalar(sum / static_cast<double>(x.size()), k.loss);
}

template <>
void RefBackend::compute(const kernel::BceVjpDot& k) {
  const Values x = read(k.logits);
  const Values t = read(k.targets);
  const Values x_dot = read_or_zeros(k.logits_dot, k.logits.numel());
  const double loss_bar = read_scalar(k.loss_bar);
  const double loss_bar_dot = read_scalar(k.loss_bar_dot);
  Values out(x.size());
  for (std::size_t i = 0; i < x.size(); ++i)
    out[i] =
        (curvature(k.pos_weight, x[i], t[i]) * x_dot[i] * loss_bar + slope(k.pos_weight, x[i], t[i]) * loss_bar_dot) /
        static_cast<double>(x.size());
  write(out, k.logits_bar_dot);
}

template <>
void RefBackend::compute(const kernel::BceVjp& k) {
  // The tangent of vjp along loss_bar alone is vjp itself.
  compute(kernel::BceVjpDot{.pos_weight = k.pos_weight,
                            .logits = k.logits,
                            .targets = k.targets,
                            .loss_bar = {},
                            .loss_bar_dot = k.loss_bar,
                            .logits_bar_dot = k.logits_bar});
}

template <>
void RefBackend::compute(const kernel::BceJvp& k) {
  const Values x = read(k.logits);
  const Values t = read(k.targets);
  const Values x_dot = read_or_zeros(k.logits_dot, k.logits.numel());
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += slope(k.pos_weight, x[i], t[i]) * x_dot[i];
  write_scalar(sum / static_cast<double>(x.size()), k.loss_dot);
}

}  // namespace mcn::ref
