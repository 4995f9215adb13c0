// Evaluation during training: what the features of some training videos tell of the classes of others.
#pragma once

#include "meta/evaluate/embed.h"
#include "meta/evaluate/protocols.h"
#include "meta/evaluate/selection.h"

namespace mcn {

struct MonitorConfig {
  std::int64_t videos = 400;  ///< about so many, of each class as many, two at least
  ProtocolConfig protocols;
  EmbedConfig embed = [] {
    EmbedConfig one_clip;
    one_clip.clips = 1;
    return one_clip;
  }();
  std::uint64_t seed = 0;  ///< of the choice of videos, and of the intervals
};

struct MonitorMeasures {
  Summary knn, linear;
  std::int64_t gallery = 0, queries = 0;  ///< videos
  double seconds = 0;
};

/// Of the chosen videos of a class a third are queries, and the rest the gallery. All are training videos, so that a
/// checkpoint may be chosen by the result: the test videos have no part in it. A method without labels may train on
/// them too.
class Monitor {
 public:
  /// DataError unless two classes have two videos or more.
  Monitor(const Dataset& train, MonitorConfig config);

  /// A function of the state alone. waiting is called between batches and may throw. Errors as embed_videos and
  /// run_protocols.
  MonitorMeasures measure(const ModelDescription& description, const McnModel& model, const ModelState& state,
                          Backend& backend, const std::function<void()>& waiting = {}) const;

  [[nodiscard]] const Dataset& gallery() const { return videos_.train; }
  [[nodiscard]] const Dataset& queries() const { return videos_.validation; }

 private:
  MonitorConfig config_;
  HeldOut videos_;
};

}  // namespace mcn
