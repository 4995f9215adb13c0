// Synthetic labelled videos: real .mp4 and .avi files in UCF101's layout, the paper's problem in miniature.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/video.h"

namespace mcn {

/// A class is a bundle of kinds: how an object moves, its shape, and the pattern behind it. Each kind is shared by
/// several classes and any two classes have at most one kind in common, so no single kind tells the class. Colours,
/// places, sizes, speeds, directions and phases are random for every video, so that videos of one class are hard
/// positives for each other.
struct SynthConfig {
  std::string out;              ///< folder; must not exist or be empty
  int classes = 12;             ///< 2 to 64
  int train = 960, test = 600;  ///< videos, spread evenly over the classes
  int frames = 32;
  int height = 64, width = 86;  ///< pixels, even
  int fps = 25;
  double correlation =
      1;  ///< probability that shape, and that pattern, is the class's; else any kind: 0, motion alone tells
  std::uint64_t seed = 0;
  int threads = 2;  ///< change no bit
};

/// Writes OUT/CLASS/*.mp4 (H.264, or MPEG-4 where FFmpeg has no libx264) and *.avi (MPEG-4 with B-frames) by turns, and
/// OUT/ucfTrainTestlist/. The folder appears when all is written. progress is called in this thread with videos done
/// and in all, and may throw to stop. UsageError for a config that makes no sense or a folder that is not empty,
/// DataError if something cannot be written; nothing is left behind then.
void write_synthetic_dataset(const SynthConfig& config,
                             const std::function<void(std::int64_t done, std::int64_t total)>& progress = {});

/// What a video shows. Kinds are numbers below 8; their names are in the class's name.
struct SceneKinds {
  int motion = 0, shape = 0, pattern = 0;
};

/// The bundle of a class, and what a video of it shows: the bundle itself with probability correlation for each of
/// shape and pattern. subset 0: train, 1: test.
SceneKinds class_kinds(int label, int classes);
SceneKinds video_kinds(const SynthConfig& config, int subset, int number);

/// "OrbitStarOnStripes": unique among a data set's classes.
std::string class_name(SceneKinds kinds);

/// Frames of a scene as RGB, a pure function of its arguments.
Frames render_scene(const SceneKinds& kinds, int frames, int height, int width, std::uint64_t seed,
                    std::uint64_t stream);

}  // namespace mcn
