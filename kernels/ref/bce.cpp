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

void RefBackend::bce_forward(double pos_weight, ConstView logits, ConstView targets, View loss) {
  count_kernel();
  const Values x = read(logits);
  const Values t = read(targets);
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += pos_weight * t[i] * softplus(-x[i]) + (1 - t[i]) * softplus(x[i]);
  write_scalar(sum / static_cast<double>(x.size()), loss);
}

void RefBackend::bce_vjp(double pos_weight, ConstView logits, ConstView targets, ConstView loss_bar, View logits_bar) {
  // The tangent of vjp along loss_bar alone is vjp itself.
  bce_vjp_dot(pos_weight, logits, targets, {}, {}, loss_bar, logits_bar);
}

void RefBackend::bce_jvp(double pos_weight, ConstView logits, ConstView targets, ConstView logits_dot, View loss_dot) {
  count_kernel();
  const Values x = read(logits);
  const Values t = read(targets);
  const Values x_dot = read_or_zeros(logits_dot, logits.numel());
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += slope(pos_weight, x[i], t[i]) * x_dot[i];
  write_scalar(sum / static_cast<double>(x.size()), loss_dot);
}

void RefBackend::bce_vjp_dot(double pos_weight, ConstView logits, ConstView targets, ConstView logits_dot,
                             ConstView loss_bar_view, ConstView loss_bar_dot_view, View logits_bar_dot) {
  count_kernel();
  const Values x = read(logits);
  const Values t = read(targets);
  const Values x_dot = read_or_zeros(logits_dot, logits.numel());
  const double loss_bar = read_scalar(loss_bar_view);
  const double loss_bar_dot = read_scalar(loss_bar_dot_view);
  Values out(x.size());
  for (std::size_t i = 0; i < x.size(); ++i)
    out[i] = (curvature(pos_weight, x[i], t[i]) * x_dot[i] * loss_bar + slope(pos_weight, x[i], t[i]) * loss_bar_dot) /
             static_cast<double>(x.size());
  write(out, logits_bar_dot);
}

}  // namespace mcn::ref
