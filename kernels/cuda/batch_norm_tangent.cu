// Batch normalisation's tangents: jvp and vjp_dot, each sums over rows x C channels (device/channel_sums.h) and one
// fused pass. With xc = x - mean and xdc = x_dot - mean_dot, h = rstd xc and h_dot = rstd xdc + rstd_dot xc, both rules
// become linear in the tensors that are read, with coefficients a channel.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/device/batch_norm_elements.h"

namespace mcn::MCN_DEVICE_NAMESPACE {
namespace {

// sum(x_dot), sum(x_dot xc) and sum(xc); the last is zero but for the rounding of the mean.
template <class T>
struct JvpRule {
  using Value = Sums<3>;
  const T *x, *x_dot, *mean;

  struct Element {
    T x, x_dot;
  };
  __device__ Value sum(const ChannelWalk& walk) const {
    const T m = mean[walk.channel];
    return sum_terms<T, 3>(
        walk,
        [this](std::int64_t i) {
          return Element{x[i], x_dot[i]};
        },
        [=](const Element& e, T(&sums)[3]) {
          const T xc = e.x - m;
          sums[0] += e.x_dot;
          sums[1] += e.x_dot * xc;
          sums[2] += xc;
        });
  }
};

// y_dot = mask (p xc + q (x_dot - mean_dot) + offset + residual_dot)
template <class T>
struct JvpCoefficients {
  T p, q, mean_dot, offset;
};

template <class T>
struct FinishJvp {
  bool batch_statistics;
  double rows;
  const T *gamma, *rstd, *gamma_dot, *beta_dot;
  T *mean_dot, *rstd_dot;
  JvpCoefficients<T>* coefficients;

  __device__ void operator()(std::int64_t c, const Sums<3>& sums) const {
    const double r = static_cast<double>(rstd[c]);
    const double slope = static_cast<double>(gamma[c]);
    double mean_change = 0, rstd_change = 0;
    if (batch_statistics) {
      mean_change = sums.of[0] / rows;
      rstd_change = -r * r * r * ((sums.of[1] - mean_change * sums.of[2]) / rows);
      mean_dot[c] = static_cast<T>(mean_change);
      rstd_dot[c] = static_cast<T>(rstd_change);
    }
    coefficients[c] = {static_cast<T>(static_cast<double>(value_or_zero(gamma_dot, c)) * r + slope * rstd_change),
                       static_cast<T>(slope * r), static_cast<T>(mean_change), value_or_zero(beta_dot, c)};
  }
};

template <class T>
struct JvpReads {
  const T *x, *y, *x_dot, *residual_dot, *mean;

  struct Element {
    T x, y, x_dot, residual_dot;
  };
  __device__ Element operator()(std::int64_t i) const {
    return {x[i], mask_value(y, i), value_or_zero(x_dot, i), value_or_zero(residual_dot, i)};
  }
};

template <class T>
__global__ void __launch_bounds__(channel_threads)
    batch_norm_jvp_kernel(ChannelGrid g, JvpReads<T> reads, const JvpCoefficients<T>* coefficients, T* y_dot) {
  const ChannelWalk walk(g);
  if (!walk.active) return;
  const T mean = reads.mean[walk.channel];
  const JvpCoefficients<T> k = coefficients[walk.channel];
  walk.for_each_batch<pass_batch>(reads, [&]<int n>(auto&& elements, const typename JvpReads<T>::Element(&e)[n]) {
#pragma unroll
    for (int j = 0; j < n; ++j) {
      const T v = k.p * (e[j].x - mean) + k.q * (e[j].x_dot - k.mean_dot) + k.offset + e[j].residual_dot;
      y_dot[elements(j)] = masked(e[j].y, v);
    }
  });
}

template <class T>
void jvp(cudaStream_t stream, const BatchNormParams& params, const BatchNormSaved& s, ConstView x_dot,
         ConstView gamma_dot, ConstView beta_dot, ConstView residual_dot, View y_dot, View mean_dot, View rstd_dot) {
  const ChannelGrid g = batch_norm_grid(y_dot);
  const JvpReads<T> reads{s.x.as<T>(), params.relu ? s.y.as<T>() : nullptr, x_dot.as<T>(), residual_dot.as<T>(),
                          s.mean.as<T>()};
  const DeviceArray<JvpCoefficients<T>> coefficients(stream, g.channels);
  sum_channels(
      stream, g, params.batch_statistics && x_dot, JvpRule<T>{reads.x, reads.x_dot, reads.mean},
      FinishJvp<T>{params.batch_statistics, static_cast<double>(g.rows), s.gamma.as<T>(), s.rstd.as<T>(),
                   gamma_dot.as<T>(), beta_dot.as<T>(), mean_dot.as<T>(), rstd_dot.as<T>(), coefficients.get()});
  launch<batch_norm_jvp_kernel<T>>(stream, g.grid(), g, reads, coefficients.get(), y_dot.as<T>());
}

// What vjp_dot reads: g and g_dot are y_bar and its tangent under the mask.
template <class T>
struct VjpDotReads {
  const T *x, *y, *x_dot, *y_bar, *y_bar_dot, *mean, *mean_dot;

