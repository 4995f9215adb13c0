// Batches of two views of each video for training, made ahead by loader threads.
#pragma once

#include <functional>
#include <memory>

#include "data/batch.h"
#include "data/dataset.h"

namespace mcn {

/// An epoch is a seeded permutation of the videos, a batch the next `batch` of it, the incomplete rest dropped. Every
/// random number of a clip is a function of (seed, epoch, video, view). A video that cannot be decoded, or has fewer
/// frames than a clip, is replaced by another that is not in the batch, chosen by the seed.
class Loader final : public BatchSource {
 public:
  /// Throws what check() throws. The data set is copied; frames are decoded into the backend's host memory.
  Loader(const Dataset& dataset, const LoaderConfig& config, Backend& backend);
  ~Loader() override;

  /// Blocks until the next iteration's batch is made; calls `waiting` ten times a second meanwhile, which may throw.
  /// DataError, listing the first of them, when more than max_bad_percent of the videos turned out unusable, or when
  /// there is none left to replace one. After an exception, throws it again. When it does so depends on the videos and
  /// the seed alone.
  Batch next(const std::function<void()>& waiting = {}) override;

  [[nodiscard]] LoaderStats stats() const override;
  /// Host buffers in existence, one for each view of a video under way.
  [[nodiscard]] std::size_t buffers() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The videos of a data set, which must outlive what draws from it.
ClipSource clips_of(const Dataset& dataset);

}  // namespace mcn
