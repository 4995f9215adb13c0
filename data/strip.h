// Short animations of clips for a page: their frames below each other, in one picture.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/file_config.h"
#include "data/sampler.h"
#include "data/video.h"

namespace mcn {

struct Strip {
  std::string jpeg;
  int frames = 0, height = 0, width = 0;  ///< height and width of one frame; the picture is frames * height high
};

/// The frames of a strip, at most `most` of them, spread evenly from the first to the last. As many bytes as most_bytes
/// if the coarsest quantizer allows it. UsageError without frames, or unless most is positive.
Strip make_strip(const Frames& frames, int most, std::size_t most_bytes);

/// What a strip of a video shows, and how large it may get.
struct StripConfig {
  ClipConfig clip;            ///< the strip spans the same time, in the video's middle, with up to `frames` frames
  int frames = 8, side = 96;  ///< pixels of the longer side, both being multiples of 8
  std::size_t bytes = 12 << 10;
  int threads = 2;
};

/// A strip for each video, read by threads. A video that cannot be read has an empty one. `waiting` is called ten times
/// a second while the call blocks, and after each video; it may throw.
std::vector<Strip> middle_strips(std::span<const VideoSource> videos, const StripConfig& config,
                                 const FileConfig& files, const std::function<void()>& waiting = {});

}  // namespace mcn
