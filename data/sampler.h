// Which frames of a video make a clip.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/random.h"

namespace mcn {

/// A clip's geometry. It spans (frames - 1) * stride + 1 frames of the video. In a video that is shorter than that but
/// has at least `frames` frames, the stride shrinks to the largest that fits.
struct ClipConfig {
  int frames = 16;
  int stride = 1;
};

/// Where a video's clips are: anywhere; spread evenly from its start to its end; all in its middle.
enum class ClipSampling : std::uint8_t { random, uniform, centre };

/// Frame numbers of a clip that starts anywhere with equal probability. DataError if the video has fewer frames than a
/// clip, UsageError for a config that is not positive.
std::vector<std::int64_t> random_clip(std::int64_t video_frames, ClipConfig config, Philox& random);

/// Frame numbers of the k-th of `of` clips spread evenly from the video's start to its end; the middle if of is 1.
/// Errors as above, and UsageError unless 0 <= k < of.
std::vector<std::int64_t> uniform_clip(std::int64_t video_frames, ClipConfig config, int k, int of);

/// The k-th of `of` clips of a video. Only ClipSampling::random draws. Errors as above.
std::vector<std::int64_t> sampled_clip(ClipSampling sampling, std::int64_t video_frames, ClipConfig config, int k,
                                       int of, Philox& random);

/// DataError "[video] PATH has 5 frames, a clip needs 16".
void require_clip(const std::string& path, std::int64_t video_frames, ClipConfig config);

}  // namespace mcn
