// Cross-entropy and binary cross-entropy. Rows are few and short beside the network's work: one thread, sums in double.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/cpu_backend.h"

namespace mcn::cpu {
namespace {

// The scalar of a one-element view; zero where it is absent.
template <class T>
double scalar(ConstView v) {
  return v ? static_cast<double>(*v.as<T>()) : 0.0;
}

// log(1 + exp(x)) without overflow.
double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

double sigmoid(double x) {
  const double e = std::exp(-std::abs(x));
  return (x < 0 ? e : 1.0) / (1.0 + e);
}

// Slope and curvature of the binary cross-entropy in its logit.
double bce_slope(double pos_weight, double x, double t) { return -pos_weight * t * sigmoid(-x) + (1 - t) * sigmoid(x); }
double bce_curvature(double pos_weight, double x, double t) {
  return (pos_weight * t + 1 - t) * sigmoid(x) * sigmoid(-x);
}

}  // namespace

template <>
void CpuBackend::compute(const kernel::CrossEntropyForward& k) {
  dispatch_float(k.logits.dtype, [&]<class T>(T) {
    const std::int64_t rows = k.logits.shape[0];
    const std::int64_t classes = k.logits.shape[1];
    double total = 0;
    for (std::int64_t i = 0; i < rows; ++i) {
      const T* row = k.logits.as<T>() + i * classes;
      const auto top = static_cast<double>(*std::max_element(row, row + classes));
      double sum = 0;
      for (std::int64_t c = 0; c < classes; ++c) sum += std::exp(static_cast<double>(row[c]) - top);
      const double l = top + std::log(sum);
      k.lse.as<T>()[i] = static_cast<T>(l);
      total += l - static_cast<double>(row[k.labels.as<std::int64_t>()[i]]);
    }
    *k.loss.as<T>() = static_cast<T>(total / static_cast<double>(rows));
  });
}

template <>
void CpuBackend::compute(const kernel::CrossEntropyVjp& k) {
  dispatch_float(k.logits.dtype, [&]<class T>(T) {
    const std::int64_t rows = k.logits.shape[0];
    const std::int64_t classes = k.logits.shape[1];
    const double g = scalar<T>(k.loss_bar) / static_cast<double>(rows);
    for (std::int64_t i = 0; i < rows; ++i) {
      const T* row = k.logits.as<T>() + i * classes;
      T* out = k.logits_bar.as<T>() + i * classes;
      const auto l = static_cast<double>(k.lse.as<T>()[i]);
      const std::int64_t label = k.labels.as<std::int64_t>()[i];
      for (std::int64_t c = 0; c < classes; ++c) {
        const double p = std::exp(static_cast<double>(row[c]) - l);
        out[c] = static_cast<T>(g * (p - (c == label ? 1.0 : 0.0)));
      }
    }
  });
}

template <>
void CpuBackend::compute(const kernel::CrossEntropyJvp& k) {
  dispatch_float(k.logits.dtype, [&]<class T>(T) {
    const std::int64_t rows = k.logits.shape[0];
    const std::int64_t classes = k.logits.shape[1];
    double total = 0;
    for (std::int64_t i = 0; i < rows; ++i) {
      const T* row = k.logits.as<T>() + i * classes;
      const T* dot = k.logits_dot ? k.logits_dot.as<T>() + i * classes : nullptr;
      const auto l = static_cast<double>(k.lse.as<T>()[i]);
      double sum = 0;
      if (dot != nullptr) {
        for (std::int64_t c = 0; c < classes; ++c)
          sum += std::exp(static_cast<double>(row[c]) - l) * static_cast<double>(dot[c]);
        total += sum - static_cast<double>(dot[k.labels.as<std::int64_t>()[i]]);
      }
      k.lse_dot.as<T>()[i] = static_cast<T>(sum);
    }
    *k.loss_dot.as<T>() = static_cast<T>(total / static_cast<double>(rows));
  });
}

template <>
void CpuBackend::compute(const kernel::CrossEntropyVjpDot& k) {
  dispatch_float(k.logits.dtype, [&]<class T>(T) {
    const std::int64_t rows = k.logits.shape[0];
    const std::int64_t classes = k.logits.shape[1];
    const double g = scalar<T>(k.loss_bar) / static_cast<double>(rows);
    const double g_dot = scalar<T>(k.loss_bar_dot) / static_cast<double>(rows);
    for (std::int64_t i = 0; i < rows; ++i) {
      const T* row = k.logits.as<T>() + i * classes;
      const T* dot = k.logits_dot ? k.logits_dot.as<T>() + i * classes : nullptr;
      T* out = k.logits_bar_dot.as<T>() + i * classes;
      const auto l = static_cast<double>(k.lse.as<T>()[i]);
      const double l_dot = k.lse_dot ? static_cast<double>(k.lse_dot.as<T>()[i]) : 0.0;
      const std::int64_t label = k.labels.as<std::int64_t>()[i];
      for (std::int64_t c = 0; c < classes; ++c) {
        const double p = std::exp(static_cast<double>(row[c]) - l);
        const double p_dot = dot != nullptr ? p * (static_cast<double>(dot[c]) - l_dot) : 0.0;
        out[c] = static_cast<T>(g_dot * (p - (c == label ? 1.0 : 0.0)) + g * p_dot);
      }
    }
  });
}

template <>
void CpuBackend::compute(const kernel::BceForward& k) {
  dispatch_float(k.logits.dtype, [&]<class T>(T) {
    const std::int64_t n = k.logits.numel();
    double total = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      const auto x = static_cast<double>(k.logits.as<T>()[i]);
      const auto t = static_cast<double>(k.targets.as<T>()[i]);
      total += k.pos_weight * t * softplus(-x) + (1 - t) * softplus(x);
    }
    *k.loss.as<T>() = static_cast<T>(total / static_cast<double>(n));
  });
}