  struct Element {
    T x, y, x_dot, y_bar, y_bar_dot;
    [[nodiscard]] __device__ T g() const { return masked(y, y_bar); }
    [[nodiscard]] __device__ T g_dot() const { return masked(y, y_bar_dot); }
  };
  __device__ Element operator()(std::int64_t i) const {
    return {x[i], mask_value(y, i), value_or_zero(x_dot, i), y_bar[i], value_or_zero(y_bar_dot, i)};
  }
};

// sums over rows of g, g xc, g_dot, g_dot xc and g xdc.
template <class T>
struct VjpDotRule {
  using Value = Sums<5>;
  VjpDotReads<T> reads;

  __device__ Value sum(const ChannelWalk& walk) const {
    const T mean = reads.mean[walk.channel];
    const T mean_dot = value_or_zero(reads.mean_dot, walk.channel);
    return sum_terms<T, 5>(walk, reads, [=](const typename VjpDotReads<T>::Element& e, T(&sums)[5]) {
      const T xc = e.x - mean;
      sums[0] += e.g();
      sums[1] += e.g() * xc;
      sums[2] += e.g_dot();
      sums[3] += e.g_dot() * xc;
      sums[4] += e.g() * (e.x_dot - mean_dot);
    });
  }
};

// x_bar_dot = a g + b g_dot + p xc + q xdc + offset
template <class T>
struct VjpDotCoefficients {
  T a, b, p, q, offset;
};

template <class T>
struct FinishVjpDot {
  bool batch_statistics;
  double rows;
  const T *gamma, *rstd, *gamma_dot, *rstd_dot;
  T *gamma_bar_dot, *beta_bar_dot;
  VjpDotCoefficients<T>* coefficients;

