// Cross-entropy, a block a row of logits, and binary cross-entropy, a thread an element. A loss is the mean of terms
// that are added up in double, in a fixed order.
#include <algorithm>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/device/reduce.h"

namespace mcn::MCN_DEVICE_NAMESPACE {
namespace {

constexpr unsigned block_threads = 128;

Grid row_grid(std::int64_t rows) {
  return {dim3(static_cast<unsigned>(rows)), dim3(block_threads), sizeof(BlockSum<double>)};
}

Grid element_grid(std::int64_t n) {
  constexpr std::int64_t most_blocks = 512;
  return {dim3(static_cast<unsigned>(std::clamp<std::int64_t>(ceil_div(n, block_threads), 1, most_blocks))),
          dim3(block_threads), sizeof(BlockSum<double>)};
}

// An absent tangent is zero.
template <class T>
__device__ double value_or_zero(const T* p, std::int64_t i) {
  return p == nullptr ? 0.0 : static_cast<double>(p[i]);
}

// out = sum of terms / divisor, by one block.
template <class T>
__global__ void mean_of_terms_kernel(std::int64_t count, const double* terms, double divisor, T* out) {
  double sum = 0;
  for (std::int64_t i = threadIdx.x; i < count; i += blockDim.x) sum += terms[i];
  sum = block_sum(sum, shared<BlockSum<double>>());
  if (threadIdx.x == 0) *out = static_cast<T>(sum / divisor);
}

template <class T>
void write_mean(cudaStream_t stream, std::int64_t count, const double* terms, std::int64_t divisor, View out) {
  launch<mean_of_terms_kernel<T>>(stream, row_grid(1), count, terms, static_cast<double>(divisor), out.as<T>());
}

template <class T>
__global__ void cross_entropy_kernel(std::int64_t classes, const T* logits, const std::int64_t* labels, T* lse,
                                     double* terms) {
  const T* row = logits + blockIdx.x * classes;
  auto& scratch = shared<BlockSum<double>>();
  double largest = static_cast<double>(row[0]);
  for (std::int64_t c = threadIdx.x; c < classes; c += blockDim.x) {
    const auto x = static_cast<double>(row[c]);
    largest = x > largest || x != x ? x : largest;
  }
  largest = block_max(largest, scratch);
  double sum = 0;
  for (std::int64_t c = threadIdx.x; c < classes; c += blockDim.x) sum += exp(static_cast<double>(row[c]) - largest);
  const double log_sum = largest + log(block_sum(sum, scratch));
  if (threadIdx.x != 0) return;
  lse[blockIdx.x] = static_cast<T>(log_sum);
  terms[blockIdx.x] = log_sum - static_cast<double>(row[labels[blockIdx.x]]);
}

template <class T>
__global__ void cross_entropy_jvp_kernel(std::int64_t classes, const T* logits, const std::int64_t* labels,
                                         const T* lse, const T* logits_dot, T* lse_dot, double* terms) {
  const std::int64_t first = blockIdx.x * classes;
  const auto log_sum = static_cast<double>(lse[blockIdx.x]);
  double sum = 0;
  for (std::int64_t c = threadIdx.x; c < classes; c += blockDim.x)
    sum += exp(static_cast<double>(logits[first + c]) - log_sum) * value_or_zero(logits_dot, first + c);
  sum = block_sum(sum, shared<BlockSum<double>>());
  if (threadIdx.x != 0) return;
  lse_dot[blockIdx.x] = static_cast<T>(sum);
  terms[blockIdx.x] = sum - value_or_zero(logits_dot, first + labels[blockIdx.x]);
}

// vjp is vjp_dot along loss_bar alone: loss_bar absent, loss_bar_dot = loss_bar.
template <class T>
__global__ void cross_entropy_vjp_dot_kernel(std::int64_t rows, std::int64_t classes, const T* logits,
                                             const std::int64_t* labels, const T* lse, const T* logits_dot,
                                             const T* lse_dot, const T* loss_bar, const T* loss_bar_dot, T* out) {
  const double bar = value_or_zero(loss_bar, 0) / static_cast<double>(rows);
  const double bar_dot = value_or_zero(loss_bar_dot, 0) / static_cast<double>(rows);
  for (std::int64_t e = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; e < rows * classes;
       e += std::int64_t{gridDim.x} * blockDim.x) {
    const std::int64_t row = e / classes;
    const double p = exp(static_cast<double>(logits[e]) - static_cast<double>(lse[row]));
    const double p_dot = p * (value_or_zero(logits_dot, e) - value_or_zero(lse_dot, row));
    const double hit = e % classes == labels[row] ? 1.0 : 0.0;
    out[e] = static_cast<T>(p_dot * bar + (p - hit) * bar_dot);
  }
}

// log(1 + exp(x)) without overflow; NaN for NaN through the logarithm.
__device__ double softplus(double x) { return (x > 0 ? x : 0.0) + log1p(exp(-fabs(x))); }

__device__ double sigmoid(double x) { return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)); }

