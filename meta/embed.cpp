// Uniform clips through the backbone, in batches that cross the borders of videos.
#include "meta/embed.h"

#include "engine/tape.h"

namespace mcn {
namespace {

// Pooled features of a batch of clips. Everything is a constant, so that the tape keeps nothing.
Tensor pooled_features(const McnModel& model, const ModelState& state, const Tensor& clips) {
  Tape tape;
  std::vector<Var> theta;
  for (const Tensor& value : state.theta) theta.push_back(tape.constant(value));
  return model.backbone().pooled(tape, theta, tape.constant(clips), {.running = &state.running}).value;
}

}  // namespace

Embedding embed_videos(const ModelDescription& description, const McnModel& model, const ModelState& state,
                       const Dataset& dataset, const EmbedConfig& config, Backend& backend,
                       const std::function<void(std::int64_t, std::int64_t)>& progress) {
  if (config.clips < 1 || config.batch < 1)
    fail("embed", "clips and batch must be positive, got {} and {}", config.clips, config.batch);
  const std::int64_t features = model.backbone().features();
  const DType dtype = state.theta.front().dtype();
  const auto videos = static_cast<std::int64_t>(dataset.videos.size());
  Embedding result{features, std::vector<float>(static_cast<std::size_t>(videos * features), 0.0F), {}};
  for (const VideoEntry& entry : dataset.videos) result.labels.push_back(entry.label);

  AugmentConfig augment;
  augment.size = description.size;
  augment.resize_height = description.resize_height;
  augment.resize_width = description.resize_width;
  std::vector<std::uint8_t> pending;  // frames of clips that wait for a full batch
  std::vector<std::int64_t> owners;   // and the video of each clip
  const auto flush = [&] {
    const auto count = static_cast<std::int64_t>(owners.size());
    if (count == 0) return;
    const Tensor frames(backend, DType::u8,
                        {count, description.frames, description.resize_height, description.resize_width, 3});
    backend.copy_from_host(pending.data(), frames);
    const Tensor clips(backend, dtype, {count, description.frames, description.size, description.size, 3});
    backend.augment(augment_params(augment), std::vector<AugmentClip>(owners.size(), centre_crop(augment)), frames,
                    clips);
    const std::vector<double> pooled = pooled_features(model, state, clips).to_doubles();
    for (std::int64_t i = 0; i < count; ++i)
      for (std::int64_t f = 0; f < features; ++f)
        result.values[static_cast<std::size_t>(owners[static_cast<std::size_t>(i)] * features + f)] +=
            static_cast<float>(pooled[static_cast<std::size_t>(i * features + f)] / config.clips);
    pending.clear();
    owners.clear();
  };
  UniformClips reader(dataset, {description.frames, description.stride}, augment, config.clips, config.threads,
                      config.files);
  for (std::int64_t video = 0; video < videos; ++video) {
    const Frames frames = reader.next([&] {
      if (progress) progress(video, videos);
    });
    const auto clip_bytes = static_cast<std::ptrdiff_t>(frames.frame_bytes()) * description.frames;
    for (int c = 0; c < config.clips; ++c) {
      const auto first = frames.rgb.begin() + c * clip_bytes;
      pending.insert(pending.end(), first, first + clip_bytes);
      owners.push_back(video);
      if (static_cast<std::int64_t>(owners.size()) == config.batch) flush();
    }
    if (progress) progress(video + 1, videos);
  }
  flush();
  return result;
}

}  // namespace mcn
