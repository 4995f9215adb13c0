// The objective of one set of videos: contrastive branch + lambda * meta branch, L = L_con + lambda L_meta.
#pragma once

#include <tuple>

#include "models/mcn_model.h"

namespace mcn {

struct ObjectiveConfig {
  double temperature = 0.07;  ///< tau of InfoNCE
  double lambda = 1;          ///< weight of the meta branch; 0: the branch is left out
};

/// A set of N videos, each seen in two views.
struct ClipSet {
  Tensor clips;           ///< 2N D H W 3: view a of every video, then view b of every video
  ops::InfoNceBank bank;  ///< negatives from past iterations; absent: in-batch negatives only
  Tensor same;            ///< N * N: 1 where pair (i, j) shows one video (i = j), else 0; as same_video() makes it
  static auto members(auto& self) { return std::tie(self.clips, self.bank, self.same); }
};

/// The labels of all pairs of N videos' views.
Tensor same_video(Backend& backend, DType dtype, std::int64_t videos);

/// What a pass found besides the loss.
struct ObjectiveParts {
  Tensor contrastive, meta;  ///< one element each; meta is absent where lambda is 0
  Tensor z;                  ///< 2N x feature_size, rows in the order of the clips
  Tensor logits;             ///< of the pairs, as McnModel::meta_logits; absent where lambda is 0
  static auto members(auto& self) { return std::tie(self.contrastive, self.meta, self.z, self.logits); }
};

/// L_con is InfoNCE both ways (a against b and b against a), averaged. L_meta is the binary cross-entropy of every pair
/// (z_i^a, z_j^b), label 1 where i = j, positives weighing N - 1 so that both classes weigh the same. parts, if not
/// null, is filled. UsageError for fewer than two videos.
Var mcn_loss(Tape& tape, std::span<const Var> theta, const McnModel& model, const ClipSet& set,
             const ObjectiveConfig& config, const NormPass& norm = {}, ObjectiveParts* parts = nullptr);

}  // namespace mcn
