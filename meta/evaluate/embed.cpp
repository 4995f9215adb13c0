// Uniform clips through the backbone, in batches that cross the borders of videos.
#include "meta/evaluate/embed.h"

#include <algorithm>
#include <cmath>

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

void note_bad(VideoEmbeddings& result, std::int64_t video, std::string error, std::int64_t videos, double percent) {
  result.bad.emplace_back(video, std::move(error));
  const std::int64_t count = std::ssize(result.bad);
  if (static_cast<double>(count) * 100 <= percent * static_cast<double>(videos) && count < videos) return;
  if (count == videos) fail<DataError>("embed", "none of {} videos can be used{}", videos, causes(result));
  fail<DataError>("embed", "{} of {} videos cannot be used, more than {}%{}", count, videos, percent, causes(result));
}

}  // namespace

std::string causes(const VideoEmbeddings& embeddings) {
  constexpr std::size_t most = 5;
  std::string list;
  for (std::size_t i = 0; i < std::min(most, embeddings.bad.size()); ++i) list += "; " + embeddings.bad[i].second;
  if (embeddings.bad.size() > most) list += fmt::format("; and {} more", embeddings.bad.size() - most);
  return list;
}

VideoEmbeddings embed_videos(const ModelDescription& description, const McnModel& model,
                             std::span<const ModelState> states, const Dataset& dataset, const EmbedConfig& config,
                             Backend& backend, const std::function<void(std::int64_t, std::int64_t)>& progress) {
  if (config.clips < 1 || config.batch < 1)
    fail("embed", "clips and batch must be positive, got {} and {}", config.clips, config.batch);
  const std::int64_t features = model.backbone().features();
  const auto videos = static_cast<std::int64_t>(dataset.videos.size());
  VideoEmbeddings result;
  result.networks.resize(states.size(), Embedding{features, {}, {}});

  AugmentConfig augment;
  augment.size = description.size;
  augment.resize_height = description.resize_height;
  augment.resize_width = description.resize_width;
  std::vector<std::uint8_t> pending;  // frames of clips that wait for a full batch
  std::vector<std::int64_t> owners;   // and the row of each clip
  const auto flush = [&] {
    const auto count = static_cast<std::int64_t>(owners.size());
    if (count == 0) return;
    Tensor frames(backend, DType::u8,
                  {count, description.frames, description.resize_height, description.resize_width, 3});
    backend.copy_from_host(pending.data(), frames);
    Tensor clips(backend, states.front().theta.front().dtype(),
                 {count, description.frames, description.size, description.size, 3});
    backend.run(kernel::Augment{.params = augment_params(augment),
                                .clips = std::vector<AugmentClip>(owners.size(), centre_crop(augment)),
                                .frames = frames,
                                .y = clips});
    for (std::size_t s = 0; s < states.size(); ++s) {
      const std::vector<double> pooled = pooled_features(model, states[s], clips).to_doubles();
      for (std::size_t i = 0; i < pooled.size(); ++i)
        if (!std::isfinite(pooled[i])) {
          const std::int64_t row = owners[i / static_cast<std::size_t>(features)];
          const auto video = static_cast<std::size_t>(result.videos[static_cast<std::size_t>(row)]);
          fail<NonFiniteError>("embed", "the features of {} are not finite", dataset.videos[video].source.name);
        }
      float* values = result.networks[s].values.data();
      for (std::int64_t i = 0; i < count; ++i)
        for (std::int64_t f = 0; f < features; ++f)
          values[owners[static_cast<std::size_t>(i)] * features + f] +=
              static_cast<float>(pooled[static_cast<std::size_t>(i * features + f)] / config.clips);
    }
    pending.clear();
    owners.clear();
  };
  UniformClips reader(dataset, {description.frames, description.stride}, augment, config.clips, config.threads,
                      config.files);
  for (std::int64_t video = 0; video < videos; ++video) {
    Frames frames;
    try {
      frames = reader.next([&] {
        if (progress) progress(video, videos);
      });
    } catch (const DataError& error) {
      note_bad(result, video, error.what(), videos, config.max_bad_percent);
      if (progress) progress(video + 1, videos);
      continue;
    }
    const std::int64_t row = std::ssize(result.videos);
    result.videos.push_back(video);
    for (Embedding& e : result.networks) {
      e.labels.push_back(dataset.videos[static_cast<std::size_t>(video)].label);
      e.values.resize(static_cast<std::size_t>((row + 1) * features), 0.0F);
    }
    const auto clip_bytes = static_cast<std::ptrdiff_t>(frames.frame_bytes()) * description.frames;
    for (int c = 0; c < config.clips; ++c) {
      const auto first = frames.rgb.begin() + c * clip_bytes;
      pending.insert(pending.end(), first, first + clip_bytes);
      owners.push_back(row);
      if (static_cast<std::int64_t>(owners.size()) == config.batch) flush();
    }
    if (progress) progress(video + 1, videos);
  }
  flush();
  return result;
}

}  // namespace mcn
