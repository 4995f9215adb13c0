// k-NN and linear probe on a few training videos.
#include "meta/evaluate/monitor.h"

#include <algorithm>
#include <chrono>
#include <map>

namespace mcn {
namespace {

HeldOut choose(const Dataset& train, const MonitorConfig& config) {
  std::map<std::int64_t, std::int64_t> count_of;
  for (const VideoEntry& video : train.videos)
    if (video.label >= 0) ++count_of[video.label];
  const auto usable = std::ranges::count_if(count_of, [](const auto& entry) { return entry.second >= 2; });
  if (usable < 2) fail<DataError>("monitor", "expected two classes with two training videos or more, got {}", usable);
  std::vector<std::int64_t> labels;
  for (const auto& [label, count] : count_of) labels.push_back(label);
  const std::int64_t classes = std::ssize(labels);
  const std::int64_t each = std::max<std::int64_t>(2, (config.videos + classes - 1) / classes);
  return hold_out(some_of_each_class(only_classes(train, labels), each, config.seed), 100.0 / 3, config.seed);
}

}  // namespace

Monitor::Monitor(const Dataset& train, MonitorConfig config)
    : config_(std::move(config)), videos_(choose(train, config_)) {}

MonitorMeasures Monitor::measure(const ModelDescription& description, const McnModel& model, const ModelState& state,
                                 Backend& backend, const std::function<void()>& waiting) const {
  const auto start = std::chrono::steady_clock::now();
  const auto embed = [&](const Dataset& dataset) {
    return embed_videos(description, model, std::span(&state, 1), dataset, config_.embed, backend,
                        [&](std::int64_t, std::int64_t) {
                          if (waiting) waiting();
                        })
        .networks.front();
  };
  const Embedding gallery = embed(videos_.train), queries = embed(videos_.validation);
  const Protocols protocols =
      run_protocols(gallery, queries, config_.protocols, {.backend = backend, .between_blocks = waiting});
  return {summarize(protocols.knn, config_.seed), summarize(protocols.linear, config_.seed), gallery.rows(),
          queries.rows(), std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()};
}

}  // namespace mcn
