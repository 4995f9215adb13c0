// Which videos an evaluation during training takes.
#include <map>
#include <set>

#include "kernels/error.h"
#include "meta/evaluate/monitor.h"
#include "tests/catch.h"

namespace mcn {
namespace {

// counts[c] videos of class c, in turn.
Dataset videos(const std::vector<int>& counts) {
  Dataset dataset;
  for (std::size_t c = 0; c < counts.size(); ++c) dataset.classes.push_back(std::to_string(c));
  const int most = *std::max_element(counts.begin(), counts.end());
  for (int i = 0; i < most; ++i)
    for (std::size_t c = 0; c < counts.size(); ++c)
      if (i < counts[c]) dataset.videos.push_back({fmt::format("{}-{}", c, i), static_cast<std::int64_t>(c)});
  return dataset;
}

std::map<std::int64_t, int> counts(const Dataset& dataset) {
  std::map<std::int64_t, int> of_class;
  for (const VideoEntry& video : dataset.videos) ++of_class[video.label];
  return of_class;
}

std::set<std::string> names(const Dataset& dataset) {
  std::set<std::string> all;
  for (const VideoEntry& video : dataset.videos) all.insert(video.source.path);
  return all;
}

MonitorConfig config(std::int64_t videos, std::uint64_t seed = 0) {
  MonitorConfig c;
  c.videos = videos;
  c.seed = seed;
  return c;
}

}  // namespace

TEST_CASE("a monitor takes as many videos of each class, and a third of them as queries") {
  const Dataset dataset = videos({50, 30, 3, 1});
  const Monitor monitor(dataset, config(36));
  // 36 over 4 classes: 9 each, of which 3 are queries; of 3 videos one is, of a single one none.
  CHECK(counts(monitor.queries()) == std::map<std::int64_t, int>{{0, 3}, {1, 3}, {2, 1}});
  CHECK(counts(monitor.gallery()) == std::map<std::int64_t, int>{{0, 6}, {1, 6}, {2, 2}, {3, 1}});
  std::set<std::string> all = names(monitor.gallery());
  for (const std::string& name : names(monitor.queries())) CHECK(all.insert(name).second);
  CHECK(all.size() == 9 + 9 + 3 + 1);

  CHECK(names(Monitor(dataset, config(36)).queries()) == names(monitor.queries()));
  CHECK(names(Monitor(dataset, config(36, 1)).queries()) != names(monitor.queries()));
  // However few are asked for, two of a class.
  CHECK(counts(Monitor(dataset, config(1)).queries()) == std::map<std::int64_t, int>{{0, 1}, {1, 1}, {2, 1}});
}

TEST_CASE("a monitor needs two classes with two videos, and takes none without a label") {
  CHECK_THROWS_AS(Monitor(videos({5, 1, 1}), config(10)), DataError);
  Dataset dataset = videos({5, 2});
  CHECK_NOTHROW(Monitor(dataset, config(10)));
  for (VideoEntry& video : dataset.videos)
    if (video.label == 1) video.label = -1;
  CHECK_THROWS_AS(Monitor(dataset, config(10)), DataError);
}

}  // namespace mcn
