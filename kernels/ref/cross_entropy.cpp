// Reference softmax cross-entropy: loss = mean_i (lse_i - logit of the label), p = exp(logit - lse).
#include <cmath>

#include "kernels/ref/ref_backend.h"
#include "kernels/ref/values.h"

namespace mcn::ref {
namespace {

double delta(bool equal) { return equal ? 1.0 : 0.0; }

}  // namespace

template <>
void RefBackend::compute(const kernel::CrossEntropyForward& k) {
  const Values x = read(k.logits);
  const auto* label = k.labels.as<std::int64_t>();
  const std::int64_t rows = k.logits.shape[0];
  const std::int64_t classes = k.logits.shape[1];
  Values lse(static_cast<std::size_t>(rows));
  double sum = 0;
  for (std::int64_t i = 0; i < rows; ++i) {
    const double* row = &x[i * classes];
    double largest = row[0];
    for (std::int64_t c = 1; c < classes; ++c) largest = row[c] > largest ? row[c] : largest;
    double exponentials = 0;
    for (std::int64_t c = 0; c < classes; ++c) exponentials += std::exp(row[c] - largest);
    lse[i] = largest + std::log(exponentials);
    sum += lse[i] - row[label[i]];
  }
  write_scalar(sum / static_cast<double>(rows), k.loss);
  write(lse, k.lse);
}

template <>
void RefBackend::compute(const kernel::CrossEntropyVjpDot& k) {
  const Values x = read(k.logits);
  const Values lse = read(k.lse);
  const Values x_dot = read_or_zeros(k.logits_dot, k.logits.numel());
  const Values lse_dot = read_or_zeros(k.lse_dot, k.lse.numel());
  const double loss_bar = read_scalar(k.loss_bar);
  const double loss_bar_dot = read_scalar(k.loss_bar_dot);
  const auto* label = k.labels.as<std::int64_t>();
  const std::int64_t rows = k.logits.shape[0];
  const std::int64_t classes = k.logits.shape[1];
  Values out(x.size());
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t c = 0; c < classes; ++c) {
      const std::int64_t ic = i * classes + c;
      const double p = std::exp(x[ic] - lse[i]);
      const double p_dot = p * (x_dot[ic] - lse_dot[i]);
      out[ic] = (p_dot * loss_bar + (p - delta(c == label[i])) * loss_bar_dot) / static_cast<double>(rows);
    }
  write(out, k.logits_bar_dot);
}

template <>
void RefBackend::compute(const kernel::CrossEntropyVjp& k) {
  // The tangent of vjp along loss_bar alone is vjp itself.
  compute(kernel::CrossEntropyVjpDot{.logits = k.logits,
                                     .labels = k.labels,
                                     .lse = k.lse,
                                     .loss_bar = {},
                                     .loss_bar_dot = k.loss_bar,
                                     .logits_bar_dot = k.logits_bar});
}

template <>
void RefBackend::compute(const kernel::CrossEntropyJvp& k) {
  const Values x = read(k.logits);
  const Values lse = read(k.lse);
  const Values x_dot = read_or_zeros(k.logits_dot, k.logits.numel());
  const auto* label = k.labels.as<std::int64_t>();
  const std::int64_t rows = k.logits.shape[0];
  const std::int64_t classes = k.logits.shape[1];
  Values lse_dot(static_cast<std::size_t>(rows));
  double sum = 0;
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t c = 0; c < classes; ++c)
      lse_dot[i] += std::exp(x[i * classes + c] - lse[i]) * x_dot[i * classes + c];
    sum += lse_dot[i] - x_dot[i * classes + label[i]];
  }
  write_scalar(sum / static_cast<double>(rows), k.loss_dot);
  write(lse_dot, k.lse_dot);
}

}  // namespace mcn::ref
