// Clips for evaluation: uniformly spread over each video, in the data set's order.
#pragma once

#include <functional>
#include <memory>

#include "data/augment.h"
#include "data/dataset.h"
#include "data/sampler.h"
#include "data/video_pool.h"

namespace mcn {

/// The frames of `count` uniform clips of one video, one after the other, at the size of augment's resize. DataError
/// for a video that cannot be read or has fewer frames than a clip.
Frames load_uniform_clips(const VideoEntry& entry, ClipConfig clip, const AugmentConfig& augment, int count,
                          const FileConfig& files = {});

/// The uniform clips of every video of a data set, read ahead by threads, whose number changes no bit.
class UniformClips {
 public:
  /// The data set is copied.
  UniformClips(const Dataset& dataset, ClipConfig clip, const AugmentConfig& augment, int count, int threads,
               const FileConfig& files = {});
  ~UniformClips();

  /// The next video's, as load_uniform_clips; no frames after the last. A video that cannot be read throws when it is
  /// its turn; the next call goes on with the one after it. `waiting` is called ten times a second while it blocks, and
  /// may throw.
  Frames next(const std::function<void()>& waiting = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mcn
