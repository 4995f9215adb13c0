// The Meta-Contrastive Network's model: a backbone, the projection head of the contrastive branch, and the feature
// combination module with its own fc for the meta branch. theta = (backbone, fc_feat, fcm, fc_meta).
#pragma once

#include "models/backbone.h"

namespace mcn {

struct McnModelConfig {
  BackboneConfig backbone;
  std::int64_t feature_size = 128;  ///< of z, from 2 on

  static constexpr std::int64_t most_features = 65536;  ///< fcm has twice the square of feature_size
};

class McnModel {
 public:
  /// UsageError for another feature size, and as make_backbone() has it. Copies share the backbone.
  explicit McnModel(const McnModelConfig& config);

  [[nodiscard]] const Backbone& backbone() const { return *backbone_; }
  /// The backbone's parameters first, then the heads'.
  [[nodiscard]] const ParameterSpecs& parameters() const { return specs_; }
  [[nodiscard]] std::int64_t feature_size() const { return feature_size_; }

  /// clips: N D H W 3 -> z, N x feature_size, unit rows: normalize(fc_feat(pool(backbone(clip)))).
  Var project(Tape& tape, std::span<const Var> theta, const Var& clips, const NormPass& norm = {}) const;
  /// a, b: N x feature_size -> (N N) x 1 logits of "clip i of a and clip j of b show one video", row i N + j. The
  /// combination of two clips' features (products and squared differences, then a hidden layer) is our choice.
  Var meta_logits(Tape& tape, std::span<const Var> theta, const Var& a, const Var& b) const;

 private:
  std::shared_ptr<const Backbone> backbone_;
  ParameterSpecs specs_;
  std::int64_t feature_size_;
  Linear fc_feat_{}, fcm_{}, fc_meta_{};
};

}  // namespace mcn
