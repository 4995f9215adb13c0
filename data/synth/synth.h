// Synthetic labelled videos: real .mp4 and .avi files in UCF101's layout, the paper's problem in miniature.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace mcn {

/// actions: a figure performs one of twelve actions (actions.h), the class. Everything else, the videos' looks, is
/// drawn without regard to the class: video k of every class has the same look, so that looks are hard negatives; the
/// videos of a class have different ones, hard positives. shapes: a class is a bundle of kinds: how an object moves,
/// its shape, and the pattern behind it. Each kind is shared by several classes and any two classes have at most one
/// kind in common, so no single kind tells the class. Colors, places, sizes, speeds, directions and phases are random
/// for every video.
enum class SceneType : std::uint8_t { actions, shapes };

struct SynthConfig {
  std::string out;  ///< folder; must not exist or be empty
  SceneType scene = SceneType::actions;
  int classes = 12;             ///< at least 2; at most 12 of actions, 64 of shapes
  int train = 960, test = 600;  ///< videos, spread evenly over the classes
  int frames = 32;
  int height = 64, width = 86;  ///< pixels, even
  int fps = 25;
  /// Of shapes: probability that shape, and that pattern, is the class's; else any kind: 0, motion alone tells.
  double correlation = 1;
  std::uint64_t seed = 0;
  int threads = 2;  ///< change no bit
};

/// Videos of one class that share a look, a group in UCF101's names.
inline constexpr int videos_per_group = 4;

/// Writes OUT/CLASS/*.mp4 (H.264, or MPEG-4 where FFmpeg has no libx264) and *.avi (MPEG-4 with B-frames) by turns, and
/// OUT/ucfTrainTestlist/. The groups of the test list are apart from those of the training list. The folder appears
/// when all is written. progress is called in this thread with videos done and in all, and may throw to stop.
/// UsageError for a config that makes no sense or a folder that is not empty, DataError if something cannot be written;
/// nothing is left behind then.
void write_synthetic_dataset(const SynthConfig& config,
                             const std::function<void(std::int64_t done, std::int64_t total)>& progress = {});

}  // namespace mcn
