// A batch of two views of each video, and where batches come from. Nothing here reads a file.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "data/augment.h"
#include "data/file_config.h"
#include "data/sampler.h"
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
  /// Index and cause of videos that an earlier part of the run found unusable: they count, and replace no other.
  std::vector<std::pair<std::int64_t, std::string>> known_bad;
  FileConfig files;
};

/// UsageError for settings that make no sense, DataError if there are fewer videos than a batch.
void check(const LoaderConfig& config, std::int64_t videos);

/// One view of every video of a batch: decoded frames, and what is to be done to them.
struct BatchView {
  std::vector<HostRing::Slot> frames;  ///< D x resize height x resize width x 3 uint8 each; residual: 2 D
  std::vector<AugmentClip> augmentation;
  bool residual = false;
};

struct Batch {
  std::int64_t iteration = 0;
  std::vector<std::int64_t> videos;  ///< by number, all different
  std::vector<std::int64_t> labels;
  BatchView view_a, view_b;
  double decode_ms = 0;         ///< that the threads spent on it, together
  double ready = 0;             ///< batches that were made when it was asked for, this one included; a fraction counts
  std::int64_t bad_videos = 0;  ///< that were found unusable until now
  /// of its clips, those whose video is too short for the stride and that have a smaller one (ClipConfig)
  std::int64_t shortened_clips = 0;
};

/// Bytes of a slot of HostRing for one view of one video.
std::size_t view_bytes(const LoaderConfig& config);

/// Views that a loader has under way at most: of the batches ahead, of the one that is used, and of the next video.
std::size_t most_views(const LoaderConfig& config);

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

/// Makes one batch after the other.
class BatchSource {
 public:
  BatchSource() = default;
  virtual ~BatchSource() = default;
  BatchSource(const BatchSource&) = delete;
  BatchSource& operator=(const BatchSource&) = delete;

  /// The next iteration's batch. May call `waiting` meanwhile, which may throw.
  virtual Batch next(const std::function<void()>& waiting) = 0;
  [[nodiscard]] virtual LoaderStats stats() const = 0;
};

/// What training draws from: so many videos, and how batches of them are made. open() throws what check() throws.
struct ClipSource {
  std::int64_t videos = 0;
  std::function<std::unique_ptr<BatchSource>(const LoaderConfig&, Backend&)> open;
  /// What tells the videos in their order, and their labels, from others (data/datasets/identity.h).
  std::string identity{}, labels{};
};

/// Videos of random patches and noise, a function of (seed, video), for checks where there are no files. Both views of
/// a video show the same frames, augmented as the loader does.
ClipSource random_clips(std::int64_t videos);

/// The videos of an iteration's batch before any is replaced: what the sampler alone decides.
std::vector<std::int64_t> batch_videos(std::int64_t videos, std::int64_t batch, std::uint64_t seed,
                                       std::int64_t iteration);

/// What a random stream of a batch is for; part of its number.
enum class DrawPurpose : std::uint8_t { epoch_order = 1, replacements, clip_start, augmentation, pixels };

/// By epoch and not by iteration, which the batch's size has a say in.
Philox batch_draws(const LoaderConfig& config, std::int64_t videos, DrawPurpose purpose, std::int64_t iteration,
                   std::int64_t video, int view);

}  // namespace mcn
