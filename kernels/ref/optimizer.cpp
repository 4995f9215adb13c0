// Reference updates of momentum SGD and AdamW.
#include <cmath>

#include "kernels/ref/ref_backend.h"
#include "kernels/ref/values.h"

namespace mcn::ref {

template <>
void RefBackend::compute(const kernel::SgdStep& k) {
  for (std::size_t n = 0; n < k.parameters.size(); ++n) {
    const Values g = read(k.gradients[n]);
    Values p = read(k.parameters[n]);
    Values buffer = read(k.buffers[n]);
    for (std::size_t i = 0; i < p.size(); ++i) {
      buffer[i] = k.params.momentum * buffer[i] + (g[i] + k.weight_decay[n] * p[i]);
      p[i] -= k.params.lr * buffer[i];
    }
    write(p, k.parameters[n]);
    write(buffer, k.buffers[n]);
  }
}

template <>
void RefBackend::compute(const kernel::AdamWStep& k) {
  const double correction1 = 1 - std::pow(k.params.beta1, static_cast<double>(k.params.step));
  const double correction2 = 1 - std::pow(k.params.beta2, static_cast<double>(k.params.step));
  for (std::size_t n = 0; n < k.parameters.size(); ++n) {
    const Values g = read(k.gradients[n]);
    Values p = read(k.parameters[n]);
    Values m = read(k.first_moments[n]);
    Values v = read(k.second_moments[n]);
    for (std::size_t i = 0; i < p.size(); ++i) {
      p[i] *= 1 - k.params.lr * k.weight_decay[n];
      m[i] = k.params.beta1 * m[i] + (1 - k.params.beta1) * g[i];
      v[i] = k.params.beta2 * v[i] + (1 - k.params.beta2) * g[i] * g[i];
      p[i] -= k.params.lr * (m[i] / correction1) / (std::sqrt(v[i] / correction2) + k.params.eps);
    }
    write(p, k.parameters[n]);
    write(m, k.first_moments[n]);
    write(v, k.second_moments[n]);
  }
}

}  // namespace mcn::ref
