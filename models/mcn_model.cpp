// The heads of the two branches.
#include "models/mcn_model.h"

#include <cmath>

namespace mcn {

McnModel::McnModel(const McnModelConfig& config)
    : backbone_(config.backbone), specs_(backbone_.parameters()), feature_size_(config.feature_size) {
  constexpr std::int64_t most = McnModelConfig::most_features;
  if (feature_size_ < 2 || feature_size_ > most)
    fail("model", "feature size must be in [2, {}], got {}", most, feature_size_);
  const auto add_linear = [this](const std::string& name, std::int64_t in, std::int64_t out) {
    const double scale = 1.0 / std::sqrt(static_cast<double>(in));
    specs_.push_back({name + ".weight", {out, in}, Init::gaussian, scale, true});
    specs_.push_back({name + ".bias", {out}, Init::zeros, 0, false});
    return specs_.size() - 2;
  };
  fc_feat_ = add_linear("fc_feat", backbone_.features(), feature_size_);
  fcm_ = add_linear("fcm", 2 * feature_size_, feature_size_);
  fc_meta_ = add_linear("fc_meta", feature_size_, 1);
}

Var McnModel::project(Tape& tape, std::span<const Var> theta, const Var& clips, const NormPass& norm) const {
  const Var pooled = backbone_.pooled(tape, theta, clips, norm);
  const Var features = tape.apply(ops::linear(), {pooled, theta[fc_feat_], theta[fc_feat_ + 1]});
  return tape.apply(ops::l2_normalize(), {features});
}

Var McnModel::meta_logits(Tape& tape, std::span<const Var> theta, const Var& a, const Var& b) const {
  // Entries of a unit vector shrink as 1 / sqrt(C) and their products as 1 / C: scaled back to order one.
  const Var pairs = tape.apply(ops::pairing(static_cast<double>(feature_size_)), {a, b});
  const Var combined = tape.apply(ops::linear(), {pairs, theta[fcm_], theta[fcm_ + 1]});
  const Var hidden = tape.apply(ops::relu(), {combined});
  return tape.apply(ops::linear(), {hidden, theta[fc_meta_], theta[fc_meta_ + 1]});
}

}  // namespace mcn
