// Reference InfoNCE. The candidates of an anchor are the N keys followed by the M bank rows; l_ij is their logit.
#include <cmath>
#include <limits>

#include "kernels/ref/ref_backend.h"
#include "kernels/ref/values.h"

namespace mcn::ref {
namespace {

struct Problem {
  std::int64_t rows, size, bank_rows;
  double temperature;
  Values anchor, key, bank;
  const std::int64_t* ids;
  const std::int64_t* bank_ids;

  explicit Problem(const InfoNceInputs& in)
      : rows(in.anchor.shape[0]),
        size(in.anchor.shape[1]),
        bank_rows(in.bank ? in.bank.shape[0] : 0),
        temperature(in.temperature),
        anchor(read(in.anchor)),
        key(read(in.key)),
        bank(read_or_zeros(in.bank, 0)),
        ids(in.ids.as<std::int64_t>()),
        bank_ids(in.bank_ids.as<std::int64_t>()) {}

  [[nodiscard]] std::int64_t candidates() const { return rows + bank_rows; }
  [[nodiscard]] bool excluded(std::int64_t i, std::int64_t j) const {
    return j >= rows && ids != nullptr && ids[i] == bank_ids[j - rows];
  }
  [[nodiscard]] const double* candidate(std::int64_t j) const {
    return j < rows ? &key[j * size] : &bank[(j - rows) * size];
  }
  [[nodiscard]] double dot(const double* a, const double* b) const {
    double sum = 0;
    for (std::int64_t c = 0; c < size; ++c) sum += a[c] * b[c];
    return sum;
  }
  [[nodiscard]] double logit(std::int64_t i, std::int64_t j) const {
    return dot(&anchor[i * size], candidate(j)) / temperature;
  }
  // The bank is constant, so that only a key's own tangent joins the anchor's.
  [[nodiscard]] double logit_dot(const Values& anchor_dot, const Values& key_dot, std::int64_t i,
                                 std::int64_t j) const {
    double sum = dot(&anchor_dot[i * size], candidate(j));
    if (j < rows) sum += dot(&anchor[i * size], &key_dot[j * size]);
    return sum / temperature;
  }
};

double delta(bool equal) { return equal ? 1.0 : 0.0; }

}  // namespace

template <>
void RefBackend::compute(const kernel::InfoNceForward& k) {
  const Problem p(k.inputs);
  Values lse(static_cast<std::size_t>(p.rows));
  double sum = 0;
  for (std::int64_t i = 0; i < p.rows; ++i) {
    double largest = p.logit(i, i);
    for (std::int64_t j = 0; j < p.candidates(); ++j)
      if (!p.excluded(i, j) && p.logit(i, j) > largest) largest = p.logit(i, j);
    double exponentials = 0;
    for (std::int64_t j = 0; j < p.candidates(); ++j)
      if (!p.excluded(i, j)) exponentials += std::exp(p.logit(i, j) - largest);
    lse[i] = largest + std::log(exponentials);
    sum += lse[i] - p.logit(i, i);
  }
  write_scalar(sum / static_cast<double>(p.rows), k.loss);
  write(lse, k.lse);
}

template <>
void RefBackend::compute(const kernel::InfoNceVjpDot& k) {
  const Problem p(k.inputs);
  const Values lse = read(k.lse);
  const Values anchor_dot = read_or_zeros(k.anchor_dot, k.inputs.anchor.numel());
  const Values key_dot = read_or_zeros(k.key_dot, k.inputs.key.numel());
  const Values lse_dot = read_or_zeros(k.lse_dot, p.rows);
  const double loss_bar = read_scalar(k.loss_bar) / static_cast<double>(p.rows);
  const double loss_bar_dot = read_scalar(k.loss_bar_dot) / static_cast<double>(p.rows);
  Values anchor_bar_dot(p.anchor.size());
  Values key_bar_dot(p.key.size());
  for (std::int64_t i = 0; i < p.rows; ++i)
    for (std::int64_t j = 0; j < p.candidates(); ++j) {
      if (p.excluded(i, j)) continue;
      const double softmax = std::exp(p.logit(i, j) - lse[i]);
      const double softmax_dot = softmax * (p.logit_dot(anchor_dot, key_dot, i, j) - lse_dot[i]);
      const double logit_bar = (softmax - delta(i == j)) * loss_bar;
      const double logit_bar_dot = softmax_dot * loss_bar + (softmax - delta(i == j)) * loss_bar_dot;
      for (std::int64_t c = 0; c < p.size; ++c) {
        const std::int64_t ic = i * p.size + c;
        const std::int64_t jc = j * p.size + c;
        anchor_bar_dot[ic] += logit_bar_dot * p.candidate(j)[c] / p.temperature;
        if (j >= p.rows) continue;
        anchor_bar_dot[ic] += logit_bar * key_dot[jc] / p.temperature;
        key_bar_dot[jc] += (logit_bar_dot * p.anchor[ic] + logit_bar * anchor_dot[ic]) / p.temperature;
      }
    }
  write(anchor_bar_dot, k.anchor_bar_dot);
  write(key_bar_dot, k.key_bar_dot);
}

template <>
void RefBackend::compute(const kernel::InfoNceVjp& k) {
  // The tangent of vjp along loss_bar alone is vjp itself.
  compute(kernel::InfoNceVjpDot{.inputs = k.inputs,
                                .lse = k.lse,
                                .loss_bar = {},
                                .loss_bar_dot = k.loss_bar,
                                .anchor_bar_dot = k.anchor_bar,
                                .key_bar_dot = k.key_bar});
}

template <>
void RefBackend::compute(const kernel::InfoNceJvp& k) {
  const Problem p(k.inputs);
  const Values lse = read(k.lse);
  const Values anchor_dot = read_or_zeros(k.anchor_dot, k.inputs.anchor.numel());
  const Values key_dot = read_or_zeros(k.key_dot, k.inputs.key.numel());
  Values lse_dot(static_cast<std::size_t>(p.rows));
  double sum = 0;
  for (std::int64_t i = 0; i < p.rows; ++i) {
    for (std::int64_t j = 0; j < p.candidates(); ++j)
      if (!p.excluded(i, j)) lse_dot[i] += std::exp(p.logit(i, j) - lse[i]) * p.logit_dot(anchor_dot, key_dot, i, j);
    sum += lse_dot[i] - p.logit_dot(anchor_dot, key_dot, i, i);
  }
  write_scalar(sum / static_cast<double>(p.rows), k.loss_dot);
  write(lse_dot, k.lse_dot);
}

}  // namespace mcn::ref
