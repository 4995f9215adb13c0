// Linear probe: softmax regression on frozen features.
#pragma once

#include <functional>

#include "engine/tensor.h"
#include "meta/evaluate/embedding.h"

namespace mcn {

/// The mean cross-entropy plus weight_decay / 2 |W|^2 (biases do not decay) is minimised to its only minimum, on
/// features that have mean 0 and deviation 1 over the training videos.
struct LinearProbeConfig {
  double weight_decay = 1e-3;
  /// Stops where the gradient's norm is this share of the first one's.
  double tolerance = 1e-4;
  DType dtype = DType::f32;
  /// Called between passes over the features; may throw to stop.
  std::function<void()> between_passes = {};
};

class LinearProbe {
 public:
  /// By Newton's method, its steps by conjugate gradients over the engine's exact Hessian products, from weights 0.
  /// UsageError for fewer than two classes; NonFiniteError for a feature that is not finite.
  LinearProbe(const Embedding& train, const LinearProbeConfig& config, Backend& backend);

  /// The most probable class of each video; of equally probable ones that of the smaller label. NonFiniteError where
  /// the features make the probe overflow.
  [[nodiscard]] std::vector<std::int64_t> predict(const Embedding& videos) const;

  /// Labels of the training videos, rising: the rows of weight() and bias().
  [[nodiscard]] const std::vector<std::int64_t>& classes() const { return classes_; }
  [[nodiscard]] const Tensor& weight() const { return theta_[0]; }  ///< classes x features
  [[nodiscard]] const Tensor& bias() const { return theta_[1]; }    ///< classes
  [[nodiscard]] double loss() const { return loss_; }               ///< at the minimum, weight decay included

 private:
  [[nodiscard]] Tensor standardized(const Embedding& e, Backend& backend, DType dtype) const;

  std::vector<std::int64_t> classes_;
  std::vector<double> mean_, scale_;
  Tensors theta_;
  double loss_ = 0;
};

}  // namespace mcn
