// Features of whole data sets, and nearest neighbours among them.
#include "meta/retrieval.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace mcn {
namespace {

// Pooled features of a batch of clips. Everything is a constant, so that the tape keeps nothing.
Tensor pooled_features(const McnModel& model, const ModelState& state, const Tensor& clips) {
  Tape tape;
  std::vector<Var> theta;
  for (const Tensor& value : state.theta) theta.push_back(tape.constant(value));
  return model.backbone().pooled(tape, theta, tape.constant(clips), {.running = &state.running}).value;
}

std::vector<float> normalised(const Embedding& e) {
  std::vector<float> out(e.values);
  const auto features = static_cast<std::size_t>(e.features);
  for (std::size_t row = 0; row < e.labels.size(); ++row) {
    const std::span<float> v(out.data() + row * features, features);
    double squares = 0;
    for (const float x : v) squares += static_cast<double>(x) * x;
    const auto scale = static_cast<float>(1 / std::sqrt(std::max(squares, 1e-24)));
    for (float& x : v) x *= scale;
  }
  return out;
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

std::vector<double> retrieval(const Embedding& gallery, const Embedding& queries, std::span<const int> ks) {
  if (gallery.labels.empty() || queries.labels.empty())
    fail("retrieval", "{} gallery videos and {} queries", gallery.labels.size(), queries.labels.size());
  if (gallery.features != queries.features)
    fail("retrieval", "gallery has {} features, queries {}", gallery.features, queries.features);
  const std::vector<float> g = normalised(gallery);
  const std::vector<float> q = normalised(queries);
  const auto features = static_cast<std::size_t>(gallery.features);
  const auto rows = gallery.labels.size();
  std::vector<double> hits(ks.size(), 0);
  std::vector<std::size_t> order(rows);
  std::vector<double> similarity(rows);
  for (std::size_t i = 0; i < queries.labels.size(); ++i) {
    for (std::size_t j = 0; j < rows; ++j)
      similarity[j] = std::inner_product(q.begin() + static_cast<std::ptrdiff_t>(i * features),
                                         q.begin() + static_cast<std::ptrdiff_t>((i + 1) * features),
                                         g.begin() + static_cast<std::ptrdiff_t>(j * features), 0.0);
    std::iota(order.begin(), order.end(), std::size_t{0});
    // Ties by row, so that the ranking is one and the same everywhere.
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return similarity[a] != similarity[b] ? similarity[a] > similarity[b] : a < b;
    });
    const auto hit =
        std::find_if(order.begin(), order.end(), [&](std::size_t j) { return gallery.labels[j] == queries.labels[i]; });
    const auto rank = hit - order.begin();
    for (std::size_t k = 0; k < ks.size(); ++k)
      if (rank < ks[k]) hits[k] += 1;
  }
  for (double& h : hits) h /= static_cast<double>(queries.labels.size());
  return hits;
}

}  // namespace mcn
