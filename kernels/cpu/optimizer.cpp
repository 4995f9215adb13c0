// The optimisers' updates: one pass over each parameter.
#include <cmath>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd.h"

namespace mcn::cpu {

template <>
void CpuBackend::compute(const kernel::SgdStep& k) {
  for (std::size_t i = 0; i < k.parameters.size(); ++i) {
    dispatch_float(k.parameters[i].dtype, [&]<class T>(T) {
      const T* g = k.gradients[i].as<T>();
      T* p = k.parameters[i].as<T>();
      T* b = k.buffers[i].as<T>();
      const T decay = static_cast<T>(k.weight_decay[i]);
      const T momentum = static_cast<T>(k.params.momentum);
      const T lr = static_cast<T>(k.params.lr);
      parallel_blocks(k.parameters[i].numel(), elementwise_grain, [&](std::int64_t begin, std::int64_t end) {
#pragma omp simd
        for (std::int64_t j = begin; j < end; ++j) {
          b[j] = momentum * b[j] + (g[j] + decay * p[j]);
          p[j] -= lr * b[j];
        }
      });
    });
  }
}

template <>
void CpuBackend::compute(const kernel::AdamWStep& k) {
  const auto step = static_cast<double>(k.params.step);
  for (std::size_t i = 0; i < k.parameters.size(); ++i) {
    dispatch_float(k.parameters[i].dtype, [&]<class T>(T) {
      const T* g = k.gradients[i].as<T>();
      T* p = k.parameters[i].as<T>();
      T* m = k.first_moments[i].as<T>();
      T* v = k.second_moments[i].as<T>();
      const T keep = static_cast<T>(1 - k.params.lr * k.weight_decay[i]);
      const T beta1 = static_cast<T>(k.params.beta1);
      const T beta2 = static_cast<T>(k.params.beta2);
      const T rest1 = static_cast<T>(1 - k.params.beta1);
      const T rest2 = static_cast<T>(1 - k.params.beta2);
      const T rate = static_cast<T>(k.params.lr / (1 - std::pow(k.params.beta1, step)));
      const T correction = static_cast<T>(1 / std::sqrt(1 - std::pow(k.params.beta2, step)));
      const T eps = static_cast<T>(k.params.eps);
      parallel_blocks(k.parameters[i].numel(), elementwise_grain, [&](std::int64_t begin, std::int64_t end) {
        // Vectors by hand: a square root that may set errno is not vectorised by the compiler.
        using S = Simd<T>;
        for (std::int64_t j = begin; j < end; j += S::width) {
          const int n = static_cast<int>(std::min<std::int64_t>(S::width, end - j));
          const auto gradient = S::load_n(g + j, n);
          const auto first = beta1 * S::load_n(m + j, n) + rest1 * gradient;
          const auto second = beta2 * S::load_n(v + j, n) + rest2 * (gradient * gradient);
          const auto step_size = rate * first / (S::sqrt(second) * correction + eps);
          S::store_n(m + j, first, n);
          S::store_n(v + j, second, n);
          S::store_n(p + j, keep * S::load_n(p + j, n) - step_size, n);
        }
      });
    });
  }
}

}  // namespace mcn::cpu
