// The heads of the two branches.
#include "models/mcn_model.h"

#include <cmath>

namespace mcn {

McnModel::McnModel(const McnModelConfig& config)
    : backbone_(make_backbone(config.backbone)), specs_(backbone_->parameters()), feature_size_(config.feature_size) {
  constexpr std::int64_t most = McnModelConfig::most_features;
  if (feature_size_ < 2 || feature_size_ > most)
    fail("model", "feature size must be in [2, {}], got {}", most, feature_size_);
  Layers heads;
  const auto linear = [&](const std::string& name, std::int64_t in, std::int64_t out) {
    Linear head = heads.linear(name, {out, in}, 1.0 / std::sqrt(static_cast<double>(in)));
    head.weight += specs_.size();
    head.bias += specs_.size();
    return head;
  };
  fc_feat_ = linear("fc_feat", backbone_->features(), feature_size_);
  fcm_ = linear("fcm", 2 * feature_size_, feature_size_);
  fc_meta_ = linear("fc_meta", feature_size_, 1);
  specs_.insert(specs_.end(), heads.parameters().begin(), heads.parameters().end());
}

Var McnModel::project(Tape& tape, std::span<const Var> theta, const Var& clips, const NormPass& norm) const {
  const Var pooled = backbone_->pooled(tape, theta, clips, norm);
  const Var features = fc_feat_({tape, theta, norm}, pooled);
  return tape.apply(ops::l2_normalize(), {features});
}

Var McnModel::meta_logits(Tape& tape, std::span<const Var> theta, const Var& a, const Var& b) const {
  const NormPass no_norms;
  const Pass pass{tape, theta, no_norms};
  // Entries of a unit vector shrink as 1 / sqrt(C) and their products as 1 / C: scaled back to order one.
  const Var pairs = tape.apply(ops::pairing(static_cast<double>(feature_size_)), {a, b});
  const Var combined = fcm_(pass, pairs);
  const Var hidden = tape.apply(ops::relu(), {combined});
  return fc_meta_(pass, hidden);
}

}  // namespace mcn
