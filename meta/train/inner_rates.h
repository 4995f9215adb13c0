// The inner learning rates by inner step and group of layers, and how they are learned (Antoniou et al., "How to train
// your MAML", ICLR 2019).
#pragma once

#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "meta/maml.h"
#include "models/parameters.h"

namespace mcn {

struct InnerRateConfig {
  std::vector<std::pair<std::string, double>> factors;  ///< of alpha1, by group (parameter_group()); 1 for the others
  bool learned = false;
  double lr = 10;  ///< of the factors' logarithms
};

/// alpha1 of one group. name: the group's; of several inner steps followed by the step's number from 0, "layer2.1".
struct InnerRate {
  std::string name;
  double value = 0;
};

/// alpha_{k,l} = alpha1 exp(r_{k,l}) for inner step k and group l. alpha1 itself comes from elsewhere, a number or the
/// curvature; r starts at the logarithm of the group's factor. Learning is plain SGD on r, whose derivative is
/// alpha_{k,l} dL/dalpha_{k,l}: rates stay positive, and one learning rate suits rates of any size. An update changes a
/// rate by a tenth at most, so that one bad batch does little.
///
/// Where the curvature is measured, a learned rate is at most 1 / |lambda_max| of H_S. Then no eigenvalue of A_k H_S is
/// above 1 in magnitude, whatever the rates of the groups: an inner step does not overshoot on a quadratic loss, and of
/// one step on all parameters the outer gradient (I - H_S A_0) g_Q is never against g_Q. The derivative alone does not
/// keep to this: it is of the loss of one batch after few steps.
class InnerRates {
 public:
  InnerRates() = default;
  /// `inner` as MamlConfig's. UsageError for a factor that is not a positive number, for a group that the inner steps
  /// do not move or that stands twice, and for a learning rate that is negative or not finite.
  InnerRates(InnerRateConfig config, const ParameterSpecs& specs, const std::vector<bool>& inner, int steps);

  /// For MAML; empty where all rates are alpha1 for good.
  [[nodiscard]] InnerFactors factors() const;
  [[nodiscard]] bool learned() const { return config_.learned; }
  /// Every rate, step by step; none where all are alpha1 for good.
  [[nodiscard]] std::vector<InnerRate> rates(double inner_lr) const;

  /// Learned rates are at most 1 / |eigenvalue| from now on.
  void limit(double eigenvalue, double inner_lr);
  /// NonFiniteError, naming step and group, for MetaGradient::inner_lr_derivatives that are not finite.
  void expect_finite(const std::vector<std::vector<double>>& derivatives) const;
  /// One step of SGD, at the learning rate lr of the iteration.
  void learn(const std::vector<std::vector<double>>& derivatives, double inner_lr, double lr);

  /// What is learned. restore() takes the steps and groups that both have; DataError, and nothing restored, for a
  /// logarithm or a bound that no rate can have.
  [[nodiscard]] nlohmann::json to_json() const;
  void restore(const nlohmann::json& json);

 private:
  void clamp(double inner_lr);

  InnerRateConfig config_;
  std::vector<std::string> groups_;
  std::vector<std::size_t> group_;         // of each parameter
  std::vector<std::vector<double>> logs_;  // r, by step and group; empty: all rates are alpha1
  double most_ = std::numeric_limits<double>::infinity();
};

}  // namespace mcn
