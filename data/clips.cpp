// Evaluation clips.
#include "data/clips.h"

#include <algorithm>

#include "data/ordered.h"
#include "kernels/error.h"

namespace mcn {

Frames load_uniform_clips(const VideoEntry& entry, ClipConfig clip, const AugmentConfig& augment, int count,
                          const FileConfig& files) {
  check(augment);
  if (count < 1) fail("clips", "the number of clips must be positive, got {}", count);
  Video video(entry.source, files.options());
  require_clip(entry.source.name, video.info().frames, clip);
  std::vector<std::int64_t> wanted;
  for (int k = 0; k < count; ++k)
    for (const std::int64_t i : uniform_clip(video.info().frames, clip, k, count)) wanted.push_back(i);
  return video.frames(wanted, augment.resize_height, augment.resize_width);
}

struct UniformClips::Impl {
  Dataset dataset;
  std::unique_ptr<Ordered<Frames>> clips;  // last, so that its threads end before what they use
};

UniformClips::UniformClips(const Dataset& dataset, ClipConfig clip, const AugmentConfig& augment, int count,
                           int threads, const FileConfig& files)
    : impl_(std::make_unique<Impl>()) {
  check(augment);
  if (threads < 1) fail("clips", "threads must be positive, got {}", threads);
  impl_->dataset = dataset;
  const auto* videos = &impl_->dataset.videos;
  FileConfig reading = files;
  reading.codec_threads = std::max(1, threads / static_cast<int>(std::clamp<std::size_t>(videos->size(), 1, 1 << 20)));
  impl_->clips = std::make_unique<Ordered<Frames>>(
      threads, 2 * threads, static_cast<std::int64_t>(videos->size()),
      [videos, clip, augment, count, reading](std::int64_t i) {
        return load_uniform_clips((*videos)[static_cast<std::size_t>(i)], clip, augment, count, reading);
      },
      files.timeout_seconds);
}

UniformClips::~UniformClips() = default;

Frames UniformClips::next(const std::function<void()>& waiting) {
  return impl_->clips->next(waiting).value_or(Frames{});
}

}  // namespace mcn
