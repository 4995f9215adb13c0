// Evaluation by retrieval (the protocol of IIC): every test video looks for its nearest training videos by the cosine
// of their features; R@k is the share of test videos of whose k nearest any has the same class.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "data/clips.h"
#include "meta/checkpoint.h"

namespace mcn {

/// Features of videos: rows x features, float32, one row a video.
struct Embedding {
  std::int64_t features = 0;
  std::vector<float> values;
  std::vector<std::int64_t> labels;
};

struct EmbedConfig {
  int clips = 10;           ///< uniform clips a video, whose pooled features are averaged
  std::int64_t batch = 16;  ///< clips in one pass
  int threads = 2;          ///< that decode
  FileConfig files;
};

/// Pooled backbone features of every video of a data set, normalised by running statistics. progress, if given, is
/// called with videos done and in all, also while a video takes its time, and may throw to stop. DataError for a video
/// that cannot be read.
Embedding embed_videos(const ModelDescription& description, const McnModel& model, const ModelState& state,
                       const Dataset& dataset, const EmbedConfig& config, Backend& backend,
                       const std::function<void(std::int64_t, std::int64_t)>& progress = {});

/// R@k in [0, 1] for every k. UsageError if either set is empty or their features differ in number.
std::vector<double> retrieval(const Embedding& gallery, const Embedding& queries, std::span<const int> ks);

}  // namespace mcn
