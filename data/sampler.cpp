// Clip geometry.
#include "data/sampler.h"

#include <algorithm>

#include "kernels/error.h"

namespace mcn {
namespace {

std::int64_t fitting_stride(std::int64_t video_frames, ClipConfig config) {
  if (config.frames < 1 || config.stride < 1)
    fail("clip", "frames and stride must be positive, got {} and {}", config.frames, config.stride);
  if (video_frames < config.frames)
    fail<DataError>("clip", "the video has {} frames, a clip needs {}", video_frames, config.frames);
  if (config.frames == 1) return 1;
  return std::min<std::int64_t>(config.stride, (video_frames - 1) / (config.frames - 1));
}

std::vector<std::int64_t> clip_from(std::int64_t start, std::int64_t stride, int frames) {
  std::vector<std::int64_t> indices;
  for (int i = 0; i < frames; ++i) indices.push_back(start + i * stride);
  return indices;
}

}  // namespace

std::vector<std::int64_t> random_clip(std::int64_t video_frames, ClipConfig config, Philox& random) {
  const std::int64_t stride = fitting_stride(video_frames, config);
  const std::int64_t starts = video_frames - (config.frames - 1) * stride;
  return clip_from(random.below(starts), stride, config.frames);
}

std::vector<std::int64_t> uniform_clip(std::int64_t video_frames, ClipConfig config, int k, int of) {
  if (k < 0 || k >= of) fail("clip", "clip {} of {} does not exist", k, of);
  const std::int64_t stride = fitting_stride(video_frames, config);
  const std::int64_t last = video_frames - 1 - (config.frames - 1) * stride;
  const std::int64_t start = of == 1 ? last / 2 : (2 * last * k + of - 1) / (2 * (of - 1));
  return clip_from(start, stride, config.frames);
}

std::vector<std::int64_t> sampled_clip(ClipSampling sampling, std::int64_t video_frames, ClipConfig config, int k,
                                       int of, Philox& random) {
  switch (sampling) {
    case ClipSampling::uniform:
      return uniform_clip(video_frames, config, k, of);
    case ClipSampling::centre:
      return uniform_clip(video_frames, config, 0, 1);
    default:
      return random_clip(video_frames, config, random);
  }
}

void require_clip(const std::string& path, std::int64_t video_frames, ClipConfig config) {
  if (video_frames < config.frames)
    fail<DataError>("video", "{} has {} frames, a clip needs {}", path, video_frames, config.frames);
}

}  // namespace mcn
