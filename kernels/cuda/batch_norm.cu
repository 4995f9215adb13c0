// Batch normalisation, forward and vjp: sums over rows x C channels (device/channel_sums.h), then one fused pass. The
// statistics take one read of x.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/device/batch_norm_elements.h"

namespace mcn::MCN_DEVICE_NAMESPACE {
namespace {

// Samples, their mean, and the sum of their squared deviations from it.
struct Moments {
  double count = 0, mean = 0, squares = 0;

  // Chan, Golub and LeVeque, 1979.
  __device__ void merge(const Moments& other) {
    if (other.count == 0) return;
    const double share = other.count / (count + other.count);
    const double delta = other.mean - mean;
    mean += delta * share;
    squares += other.squares + delta * delta * count * share;
    count += other.count;
  }
};

// The moments of a thread's samples. A batch is summed in T about its own mean, because E[x^2] - mean^2 loses all
// digits where the mean is large; batches are summed in double about the first one's mean, which takes no division.
template <class T>
class ShiftedMoments {
 public:
  template <int n>
  __device__ void add(const T (&x)[n]) {
    T sum = 0;
#pragma unroll
    for (int j = 0; j < n; ++j) sum += x[j];
    const T middle = sum * (T{1} / n);
    if (count_ == 0) shift_ = static_cast<double>(middle);
    // The mean is rounded, so that the deviations' sum is not quite zero.
    T deviations = 0, squares = 0;
#pragma unroll
    for (int j = 0; j < n; ++j) {
      const T d = x[j] - middle;
      deviations += d;
      squares += d * d;
    }
    const double rest = static_cast<double>(deviations);
    const double offset = static_cast<double>(middle) - shift_;
    sum_ += rest + n * offset;
    squares_ += static_cast<double>(squares) + offset * (2 * rest + n * offset);
    count_ += n;
  }

  [[nodiscard]] __device__ Moments moments() const {
    if (count_ == 0) return {};
    const double offset = sum_ / count_;
    const double squares = squares_ - sum_ * offset;
    return {count_, shift_ + offset, squares < 0 ? 0 : squares};
  }

 private:
  double count_ = 0, shift_ = 0, sum_ = 0, squares_ = 0;
};

template <class T>
struct MomentsRule {
  using Value = Moments;
  const T* x;

  __device__ Moments sum(const ChannelWalk& walk) const {
    ShiftedMoments<T> sums;
    walk.for_each_batch<sum_batch>([&](std::int64_t i) { return x[i]; },
                                   [&](auto&&, const auto& samples) { sums.add(samples); });
    return sums.moments();
  }
};

template <class T>
struct WriteStatistics {
  double eps;
  T *mean, *rstd;

  __device__ void operator()(std::int64_t c, const Moments& m) const {
    mean[c] = static_cast<T>(m.mean);
    rstd[c] = static_cast<T>(1.0 / sqrt(m.squares / m.count + eps));
  }
};

template <class T>
struct ForwardArguments {
  const T *x, *gamma, *beta, *residual, *mean, *rstd;
  T* y;
  bool relu;
};

template <class T>
__global__ void __launch_bounds__(channel_threads) batch_norm_forward_kernel(ChannelGrid g, ForwardArguments<T> f) {
  const ChannelWalk walk(g);
  if (!walk.active) return;
  const T mean = f.mean[walk.channel];
  const T slope = f.gamma[walk.channel] * f.rstd[walk.channel];
  const T offset = f.beta[walk.channel];
  struct Element {
    T x, residual;
  };
  walk.for_each_batch<pass_batch>(
      [&](std::int64_t i) {
        return Element{f.x[i], value_or_zero(f.residual, i)};
      },
      [&]<int n>(auto&& elements, const Element(&e)[n]) {
#pragma unroll
        for (int j = 0; j < n; ++j) {
          const T pre = (e[j].x - mean) * slope + offset + e[j].residual;
          f.y[elements(j)] = f.relu && pre < T{0} ? T{0} : pre;  // a NaN stays one
        }
      });
}

template <class T>
void forward(cudaStream_t stream, const BatchNormParams& params, const ForwardArguments<T>& f, const ChannelGrid& g,
             T* mean, T* rstd) {
  if (params.batch_statistics)
    sum_channels(stream, g, true, MomentsRule<T>{f.x}, WriteStatistics<T>{params.eps, mean, rstd});
  launch<batch_norm_forward_kernel<T>>(stream, g.grid(), g, f);
}

// What vjp reads of an element. g is y_bar under the mask.
template <class T>
struct VjpReads {
  const T *x, *y, *y_bar, *mean;

