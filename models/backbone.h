// A backbone: what turns clips into features. The architectures are in one table (models/backbone.cpp), from which the
// command line takes their names.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/layers.h"

namespace mcn {

struct BackboneConfig {
  std::string arch = "r2plus1d_18";       ///< one of backbone_archs()
  double width = 1;                       ///< multiplies the channels of every layer; 1 is the published network
  std::int64_t classes = 0;               ///< outputs of the classifier; 0: no classifier
  Precision precision = Precision::fp32;  ///< of convolutions in float32
};

class Backbone {
 public:
  Backbone(const Backbone&) = delete;
  Backbone& operator=(const Backbone&) = delete;
  virtual ~Backbone() = default;

  /// In torchvision's order and under its names; passes take values in this order.
  [[nodiscard]] const ParameterSpecs& parameters() const { return layers_.parameters(); }
  /// Names of the normalization layers, in the order of NormPass: the parameters' names without ".weight".
  [[nodiscard]] const std::vector<std::string>& norms() const { return layers_.norms(); }
  /// Channels of normalization layer i.
  [[nodiscard]] std::int64_t norm_channels(std::size_t i) const { return layers_.norm_channels()[i]; }
  /// Number of pooled features.
  [[nodiscard]] std::int64_t features() const { return features_; }
  /// Of pooled features; absent without classes.
  [[nodiscard]] const std::optional<Linear>& classifier() const { return classifier_; }

  /// clip: N D H W 3 -> N x features(). UsageError unless there is a value for every parameter (more may follow) and
  /// statistics for every normalization.
  Var pooled(Tape& tape, std::span<const Var> theta, const Var& clip, const NormPass& norm = {}) const;
  /// clip -> N x classes.
  Var logits(Tape& tape, std::span<const Var> theta, const Var& clip, const NormPass& norm = {}) const;

 protected:
  explicit Backbone(const BackboneConfig& config) : layers_(config.precision) {}
  /// What pooled() does.
  [[nodiscard]] virtual Var run(const Pass& pass, const Var& clip) const = 0;

  // For the constructor of a derived class.
  [[nodiscard]] Layers& layers() { return layers_; }
  void set_output(std::int64_t features, const std::optional<Linear>& classifier) {
    features_ = features;
    classifier_ = classifier;
  }

 private:
  Layers layers_;
  std::int64_t features_ = 0;
  std::optional<Linear> classifier_;
};

/// Names of all architectures.
std::vector<std::string> backbone_archs();

/// UsageError for an unknown arch, or a width outside of (0, 16].
std::shared_ptr<const Backbone> make_backbone(const BackboneConfig& config);

/// What a width makes of a layer's channels: rounded, and at least 1.
std::int64_t scaled_channels(std::int64_t channels, double width);

}  // namespace mcn
