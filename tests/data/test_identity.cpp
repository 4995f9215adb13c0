// What tells data sets from each other.
#include "data/datasets/identity.h"
#include "tests/catch.h"

namespace mcn {
namespace {

Dataset dataset(const std::vector<std::string>& paths) {
  Dataset set;
  set.classes = {"a", "b"};
  for (const std::string& path : paths) set.videos.push_back({VideoSource(path), std::ssize(set.videos) % 2});
  return set;
}

}  // namespace

TEST_CASE("a data set is told by the names of its videos in their order, wherever it is") {
  const std::string truth = identity_of_videos(dataset({"/x/a/1.mp4", "/x/b/2.mp4", "/x/a/3.mp4"}));
  CHECK(truth.starts_with("3 videos, "));
  CHECK(identity_of_videos(dataset({"/y/z/a/1.mp4", "/y/z/b/2.mp4", "/y/z/a/3.mp4"})) == truth);
  CHECK(identity_of_videos(dataset({"a/1.mp4", "b/2.mp4", "a/3.mp4"})) == truth);
  CHECK(identity_of_videos(dataset({"/x/b/2.mp4", "/x/a/1.mp4", "/x/a/3.mp4"})) != truth);
  CHECK(identity_of_videos(dataset({"/x/a/1.mp4", "/x/b/2.mp4", "/x/a/4.mp4"})) != truth);
  CHECK(identity_of_videos(dataset({"/x/a/1.mp4", "/x/b/2.mp4"})) != truth);
  // Names are not run together.
  CHECK(identity_of_videos(dataset({"ab", "c"})) != identity_of_videos(dataset({"a", "bc"})));
  CHECK(identity_of_videos({}) == "0 videos, 2d06800538d394c2");
}

TEST_CASE("other labels, or classes of other names, are other labels of the same data set") {
  const Dataset set = dataset({"/x/a/1.mp4", "/x/b/2.mp4"});
  Dataset other = set;
  other.videos[1].label = 0;
  CHECK(identity_of_videos(other) == identity_of_videos(set));
  CHECK(identity_of_labels(other) != identity_of_labels(set));
  other = set;
  other.classes = {"c", "b"};
  CHECK(identity_of_labels(other) != identity_of_labels(set));
}

}  // namespace mcn
