// Layers: parts of a model that name their parameters in Layers, and apply themselves to a value on a tape.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "engine/ops.h"
#include "engine/tape.h"
#include "models/parameters.h"

namespace mcn {

/// Running statistics of one normalization layer: C each. Variance is the unbiased one, as in torch.
struct RunningStatistics {
  Tensor mean, variance;
};

/// How normalization layers behave in one pass over a model, and what they leave.
struct NormPass {
  /// null: batch statistics; else one entry a layer, used as constants.
  const std::vector<RunningStatistics>* running = nullptr;
  /// if not null: filled with the batch statistics, one entry a layer. Sized before the pass by the model.
  std::vector<ops::BatchStatistics>* collect = nullptr;
};

/// What a pass collected enters the running statistics, as in torch: new = (1 - momentum) old + momentum batch. New
/// tensors take the old ones' places; NonFiniteError, and the old ones stay, if one of them would not be finite.
void update_running(std::vector<RunningStatistics>& running, std::span<const ops::BatchStatistics> batch,
                    double momentum);

/// One pass over a model: what a layer needs besides its input.
struct Pass {
  Tape& tape;
  std::span<const Var> theta;  ///< values of the parameters, in their order
  const NormPass& norms;
};

using Extents = std::array<std::int64_t, 3>;  ///< along D, H, W

/// A convolution without bias. x: N D H W I -> N D' H' W' O.
struct Conv {
  std::size_t weight;  ///< its place among the parameters
  Conv3dParams params;
  Var operator()(const Pass& pass, const Var& x) const;
};

/// Batch normalization, with a ReLU if params say so. x, residual (optional): any rank, C last.
struct Norm {
  std::size_t gamma, beta;
  std::size_t index;  ///< its place among the normalization layers
  BatchNormParams params;
  Var operator()(const Pass& pass, const Var& x, const Var& residual = {}) const;
};

/// A convolution and its normalization; the residual is added before the ReLU.
struct ConvNorm {
  Conv conv;
  Norm norm;
  Var operator()(const Pass& pass, const Var& x, const Var& residual = {}) const;
};

/// x: N x I -> N x O.
struct Linear {
  std::size_t weight, bias;
  Var operator()(const Pass& pass, const Var& x) const;
};

/// Pooling over D, H, W. A window that is larger than a small clip's padded activation is cut to it.
Var max_pool(const Pass& pass, const PoolParams& params, const Var& x);
Var avg_pool(const Pass& pass, const PoolParams& params, const Var& x);

/// Makes the layers of one model and collects their parameters, in the order of the calls.
class Layers {
 public:
  struct ConvConfig {
    std::int64_t in, out;
    Extents kernel{1, 1, 1}, stride{1, 1, 1}, padding{0, 0, 0};
  };
  struct NormConfig {
    bool relu = true;
    double eps = 1e-5;
  };

  /// precision: of convolutions in float32
  explicit Layers(Precision precision = Precision::fp32) : precision_(precision) {}

  /// NAME.weight
  Conv conv(const std::string& name, const ConvConfig& config);
  /// NAME.weight and NAME.bias, which start at 1 and 0
  Norm norm(const std::string& name, std::int64_t channels, const NormConfig& config);
  /// In this order.
  ConvNorm conv_norm(const std::string& conv_name, const ConvConfig& conv, const std::string& norm_name,
                     const NormConfig& norm);
  /// NAME.weight (weight_shape, normal with that deviation) and NAME.bias (0). weight_shape: O x I, or O 1 1 1 I.
  Linear linear(const std::string& name, const Shape& weight_shape, double deviation);

  [[nodiscard]] const ParameterSpecs& parameters() const { return parameters_; }
  /// Names of the normalization layers, in the order of NormPass: the parameters' names without ".weight".
  [[nodiscard]] const std::vector<std::string>& norms() const { return norms_; }
  /// Channels of each.
  [[nodiscard]] const std::vector<std::int64_t>& norm_channels() const { return norm_channels_; }

 private:
  std::size_t add(ParameterSpec spec);

  Precision precision_;
  ParameterSpecs parameters_;
  std::vector<std::string> norms_;
  std::vector<std::int64_t> norm_channels_;
};

}  // namespace mcn