// First and second derivative of a term; 1 - sigmoid(x) = sigmoid(-x) keeps its digits for large x.
__device__ double bce_slope(double w, double x, double t) { return (1 - t) * sigmoid(x) - w * t * sigmoid(-x); }
__device__ double bce_curvature(double w, double x, double t) { return (1 - t + w * t) * sigmoid(x) * sigmoid(-x); }

// A block's share of the sum of terms, or of their tangents.
template <class T>
__global__ void bce_kernel(std::int64_t count, double w, const T* logits, const T* targets, double* terms) {
  double sum = 0;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count;
       i += std::int64_t{gridDim.x} * blockDim.x) {
    const auto x = static_cast<double>(logits[i]), t = static_cast<double>(targets[i]);
    sum += w * t * softplus(-x) + (1 - t) * softplus(x);
  }
  sum = block_sum(sum, shared<BlockSum<double>>());
  if (threadIdx.x == 0) terms[blockIdx.x] = sum;
}

template <class T>
__global__ void bce_jvp_kernel(std::int64_t count, double w, const T* logits, const T* targets, const T* logits_dot,
                               double* terms) {
  double sum = 0;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count;
       i += std::int64_t{gridDim.x} * blockDim.x)
    sum += bce_slope(w, static_cast<double>(logits[i]), static_cast<double>(targets[i])) * value_or_zero(logits_dot, i);
  sum = block_sum(sum, shared<BlockSum<double>>());
  if (threadIdx.x == 0) terms[blockIdx.x] = sum;
}

template <class T>
__global__ void bce_vjp_dot_kernel(std::int64_t count, double w, const T* logits, const T* targets, const T* logits_dot,
                                   const T* loss_bar, const T* loss_bar_dot, T* out) {
  const double bar = value_or_zero(loss_bar, 0) / static_cast<double>(count);
  const double bar_dot = value_or_zero(loss_bar_dot, 0) / static_cast<double>(count);
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count;
       i += std::int64_t{gridDim.x} * blockDim.x) {
    const auto x = static_cast<double>(logits[i]), t = static_cast<double>(targets[i]);
    out[i] = static_cast<T>(bce_curvature(w, x, t) * value_or_zero(logits_dot, i) * bar + bce_slope(w, x, t) * bar_dot);
  }
}

}  // namespace

template <>
void CudaBackend::compute(const kernel::CrossEntropyForward& k) {
  const std::int64_t rows = k.logits.shape[0];
  const DeviceArray<double> terms(stream(), rows);
  dispatch_float(k.logits.dtype, [&]<class T>(T) {
    launch<cross_entropy_kernel<T>>(stream(), row_grid(rows), k.logits.shape[1], k.logits.as<T>(),
                                    k.labels.as<std::int64_t>(), k.lse.as<T>(), terms.get());
    write_mean<T>(stream(), rows, terms.get(), rows, k.loss);
  });
}

