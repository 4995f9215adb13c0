// Features of whole data sets of videos.
#pragma once

#include <functional>

#include "data/clips.h"
#include "meta/checkpoint.h"
#include "meta/retrieval.h"

namespace mcn {

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

}  // namespace mcn
