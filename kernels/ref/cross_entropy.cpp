// Reference softmax cross-entropy: loss = mean_i (lse_i - logit of the label), p = exp(logit - lse).
#include <cmath>

#include "kernels/ref/ref_backend.h"
#include "kernels/ref/values.h"

namespace mcn::ref {
namespace {

double delta(bool equal) { return equal ? 1.0 : 0.0; }

}  // namespace

void RefBackend::cross_entropy_forward(ConstView logits, ConstView labels, View loss, View lse_view) {
  count_kernel();
  const Values x = read(logits);
  const auto* label = labels.as<std::int64_t>();
  const std::int64_t rows = logits.shape[0];
  const std::int64_t classes = logits.shape[1];
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
  write_scalar(sum / static_cast<double>(rows), loss);
  write(lse, lse_view);
}

void RefBackend::cross_entropy_vjp(ConstView logits, ConstView labels, ConstView lse, ConstView loss_bar,
                                   View logits_bar) {
  // The tangent of vjp along loss_bar alone is vjp itself.
  cross_entropy_vjp_dot(logits, labels, lse, {}, {}, {}, loss_bar, logits_bar);
}

void RefBackend::cross_entropy_jvp(ConstView logits, ConstView labels, ConstView lse_view, ConstView logits_dot,
                                   View loss_dot, View lse_dot_view) {
  count_kernel();
  const Values x = read(logits);
  const Values lse = read(lse_view);
  const Values x_dot = read_or_zeros(logits_dot, logits.numel());
  const auto* label = labels.as<std::int64_t>();
  const std::int64_t rows = logits.shape[0];
  const std::int64_t classes = logits.shape[1];
  Values lse_dot(static_cast<std::size_t>(rows));
  double sum = 0;
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t c = 0; c < classes; ++c)
      lse_dot[i] += std::exp(x[i * classes + c] - lse[i]) * x_dot[i * classes + c];
    sum += lse_dot[i] - x_dot[i * classes + label[i]];
  }
  write_scalar(sum / static_cast<double>(rows), loss_dot);
  write(lse_dot, lse_dot_view);
}

void RefBackend::cross_entropy_vjp_dot(ConstView logits, ConstView labels, ConstView lse_view, ConstView logits_dot,
                                       ConstView lse_dot_view, ConstView loss_bar_view, ConstView loss_bar_dot_view,
                                       View logits_bar_dot) {
  count_kernel();
  const Values x = read(logits);
  const Values lse = read(lse_view);
  const Values x_dot = read_or_zeros(logits_dot, logits.numel());
  const Values lse_dot = read_or_zeros(lse_dot_view, lse_view.numel());
  const double loss_bar = read_scalar(loss_bar_view);
  const double loss_bar_dot = read_scalar(loss_bar_dot_view);
  const auto* label = labels.as<std::int64_t>();
  const std::int64_t rows = logits.shape[0];
  const std::int64_t classes = logits.shape[1];
  Values out(x.size());
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t c = 0; c < classes; ++c) {
      const std::int64_t ic = i * classes + c;
      const double p = std::exp(x[ic] - lse[i]);
      const double p_dot = p * (x_dot[ic] - lse_dot[i]);
      out[ic] = (p_dot * loss_bar + (p - delta(c == label[i])) * loss_bar_dot) / static_cast<double>(rows);
    }
  write(out, logits_bar_dot);
}

}  // namespace mcn::ref
