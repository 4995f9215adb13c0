// Clips for evaluation: uniformly spread over each video, centre crops, in the data set's order.
#pragma once

#include <memory>
#include <vector>

#include "data/augment.h"
#include "data/dataset.h"
#include "data/sampler.h"

namespace mcn {

/// `count` uniform clips of one video: count x D x size x size x 3 float32. DataError for a video that cannot be read
/// or has fewer frames than a clip.
std::vector<float> load_uniform_clips(const VideoEntry& entry, ClipConfig clip, const AugmentConfig& augment,
                                      int count);

/// The uniform clips of every video of a data set, read ahead by threads, whose number changes no bit.
class UniformClips {
 public:
  /// The data set is copied.
  UniformClips(const Dataset& dataset, ClipConfig clip, const AugmentConfig& augment, int count, int threads);
  ~UniformClips();

  /// The next video's, as load_uniform_clips; empty after the last. A video that cannot be read throws when it is its
  /// turn; the next call goes on with the one after it.
  std::vector<float> next();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mcn
