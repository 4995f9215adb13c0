// Batches of random frames: what draws them, and that they go on where a run was.
#include "data/batch.h"
#include "tests/catch.h"
#include "tests/meta/small_training.h"

namespace mcn {
namespace {

std::vector<std::vector<std::uint8_t>> frames_of(const Batch& batch) {
  std::vector<std::vector<std::uint8_t>> all;
  for (const BatchView* view : {&batch.view_a, &batch.view_b})
    for (const HostRing::Slot& slot : view->frames) all.emplace_back(slot.bytes().begin(), slot.bytes().end());
  return all;
}

}  // namespace

TEST_CASE("random clips are a function of seed and video, and go on where a run was") {
  Backend& backend = open_device("ref");
  LoaderConfig c = test::small_config().loader;
  const std::unique_ptr<BatchSource> source = random_clips(12).open(c, backend);
  const Batch first = source->next({});
  const Batch second = source->next({});
  CHECK(first.videos != second.videos);
  CHECK(frames_of(first)[0] != frames_of(first)[1]);
  CHECK(frames_of(first)[0] == frames_of(first)[static_cast<std::size_t>(c.batch)]);  // both views of a video

  c.first_iteration = 1;
  const Batch resumed = random_clips(12).open(c, backend)->next({});
  CHECK(resumed.iteration == 1);
  CHECK(resumed.videos == second.videos);
  CHECK(frames_of(resumed) == frames_of(second));

  c.seed += 1;
  CHECK(frames_of(random_clips(12).open(c, backend)->next({})) != frames_of(second));
  CHECK_THROWS_AS(random_clips(c.batch - 1).open(c, backend), DataError);
}

}  // namespace mcn
