// Signatures of the optimisers' updates, over a whole list of parameters at once.
#pragma once

#include <span>

#include "kernels/view.h"

namespace mcn {

/// torch.optim.SGD: d = gradient + weight_decay p; buffer = momentum buffer + d; p -= lr buffer. Buffers start at zero.
struct SgdParams {
  double lr = 0.01, momentum = 0.9;
};

/// torch.optim.AdamW: p *= 1 - lr weight_decay; m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
/// p -= lr (m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + eps).
struct AdamWParams {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  std::int64_t step = 1;  ///< counts from 1
};

class OptimizerKernels {
 public:
  /// One entry a parameter in every list, none absent; weight_decay holds each parameter's own.
  virtual void sgd_step(const SgdParams&, std::span<const double> weight_decay, std::span<const ConstView> gradients,
                        std::span<const View> parameters, std::span<const View> buffers) = 0;
  virtual void adamw_step(const AdamWParams&, std::span<const double> weight_decay,
                          std::span<const ConstView> gradients, std::span<const View> parameters,
                          std::span<const View> first_moments, std::span<const View> second_moments) = 0;

 protected:
  ~OptimizerKernels() = default;
};

}  // namespace mcn