  __device__ void operator()(std::int64_t c, const Sums<5>& sums) const {
    const double r = static_cast<double>(rstd[c]);
    const double r_dot = static_cast<double>(value_or_zero(rstd_dot, c));
    const double sum_gh_dot = r * (sums.of[3] + sums.of[4]) + r_dot * sums.of[1];
    if (gamma_bar_dot != nullptr) gamma_bar_dot[c] = static_cast<T>(sum_gh_dot);
    if (beta_bar_dot != nullptr) beta_bar_dot[c] = static_cast<T>(sums.of[2]);
    const double slope = static_cast<double>(gamma[c]) * r;
    const double slope_dot =
        static_cast<double>(value_or_zero(gamma_dot, c)) * r + static_cast<double>(gamma[c]) * r_dot;
    // The means that batch_norm.h calls m1 and m2, and their tangents; fixed statistics have none.
    const double inverse = batch_statistics ? 1.0 / rows : 0.0;
    const double m1 = sums.of[0] * inverse;
    const double m2 = r * sums.of[1] * inverse;
    const double m1_dot = sums.of[2] * inverse;
    const double m2_dot = sum_gh_dot * inverse;
    coefficients[c] = {static_cast<T>(slope_dot), static_cast<T>(slope),
                       static_cast<T>(-slope_dot * r * m2 - slope * (r_dot * m2 + r * m2_dot)),
                       static_cast<T>(-slope * r * m2), static_cast<T>(-slope_dot * m1 - slope * m1_dot)};
  }
};

template <class T>
__global__ void __launch_bounds__(channel_threads)
    batch_norm_vjp_dot_kernel(ChannelGrid g, VjpDotReads<T> reads, const VjpDotCoefficients<T>* coefficients,
                              T* x_bar_dot, T* residual_bar_dot) {
  const ChannelWalk walk(g);
  if (!walk.active) return;
  const T mean = reads.mean[walk.channel];
  const T mean_dot = value_or_zero(reads.mean_dot, walk.channel);
  const VjpDotCoefficients<T> k = coefficients[walk.channel];
  walk.for_each_batch<pass_batch>(reads, [&]<int n>(auto&& elements, const typename VjpDotReads<T>::Element(&e)[n]) {
#pragma unroll
    for (int j = 0; j < n; ++j) {
      if (residual_bar_dot != nullptr) residual_bar_dot[elements(j)] = e[j].g_dot();
      if (x_bar_dot != nullptr)
        x_bar_dot[elements(j)] =
            k.a * e[j].g() + k.b * e[j].g_dot() + k.p * (e[j].x - mean) + k.q * (e[j].x_dot - mean_dot) + k.offset;
    }
  });
}

template <class T>
void vjp_dot(cudaStream_t stream, const BatchNormParams& params, const BatchNormSaved& s, const BatchNormSavedDot& dot,
             ConstView y_bar, ConstView y_bar_dot, const BatchNormGradients& out) {
  const ChannelGrid g = batch_norm_grid(y_bar);
  const VjpDotReads<T> reads{s.x.as<T>(),       params.relu ? s.y.as<T>() : nullptr,
                             dot.x.as<T>(),     y_bar.as<T>(),
                             y_bar_dot.as<T>(), s.mean.as<T>(),
                             dot.mean.as<T>()};
  const bool wants_sums = out.gamma || out.beta || (out.x && params.batch_statistics);
  const DeviceArray<VjpDotCoefficients<T>> coefficients(stream, g.channels);
  sum_channels(
      stream, g, wants_sums, VjpDotRule<T>{reads},
      FinishVjpDot<T>{params.batch_statistics, static_cast<double>(g.rows), s.gamma.as<T>(), s.rstd.as<T>(),
                      dot.gamma.as<T>(), dot.rstd.as<T>(), out.gamma.as<T>(), out.beta.as<T>(), coefficients.get()});
  if (out.x || out.residual)
    launch<batch_norm_vjp_dot_kernel<T>>(stream, g.grid(), g, reads, coefficients.get(), out.x.as<T>(),
                                         out.residual.as<T>());
}

}  // namespace

template <>
void CudaBackend::compute(const kernel::BatchNormJvp& k) {
  if (k.y_dot.shape.back() == 0) return;
  dispatch_float(k.y_dot.dtype, [&]<class T>(T) {
    jvp<T>(stream(), k.params, k.saved, k.x_dot, k.gamma_dot, k.beta_dot, k.residual_dot, k.y_dot, k.mean_dot,
           k.rstd_dot);
  });
}

template <>
void CudaBackend::compute(const kernel::BatchNormVjpDot& k) {
  if (k.y_bar.shape.back() == 0) return;
  dispatch_float(k.y_bar.dtype, [&]<class T>(T) {
    vjp_dot<T>(stream(), k.params, k.saved, k.saved_dot, k.y_bar, k.y_bar_dot, k.dots);
  });
}

}  // namespace mcn::MCN_DEVICE_NAMESPACE
