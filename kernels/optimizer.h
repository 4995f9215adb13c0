// The optimizers' updates, over a whole list of parameters at once.
#pragma once

#include <span>

#include "kernels/kernel.h"

namespace mcn {

/// torch.optim.SGD: d = gradient + weight_decay p; buffer = momentum buffer + d; p -= lr buffer. Buffers start at zero.
struct SgdParams {
  using HasNoMembersToVisit = void;
  double lr = 0.01, momentum = 0.9;
};

/// torch.optim.AdamW: p *= 1 - lr weight_decay; m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
/// p -= lr (m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + eps).
struct AdamWParams {
  using HasNoMembersToVisit = void;
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  std::int64_t step = 1;  ///< counts from 1
};

/// One entry a parameter in every list; weight_decay holds each parameter's own.
namespace kernel {

struct SgdStep {
  static constexpr std::string_view name = "sgd_step";
  SgdParams params = {};
  std::span<const double> weight_decay;
  std::span<const ConstView> gradients;
  std::span<const View> parameters, buffers;
  static auto members(auto& k) { return std::tie(k.params, k.weight_decay, k.gradients, k.parameters, k.buffers); }
};

struct AdamWStep {
  static constexpr std::string_view name = "adamw_step";
  AdamWParams params = {};
  std::span<const double> weight_decay;
  std::span<const ConstView> gradients;
  std::span<const View> parameters, first_moments, second_moments;
  static auto members(auto& k) {
    return std::tie(k.params, k.weight_decay, k.gradients, k.parameters, k.first_moments, k.second_moments);
  }
};

}  // namespace kernel
}  // namespace mcn
