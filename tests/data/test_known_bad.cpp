// Videos that an earlier part of a run found unusable, in the loader of the part that goes on.
#include <algorithm>
#include <fstream>

#include "data/loader.h"
#include "engine/device.h"
#include "kernels/error.h"
#include "tests/catch.h"
#include "tests/data/videos.h"
#include "tests/temporary_folder.h"

namespace mcn {

TEST_CASE("a video that is known to be bad counts from the start, and takes no other's place") {
  const test::TemporaryFolder folder;
  Dataset set{{"a"}, {}, 0, {}};
  for (int i = 0; i < 4; ++i)
    set.videos.push_back(
        {test::encode(folder.file(std::to_string(i) + ".mp4"), {.codec = "mpeg4", .width = 32, .height = 32}, 8), 0});
  LoaderConfig c;
  c.batch = 3;
  c.clip = {2, 1};
  c.augment.size = 8;
  c.augment.resize_height = 10;
  c.augment.resize_width = 12;
  c.max_bad_percent = 100;
  // A batch of three of the four videos: with one of them damaged, only the fourth is left to replace it.
  const std::vector<std::int64_t> first = batch_videos(4, 3, c.seed, 0);
  std::int64_t left = 0;
  while (std::ranges::find(first, left) != first.end()) ++left;
  std::ofstream(set.videos[static_cast<std::size_t>(first[1])].source.path) << "no video";
  {
    Loader loader(set, c, open_device("cpu"));
    CHECK(loader.next().videos == std::vector<std::int64_t>{first[0], left, first[2]});
  }
  c.known_bad = {{left, "cut off when it was read"}};
  Loader loader(set, c, open_device("cpu"));
  CHECK(loader.stats().bad == c.known_bad);
  CHECK_THROWS_WITH(loader.next(), Catch::Matchers::ContainsSubstring("no video is left to replace"));
}

}  // namespace mcn