template <>
void CudaBackend::compute(const kernel::CrossEntropyVjpDot& k) {
  dispatch_float(k.logits.dtype, [&]<class T>(T) {
    launch<cross_entropy_vjp_dot_kernel<T>>(stream(), element_grid(k.logits.numel()), k.logits.shape[0],
                                            k.logits.shape[1], k.logits.as<T>(), k.labels.as<std::int64_t>(),
                                            k.lse.as<T>(), k.logits_dot.as<T>(), k.lse_dot.as<T>(), k.loss_bar.as<T>(),
                                            k.loss_bar_dot.as<T>(), k.logits_bar_dot.as<T>());
  });
}

template <>
void CudaBackend::compute(const kernel::CrossEntropyVjp& k) {
  compute(kernel::CrossEntropyVjpDot{.logits = k.logits,
                                     .labels = k.labels,
                                     .lse = k.lse,
                                     .loss_bar = {},
                                     .loss_bar_dot = k.loss_bar,
                                     .logits_bar_dot = k.logits_bar});
}

template <>
void CudaBackend::compute(const kernel::CrossEntropyJvp& k) {
  const std::int64_t rows = k.logits.shape[0];
  const DeviceArray<double> terms(stream(), rows);
  dispatch_float(k.logits.dtype, [&]<class T>(T) {
    launch<cross_entropy_jvp_kernel<T>>(stream(), row_grid(rows), k.logits.shape[1], k.logits.as<T>(),
                                        k.labels.as<std::int64_t>(), k.lse.as<T>(), k.logits_dot.as<T>(),
                                        k.lse_dot.as<T>(), terms.get());
    write_mean<T>(stream(), rows, terms.get(), rows, k.loss_dot);
  });
}

template <>
void CudaBackend::compute(const kernel::BceForward& k) {
  const Grid grid = element_grid(k.logits.numel());
  const DeviceArray<double> terms(stream(), grid.blocks.x);
  dispatch_float(k.logits.dtype, [&]<class T>(T) {
    launch<bce_kernel<T>>(stream(), grid, k.logits.numel(), k.pos_weight, k.logits.as<T>(), k.targets.as<T>(),
                          terms.get());
    write_mean<T>(stream(), grid.blocks.x, terms.get(), k.logits.numel(), k.loss);
  });
}

template <>
void CudaBackend::compute(const kernel::BceVjpDot& k) {
  dispatch_float(k.logits.dtype, [&]<class T>(T) {
    launch<bce_vjp_dot_kernel<T>>(stream(), element_grid(k.logits.numel()), k.logits.numel(), k.pos_weight,
                                  k.logits.as<T>(), k.targets.as<T>(), k.logits_dot.as<T>(), k.loss_bar.as<T>(),
                                  k.loss_bar_dot.as<T>(), k.logits_bar_dot.as<T>());
  });
}

template <>
void CudaBackend::compute(const kernel::BceVjp& k) {
  compute(kernel::BceVjpDot{.pos_weight = k.pos_weight,
                            .logits = k.logits,
                            .targets = k.targets,
                            .loss_bar = {},
                            .loss_bar_dot = k.loss_bar,
                            .logits_bar_dot = k.logits_bar});
}

template <>
void CudaBackend::compute(const kernel::BceJvp& k) {
  const Grid grid = element_grid(k.logits.numel());
  const DeviceArray<double> terms(stream(), grid.blocks.x);
  dispatch_float(k.logits.dtype, [&]<class T>(T) {
    launch<bce_jvp_kernel<T>>(stream(), grid, k.logits.numel(), k.pos_weight, k.logits.as<T>(), k.targets.as<T>(),
                              k.logits_dot.as<T>(), terms.get());
    write_mean<T>(stream(), grid.blocks.x, terms.get(), k.logits.numel(), k.loss_dot);
  });
}

}  // namespace mcn::MCN_DEVICE_NAMESPACE
