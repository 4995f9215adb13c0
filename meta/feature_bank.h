// Negatives from past iterations: a memory bank with a row a video (Wu et al., CVPR 2018) or a queue of the latest
// features (MoCo, He et al., CVPR 2020). Features enter detached, once an iteration.
#pragma once

#include <string>

#include "engine/ops.h"

namespace mcn {

enum class BankKind : std::uint8_t { none, memory, queue };

struct FeatureBankConfig {
  BankKind kind = BankKind::memory;
  /// memory: rows drawn at random as negatives each iteration; queue: its length.
  std::int64_t size = 1024;
  double momentum = 0.5;  ///< memory: row = normalise(momentum row + (1 - momentum) z)
};

class FeatureBank {
 public:
  /// videos: number of videos of the data set, the memory bank's rows, which start as random unit vectors.
  FeatureBank(const FeatureBankConfig& config, std::int64_t videos, std::int64_t feature_size, Backend& backend,
              DType dtype, std::uint64_t seed);

  /// The negatives of an iteration for anchors of these videos; absent if there are none (yet). Rows of the anchors'
  /// own videos are left out by the loss.
  [[nodiscard]] ops::InfoNceBank negatives(std::int64_t iteration, std::span<const std::int64_t> videos) const;

  /// z: N x feature_size, unit rows, of distinct videos.
  void update(const Tensor& z, std::span<const std::int64_t> videos);

  /// State for a checkpoint. restore: DataError if it does not fit, or could not have come about: a memory bank's ids
  /// are 0, 1, ... in order, a queue's those of videos that exist, and the next row of one that is not full comes after
  /// the last.
  struct State {
    Tensor features;
    std::vector<std::int64_t> ids;
    std::int64_t next = 0;
  };
  [[nodiscard]] State state() const { return {features_, ids_, next_}; }
  void restore(const State& state);

 private:
  FeatureBankConfig config_;
  std::int64_t videos_;
  std::uint64_t seed_;
  Tensor features_;
  std::vector<std::int64_t> ids_;  // video of each row; queue: rows filled so far
  std::int64_t next_ = 0;          // queue: the row to overwrite next
};

}  // namespace mcn
