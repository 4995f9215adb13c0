// What a run's network sees and what it makes of videos, for a report: augmented views, and of test videos their
// nearest neighbors, a confusion matrix and a map of the features.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/batch.h"
#include "data/dataset.h"
#include "data/strip.h"
#include "meta/checkpoint.h"

namespace mcn {

/// How many videos pictures are made of, which bounds the time that they take and their size on the page.
struct PictureLimits {
  std::int64_t test_videos = 200, train_videos = 400;  ///< whose features are computed
  int clips = 3;                                       ///< of a video, for its features
  std::int64_t views = 4;                              ///< training videos whose two views are shown
  std::int64_t queries = 12, neighbors = 5;            ///< of the gallery
  int view_frames = 16;                                ///< of a view that are shown
  std::size_t view_bytes = 48 << 10;                   ///< of a view's strip; of the gallery's see StripConfig
};

/// Differences of consecutive frames are small: they are shown with so much more contrast than frames.
inline constexpr int residual_contrast = 4;

struct RunPictures {
  /// A training video: the first view's frames before they are augmented, and both views as the network has them.
  struct Views {
    std::string video;
    Strip frames, first, second;
  };
  struct Video {
    std::string name;
    std::int64_t label = 0;
    double cosine = 0;  ///< of a neighbor, with its query
    Strip strip;
  };
  struct Query {
    Video video;
    std::vector<Video> neighbors;  ///< the nearest first
  };
  /// A test video's place on the map.
  struct Point {
    std::string name;
    std::int64_t label = 0, answer = 0;  ///< its class, and the k-NN's
    std::array<double, 2> at{};
  };

  std::vector<Views> views;
  bool residual = false;  ///< the second views are differences of frames, gray where nothing moves, contrast enhanced

  std::vector<std::string> classes;  ///< by label
  std::vector<Query> gallery;
  std::vector<std::int64_t> confusion;  ///< of the k-NN, as confusion_counts; empty without features
  std::vector<Point> map;
  std::array<double, 2> variance{};  ///< shares of the map's axes
  std::int64_t test_videos = 0, train_videos = 0;
  std::int64_t nearest_right = 0;  ///< test videos whose nearest training video has their class
  int clips = 0;                   ///< of a video
  int neighbors = 0;               ///< k of the k-NN
  double chance = 0;  ///< share of the test videos that the class of a training video drawn at random is right for

  std::vector<std::string> problems;  ///< what is missing and why, a sentence each

  [[nodiscard]] bool empty() const { return views.empty() && map.empty(); }
};

/// Called with the videos that are done, also while a video takes its time; may throw to stop.
using PictureProgress = std::function<void(std::int64_t done)>;

/// The views of the first batch that the run's loader gives of a few videos, evenly drawn over classes. Throws as
/// Loader.
void picture_views(const Dataset& train, const LoaderConfig& loader, const PictureLimits& limits, Backend& backend,
                   RunPictures& pictures, const PictureProgress& progress = {});

/// The videos that picture_features takes of a subset: evenly drawn over classes, the same for every run.
Dataset pictured_videos(const Dataset& dataset, std::int64_t most);

/// Gallery, confusion matrix and map by the features of uniform clips of each video, of data sets that
/// pictured_videos gave. The confusion matrix is of the k-NN of `mcn evaluate`. Videos that cannot be used are left out
/// and counted among the problems. Throws as expect_same_classes, embed_videos and nearest.
void picture_features(const ModelDescription& description, const McnModel& model, const ModelState& state,
                      const Dataset& train, const Dataset& test, const LoaderConfig& loader,
                      const PictureLimits& limits, Backend& backend, RunPictures& pictures,
                      const PictureProgress& progress = {});

}  // namespace mcn
