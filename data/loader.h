// Batches of two views of each video for training, made ahead by loader threads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "data/augment.h"
#include "data/dataset.h"
#include "data/sampler.h"
#include "data/video_pool.h"
#include "engine/host_ring.h"
#include "engine/tensor.h"

namespace mcn {

struct LoaderConfig {
  std::int64_t batch = 16;  ///< videos
  ClipConfig clip;
  ClipSampling sampling = ClipSampling::random;  ///< of the two views' clips: uniform has one at either end
  AugmentConfig augment;
  std::uint64_t seed = 0;
  int threads = 2;             ///< that decode; change no bit
  int ring = 4;                ///< batches that the threads may be ahead; changes no bit
  bool residual_view = false;  ///< second view: each frame's successor minus the frame, normalised
  std::int64_t first_iteration = 0;
  double max_bad_percent = 5;  ///< of the data set's videos that may be unusable
  FileConfig files;
};

/// UsageError for settings that make no sense, DataError if the data set has fewer videos than a batch.
void check(const LoaderConfig& config, const Dataset& dataset);

/// One view of every video of a batch: decoded frames, and what is to be done to them.
struct BatchView {
  std::vector<HostRing::Slot> frames;  ///< D x resize height x resize width x 3 uint8 each; residual: 2 D
  std::vector<AugmentClip> augmentation;
  bool residual = false;
};

struct Batch {
  std::int64_t iteration = 0;
  std::vector<std::int64_t> videos;  ///< indices in Dataset::videos, all different
  std::vector<std::int64_t> labels;
  BatchView view_a, view_b;
  double decode_ms = 0;         ///< that the threads spent on it, together
  double ready = 0;             ///< batches that were made when it was asked for, this one included; a fraction counts
  std::int64_t bad_videos = 0;  ///< that were found unusable until now
};

/// Bytes of a slot of HostRing for one view of one video.
std::size_t view_bytes(const LoaderConfig& config);

/// The augmented clips of videos [begin, end) of a batch on a device: 2 (end - begin) x D x size x size x 3, view a of
/// each, then view b of each. The frames travel as uint8.
Tensor augmented_clips(const Batch& batch, std::int64_t begin, std::int64_t end, const LoaderConfig& config,
                       Backend& backend, DType dtype);

struct LoaderStats {
  std::int64_t batches = 0;
  double decode_ms = 0;  ///< of all batches, summed over the threads
  double wait_ms = 0;    ///< that next() blocked
  double ready = 0;      ///< batches that wait in the ring now
  std::int64_t replaced = 0;
  std::vector<std::pair<std::int64_t, std::string>> bad;  ///< index and cause of each unusable video
};

/// An epoch is a seeded permutation of the videos, a batch the next `batch` of it, the incomplete rest dropped. Every
/// random number of a clip is a function of (seed, epoch, video, view). A video that cannot be decoded, or has fewer
/// frames than a clip, is replaced by another that is not in the batch, chosen by the seed.
class Loader {
 public:
  /// Throws what check() throws. The data set is copied; frames are decoded into the backend's host memory.
  Loader(const Dataset& dataset, const LoaderConfig& config, Backend& backend);
  ~Loader();

  /// Blocks until the next iteration's batch is made; calls `waiting` ten times a second meanwhile, which may throw.
  /// DataError, listing the first of them, when more than max_bad_percent of the videos turned out unusable, or when
  /// there is none left to replace one. After an exception, throws it again. When it does so depends on the videos and
  /// the seed alone.
  Batch next(const std::function<void()>& waiting = {});

  [[nodiscard]] LoaderStats stats() const;
  /// Host buffers in existence, one for each view of a video under way.
  [[nodiscard]] std::size_t buffers() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The videos of an iteration's batch before any is replaced: what the sampler alone decides.
std::vector<std::int64_t> batch_videos(std::int64_t videos, std::int64_t batch, std::uint64_t seed,
                                       std::int64_t iteration);

}  // namespace mcn
