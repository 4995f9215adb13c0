// Figures by which a training run can be judged: accuracies of the two branches with their chance, and how far an
// update moves each group of layers.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "meta/objective.h"

namespace mcn {

/// Shares in [0, 1] over the N videos of one set.
struct Accuracies {
  /// InfoNCE top-1, both ways: clips that are more similar to their video's other view than to the other view of any
  /// other video of the set. The bank has no part in it. A tie is a miss, so that collapsed features score 0.
  double top1 = 0;
  double top1_chance = 0;  ///< 1 / N
  /// Meta branch: the mean of the shares of right answers for pairs of one video and for pairs of two, so that chance
  /// is 1/2. Absent without the branch.
  std::optional<double> pairs;
};

/// Reads z and logits: waits for the device.
Accuracies accuracies(const ObjectiveParts& parts);

/// Against collapse (Chen and He, "Exploring simple Siamese representation learning", CVPR 2021): the standard
/// deviation of each feature over all rows of z, which have length 1, averaged over the features. 0 where all rows are
/// equal; at most 1 / sqrt(features), which rows that point everywhere alike come to. Waits for the device.
double embedding_std(const Tensor& z);

/// How far an update moved a group of parameters: |update| / |weights before it|.
struct GroupUpdate {
  std::string group;
  double ratio = 0;
};

/// "stem", "layer1" to "layer4", or "features.0", ... (S3D) for a backbone's parameter, else "heads".
std::string parameter_group(const std::string& name);

/// A ratio for each group, in the order of the first parameter of each. `before` is one's own copy of the values before
/// the update, and is used up. A group of length 0 that moved has an infinite ratio.
std::vector<GroupUpdate> update_ratios(const ParameterSpecs& specs, Tensors before, const Tensors& after);

}  // namespace mcn