  struct Element {
    T x, y, y_bar;
    [[nodiscard]] __device__ T g() const { return masked(y, y_bar); }
  };
  __device__ Element operator()(std::int64_t i) const { return {x[i], mask_value(y, i), y_bar[i]}; }
};

// sum(g) and sum(g (x - mean)).
template <class T>
struct VjpRule {
  using Value = Sums<2>;
  VjpReads<T> reads;

  __device__ Value sum(const ChannelWalk& walk) const {
    const T mean = reads.mean[walk.channel];
    return sum_terms<T, 2>(walk, reads, [=](const typename VjpReads<T>::Element& e, T(&sums)[2]) {
      sums[0] += e.g();
      sums[1] += e.g() * (e.x - mean);
    });
  }
};

// x_bar = slope (g + shift + (x - mean) pull)
template <class T>
struct VjpCoefficients {
  T slope, shift, pull;
};

template <class T>
struct FinishVjp {
  bool batch_statistics;
  double rows;
  const T *gamma, *rstd;
  T *gamma_bar, *beta_bar;
  VjpCoefficients<T>* coefficients;

  __device__ void operator()(std::int64_t c, const Sums<2>& sums) const {
    const double r = static_cast<double>(rstd[c]);
    const double sum_g = sums.of[0];
    const double sum_gh = sums.of[1] * r;
    if (gamma_bar != nullptr) gamma_bar[c] = static_cast<T>(sum_gh);
    if (beta_bar != nullptr) beta_bar[c] = static_cast<T>(sum_g);
    const double inverse = batch_statistics ? 1.0 / rows : 0.0;
    coefficients[c] = {static_cast<T>(static_cast<double>(gamma[c]) * r), static_cast<T>(-sum_g * inverse),
                       static_cast<T>(-r * sum_gh * inverse)};
  }
};

template <class T>
__global__ void __launch_bounds__(channel_threads)
    batch_norm_vjp_kernel(ChannelGrid g, VjpReads<T> reads, const VjpCoefficients<T>* coefficients, T* x_bar,
                          T* residual_bar) {
  const ChannelWalk walk(g);
  if (!walk.active) return;
  const T mean = reads.mean[walk.channel];
  const VjpCoefficients<T> k = coefficients[walk.channel];
  walk.for_each_batch<pass_batch>(reads, [&]<int n>(auto&& elements, const typename VjpReads<T>::Element(&e)[n]) {
#pragma unroll
    for (int j = 0; j < n; ++j) {
      if (residual_bar != nullptr) residual_bar[elements(j)] = e[j].g();
      if (x_bar != nullptr) x_bar[elements(j)] = k.slope * (e[j].g() + k.shift + (e[j].x - mean) * k.pull);
    }
  });
}

template <class T>
void vjp(cudaStream_t stream, const BatchNormParams& params, const BatchNormSaved& s, ConstView y_bar,
         const BatchNormGradients& out) {
  const ChannelGrid g = batch_norm_grid(y_bar);
  const VjpReads<T> reads{s.x.as<T>(), params.relu ? s.y.as<T>() : nullptr, y_bar.as<T>(), s.mean.as<T>()};
  const bool wants_sums = out.gamma || out.beta || (out.x && params.batch_statistics);
  const DeviceArray<VjpCoefficients<T>> coefficients(stream, g.channels);
  sum_channels(stream, g, wants_sums, VjpRule<T>{reads},
               FinishVjp<T>{params.batch_statistics, static_cast<double>(g.rows), s.gamma.as<T>(), s.rstd.as<T>(),
                            out.gamma.as<T>(), out.beta.as<T>(), coefficients.get()});
  if (out.x || out.residual)
    launch<batch_norm_vjp_kernel<T>>(stream, g.grid(), g, reads, coefficients.get(), out.x.as<T>(),
                                     out.residual.as<T>());
}

}  // namespace

template <>
void CudaBackend::compute(const kernel::BatchNormForward& k) {
  if (k.x.shape.back() == 0) return;
  dispatch_float(k.x.dtype, [&]<class T>(T) {
    const ForwardArguments<T> f{k.x.as<T>(),    k.gamma.as<T>(), k.beta.as<T>(), k.residual.as<T>(),
                                k.mean.as<T>(), k.rstd.as<T>(),  k.y.as<T>(),    k.params.relu};
    forward(stream(), k.params, f, batch_norm_grid(k.x), k.mean.as<T>(), k.rstd.as<T>());
  });
}

template <>
void CudaBackend::compute(const kernel::BatchNormVjp& k) {
  if (k.y_bar.shape.back() == 0) return;
  dispatch_float(k.y_bar.dtype, [&]<class T>(T) { vjp<T>(stream(), k.params, k.saved, k.y_bar, k.bars); });
}

}  // namespace mcn::MCN_DEVICE_NAMESPACE