template <>
void CpuBackend::compute(const kernel::BceVjp& k) {
  dispatch_float(k.logits.dtype, [&]<class T>(T) {
    const std::int64_t n = k.logits.numel();
    const double g = scalar<T>(k.loss_bar) / static_cast<double>(n);
    for (std::int64_t i = 0; i < n; ++i)
      k.logits_bar.as<T>()[i] = static_cast<T>(g * bce_slope(k.pos_weight, static_cast<double>(k.logits.as<T>()[i]),
                                                             static_cast<double>(k.targets.as<T>()[i])));
  });
}

template <>
void CpuBackend::compute(const kernel::BceJvp& k) {
  dispatch_float(k.logits.dtype, [&]<class T>(T) {
    const std::int64_t n = k.logits.numel();
    double total = 0;
    for (std::int64_t i = 0; k.logits_dot && i < n; ++i)
      total +=
          static_cast<double>(k.logits_dot.as<T>()[i]) *
          bce_slope(k.pos_weight, static_cast<double>(k.logits.as<T>()[i]), static_cast<double>(k.targets.as<T>()[i]));
    *k.loss_dot.as<T>() = static_cast<T>(total / static_cast<double>(n));
  });
}

template <>
void CpuBackend::compute(const kernel::BceVjpDot& k) {
  dispatch_float(k.logits.dtype, [&]<class T>(T) {
    const std::int64_t n = k.logits.numel();
    const double g = scalar<T>(k.loss_bar) / static_cast<double>(n);
    const double g_dot = scalar<T>(k.loss_bar_dot) / static_cast<double>(n);
    for (std::int64_t i = 0; i < n; ++i) {
      const auto x = static_cast<double>(k.logits.as<T>()[i]);
      const auto t = static_cast<double>(k.targets.as<T>()[i]);
      const double x_dot = k.logits_dot ? static_cast<double>(k.logits_dot.as<T>()[i]) : 0.0;
      k.logits_bar_dot.as<T>()[i] =
          static_cast<T>(g_dot * bce_slope(k.pos_weight, x, t) + g * bce_curvature(k.pos_weight, x, t) * x_dot);
    }
  });
}

}  // namespace mcn::cpu
