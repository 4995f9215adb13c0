// Video residual networks: R(2+1)D and R3D (Tran et al., "A closer look at spatiotemporal convolutions", CVPR 2018),
// with torchvision's parameter names, midplanes and initialisation.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/ops.h"
#include "engine/tape.h"
#include "models/parameters.h"

namespace mcn {

/// Running statistics of one normalisation layer: C each. Variance is the unbiased one, as in torch.
struct RunningStatistics {
  Tensor mean, variance;
};

/// How normalisation layers behave in one pass over a model, and what they leave.
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

struct VideoResNetConfig {
  std::string arch = "r2plus1d_18";       ///< r2plus1d_18, r2plus1d_10 (one block a stage), r3d_18
  double width = 1;                       ///< multiplies the channels of every stage; 1 is the published network
  std::int64_t classes = 0;               ///< outputs of `fc`; 0: no fc
  Precision precision = Precision::fp32;  ///< of convolutions in float32
};

std::vector<std::string> video_resnet_archs();

class VideoResNet {
 public:
  /// UsageError for an unknown arch or a width that leaves no channel.
  explicit VideoResNet(const VideoResNetConfig& config);

  /// In torchvision's order; forward passes take values in this order.
  [[nodiscard]] const ParameterSpecs& parameters() const { return specs_; }
  /// Names of the normalisation layers, in the order of NormPass: the parameters' names without ".weight".
  [[nodiscard]] const std::vector<std::string>& norms() const { return norms_; }
  /// Channels of normalisation layer i.
  [[nodiscard]] std::int64_t norm_channels(std::size_t i) const { return norm_channels_[i]; }
  /// Number of pooled features (512 at width 1).
  [[nodiscard]] std::int64_t features() const { return features_; }

  /// Multiplications of convolutions and fc in one forward pass over clips of shape N D H W 3, as torchvision counts
  /// them: half of the floating-point operations.
  [[nodiscard]] double multiplications(const Shape& clip) const;

  /// clip: N D H W 3 -> N x features(): backbone and global average pool.
  Var pooled(Tape& tape, std::span<const Var> theta, const Var& clip, const NormPass& norm = {}) const;
  /// clip -> N x classes through `fc`.
  Var logits(Tape& tape, std::span<const Var> theta, const Var& clip, const NormPass& norm = {}) const;

 private:
  struct Conv {
    std::size_t weight;
    Conv3dParams params;
  };
  struct Norm {
    std::size_t gamma, index;  // beta follows gamma
    bool relu;
  };
  struct ConvNorm {
    Conv conv;
    Norm norm;
  };
  struct Block {
    std::vector<ConvNorm> path;  // the last one's norm adds the residual, then ReLU
    std::optional<ConvNorm> downsample;
  };
  struct Pass;

  std::size_t add(ParameterSpec spec);
  Conv add_conv(const std::string& name, std::int64_t in, std::int64_t out, std::array<std::int64_t, 3> kernel,
                std::array<std::int64_t, 3> stride, std::array<std::int64_t, 3> padding);
  Norm add_norm(const std::string& name, std::int64_t channels, bool relu);
  void add_block(const std::string& name, std::int64_t in, std::int64_t out, std::int64_t stride, bool factored);

  Precision precision_;
  ParameterSpecs specs_;
  std::vector<std::string> norms_;
  std::vector<std::int64_t> norm_channels_;
  std::vector<ConvNorm> stem_;
  std::vector<Block> blocks_;
  std::int64_t features_ = 0;
  std::optional<std::size_t> fc_;
};

}  // namespace mcn
