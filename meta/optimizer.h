// The outer update: momentum SGD or AdamW, with a learning rate that follows a schedule.
#pragma once

#include <string>
#include <vector>

#include "models/parameters.h"

namespace mcn {

enum class OptimizerKind : std::uint8_t { sgd, adamw };
enum class ScheduleKind : std::uint8_t { constant, cosine, multistep };

struct OptimizerConfig {
  OptimizerKind kind = OptimizerKind::sgd;
  double lr = 0.01;            ///< alpha2
  double momentum = 0.9;       ///< sgd; beta1 of adamw
  double beta2 = 0.999;        ///< adamw
  double weight_decay = 1e-4;  ///< of convolution and fc weights; biases and normalisation's parameters do not decay
  ScheduleKind schedule = ScheduleKind::constant;
  std::int64_t warmup = 0;               ///< iterations over which the rate rises linearly to lr
  std::vector<std::int64_t> milestones;  ///< multistep: iterations at which the rate is multiplied by gamma
  double gamma = 0.1;
};

/// Learning rate of an iteration (counted from 0) of `total`. cosine falls from lr to 0 over what follows the warm-up.
double learning_rate(const OptimizerConfig& config, std::int64_t iteration, std::int64_t total);

class Optimizer {
 public:
  /// UsageError for a rate, momentum or decay out of range.
  Optimizer(const OptimizerConfig& config, const ParameterSpecs& specs);

  /// Updates values in place. A parameter whose gradient is absent is left alone, moments included.
  void step(Tensors& values, const Tensors& gradients, double lr);

  /// Moments, by name of the list ("momentum"; "m" and "v"), each with an entry a parameter, absent before its first
  /// gradient. steps() counts the updates.
  [[nodiscard]] std::vector<std::pair<std::string, Tensors*>> state();
  [[nodiscard]] std::int64_t steps() const { return steps_; }
  /// Moments of a checkpoint, in the lists of state(), and the updates that made them. DataError if a parameter has one
  /// moment without the other, or there are moments without updates.
  void restore(std::vector<Tensors> moments, std::int64_t steps);

 private:
  OptimizerConfig config_;
  std::vector<double> decay_;
  Tensors first_, second_;
  std::int64_t steps_ = 0;
};

}  // namespace mcn
