// Features of whole data sets of videos.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "data/clips.h"
#include "meta/checkpoint.h"
#include "meta/evaluate/embedding.h"

namespace mcn {

struct EmbedConfig {
  int clips = 10;              ///< uniform clips a video, whose pooled features are averaged
  std::int64_t batch = 16;     ///< clips in one pass
  int threads = 2;             ///< that decode
  double max_bad_percent = 5;  ///< of the videos that may be unusable; they are left out
  FileConfig files;
};

struct VideoEmbeddings {
  std::vector<Embedding> networks;                        ///< one for each state, with the same rows
  std::vector<std::int64_t> videos;                       ///< of each row: its number in the data set
  std::vector<std::pair<std::int64_t, std::string>> bad;  ///< number and cause of each video that is left out
};

/// "; cause; cause", of the first videos that are left out, and how many there are beyond these.
std::string causes(const VideoEmbeddings& embeddings);

/// Pooled backbone features of every video of a data set by one or several states of a model, which see the same clips;
/// normalised by running statistics. progress, if given, is called with videos done and in all, also while a video
/// takes its time, and may throw to stop. DataError, naming the first of them, if more than max_bad_percent of the
/// videos cannot be read or are too short, or if all are. NonFiniteError, naming the video, for features that are not
/// finite.
VideoEmbeddings embed_videos(const ModelDescription& description, const McnModel& model,
                             std::span<const ModelState> states, const Dataset& dataset, const EmbedConfig& config,
                             Backend& backend, const std::function<void(std::int64_t, std::int64_t)>& progress = {});

}  // namespace mcn
