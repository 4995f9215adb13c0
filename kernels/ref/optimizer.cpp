// Reference updates of momentum SGD and AdamW.
#include <cmath>

#include "kernels/ref/ref_backend.h"
#include "kernels/ref/values.h"

namespace mcn::ref {

void RefBackend::sgd_step(const SgdParams& params, std::span<const double> weight_decay,
                          std::span<const ConstView> gradients, std::span<const View> parameters,
                          std::span<const View> buffers) {
  count_kernel();
  for (std::size_t k = 0; k < parameters.size(); ++k) {
    const Values g = read(gradients[k]);
    Values p = read(parameters[k]);
    Values buffer = read(buffers[k]);
    for (std::size_t i = 0; i < p.size(); ++i) {
      buffer[i] = params.momentum * buffer[i] + (g[i] + weight_decay[k] * p[i]);
      p[i] -= params.lr * buffer[i];
    }
    write(p, parameters[k]);
    write(buffer, buffers[k]);
  }
}

void RefBackend::adamw_step(const AdamWParams& params, std::span<const double> weight_decay,
                            std::span<const ConstView> gradients, std::span<const View> parameters,
                            std::span<const View> first_moments, std::span<const View> second_moments) {
  count_kernel();
  const double correction1 = 1 - std::pow(params.beta1, static_cast<double>(params.step));
  const double correction2 = 1 - std::pow(params.beta2, static_cast<double>(params.step));
  for (std::size_t k = 0; k < parameters.size(); ++k) {
    const Values g = read(gradients[k]);
    Values p = read(parameters[k]);
    Values m = read(first_moments[k]);
    Values v = read(second_moments[k]);
    for (std::size_t i = 0; i < p.size(); ++i) {
      p[i] *= 1 - params.lr * weight_decay[k];
      m[i] = params.beta1 * m[i] + (1 - params.beta1) * g[i];
      v[i] = params.beta2 * v[i] + (1 - params.beta2) * g[i] * g[i];
      p[i] -= params.lr * (m[i] / correction1) / (std::sqrt(v[i] / correction2) + params.eps);
    }
    write(p, parameters[k]);
    write(m, first_moments[k]);
    write(v, second_moments[k]);
  }
}

}  // namespace mcn::ref
