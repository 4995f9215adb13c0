// Pictures of a run: what its videos and features give, on synthetic videos.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <numeric>

#include "data/synth/synth.h"
#include "engine/device.h"
#include "kernels/error.h"
#include "meta/evaluate/measure.h"
#include "meta/train/run_pictures.h"
#include "tests/catch.h"
#include "tests/temporary_folder.h"

namespace mcn {
namespace {

struct Videos {
  Videos() {
    SynthConfig config;
    config.out = folder.file("videos");
    config.scene = SceneType::shapes;
    config.classes = 3;
    config.train = 12;
    config.test = 6;
    config.frames = 12;
    config.height = 40;
    config.width = 48;
    write_synthetic_dataset(config);
    train = load_ucf101(config.out, 1, Subset::train);
    test = load_ucf101(config.out, 1, Subset::test);
  }
  test::TemporaryFolder folder;
  Dataset train, test;
};

/// One data set for all tests of this file.
const Videos& videos() {
  static const Videos made;
  return made;
}

LoaderConfig loader() {
  LoaderConfig config;
  config.batch = 8;
  config.clip = {4, 2};
  config.augment.size = 24;
  config.augment.resize_height = 28;
  config.augment.resize_width = 34;
  return config;
}

ModelDescription description() {
  ModelDescription d;
  d.model = {{"r2plus1d_10", 0.06, 0}, 16};
  d.frames = 4;
  d.stride = 2;
  d.size = 24;
  d.resize_height = 28;
  d.resize_width = 34;
  return d;
}

RunPictures features(const Dataset& train, const Dataset& test, const PictureLimits& limits = {},
                     const PictureProgress& progress = {}) {
  Backend& backend = open_device("cpu");
  const McnModel model(description().model);
  RunPictures pictures;
  picture_features(description(), model, initial_state(model, backend, DType::f32, 1), train, test, loader(), limits,
                   backend, pictures, progress);
  return pictures;
}

}  // namespace

TEST_CASE("the views of a run are frames of its training videos, in the sizes of its clips") {
  PictureLimits limits;
  limits.views = 3;
  limits.view_frames = 2;
  LoaderConfig config = loader();
  config.residual_view = GENERATE(false, true);
  RunPictures pictures;
  Backend& backend = open_device("cpu");
  picture_views(videos().train, config, limits, backend, pictures);
  CHECK(pictures.residual == config.residual_view);
  REQUIRE(pictures.views.size() == 3);
  for (const RunPictures::Views& views : pictures.views) {
    CHECK(views.video.starts_with("v_"));  // the file alone, without folders
    CHECK(views.frames.height == 28);
    CHECK(views.frames.width == 34);
    CHECK(views.first.width == 24);
    CHECK(views.second.height == 24);
    CHECK(views.second.frames == 2);
    CHECK(views.first.jpeg != views.second.jpeg);
  }
  RunPictures again;
  picture_views(videos().train, config, limits, backend, again);
  CHECK(again.views[2].second.jpeg == pictures.views[2].second.jpeg);
}

TEST_CASE("without augmentation the first view is the middle of the decoded frames") {
  LoaderConfig config = loader();
  AugmentConfig& a = config.augment;
  a.flip = a.jitter = a.grayscale = a.blur = 0;
  a.resize_height = a.resize_width = a.size;  // the crop is the frame
  RunPictures pictures;
  PictureLimits limits;
  limits.view_bytes = 1 << 20;
  picture_views(videos().train, config, limits, open_device("cpu"), pictures);
  for (const RunPictures::Views& views : pictures.views) CHECK(views.first.jpeg == views.frames.jpeg);
}

TEST_CASE("the features of a run give a gallery, a confusion matrix and a map of the same videos") {
  PictureLimits limits;
  limits.queries = 4;
  limits.neighbors = 2;
  std::int64_t last = 0;
  const RunPictures pictures = features(videos().train, videos().test, limits, [&](std::int64_t done) { last = done; });
  CHECK(last == 18);
  CHECK(pictures.problems.empty());
  CHECK(pictures.classes == videos().train.classes);
  CHECK(pictures.train_videos == 12);
  CHECK(pictures.test_videos == 6);
  CHECK(std::abs(pictures.chance - 1.0 / 3) <= 1e-12);
  CHECK(pictures.clips == 3);
  CHECK(pictures.neighbors == 12);  // k-NN's 20, but there are no more
  // Four queries of three classes with two videos each: the first of each, and one more of the first class.
  REQUIRE(pictures.gallery.size() == 4);
  const std::vector<std::int64_t> labels{0, 0, 1, 2};
  for (std::size_t i = 0; i < 4; ++i) {
    const RunPictures::Query& query = pictures.gallery[i];
    CHECK(query.video.label == labels[i]);
    CHECK(query.video.strip.frames == 7);  // from the first frame of 4, 2 apart, to the last
    REQUIRE(query.neighbors.size() == 2);
    CHECK(query.neighbors[0].cosine >= query.neighbors[1].cosine);
    CHECK(query.neighbors[0].cosine <= 1 + 1e-6);
    CHECK_FALSE(query.neighbors[1].strip.jpeg.empty());
  }
  REQUIRE(pictures.map.size() == 6);
  std::vector<std::int64_t> truth, answers;
  for (const RunPictures::Point& point : pictures.map) {
    truth.push_back(point.label);
    answers.push_back(point.answer);
  }
  CHECK(pictures.confusion == confusion_counts(truth, answers, 3));
  CHECK(std::accumulate(pictures.confusion.begin(), pictures.confusion.end(), std::int64_t{0}) == 6);
  CHECK(pictures.variance[0] >= pictures.variance[1]);
  CHECK(pictures.variance[0] + pictures.variance[1] <= 1 + 1e-9);
}

TEST_CASE("among its own videos a test video finds itself") {
  const RunPictures pictures = features(videos().train, videos().train);
  REQUIRE(pictures.gallery.size() == 12);
  CHECK(pictures.nearest_right == 12);
  for (const RunPictures::Query& query : pictures.gallery) {
    CHECK(query.neighbors[0].name == query.video.name);
    CHECK(query.neighbors[0].strip.jpeg == query.video.strip.jpeg);
    CHECK(std::abs(query.neighbors[0].cosine - 1) <= 1e-5);
  }
}

TEST_CASE("bad videos are left out of the pictures and told of, and videos without classes have none") {
  Dataset test = videos().test;
  const std::string bad = videos().folder.file("bad.mp4");
  std::ofstream(bad) << "no video";
  test.videos[1].source = bad;
  const RunPictures pictures = features(videos().train, test);
  REQUIRE(pictures.problems.size() == 1);
  CHECK(pictures.problems[0].starts_with("1 of 6 test videos cannot be used and are not among the features; "));
  CHECK(pictures.map.size() == 5);

  test.videos[1].label = -1;
  CHECK_THROWS_AS(features(videos().train, test), DataError);
  // Ctrl-C.
  const auto stop = [](std::int64_t done) {
    if (done > 3) fail<DeviceError>("test", "stopped");
  };
  CHECK_THROWS_AS(features(videos().train, videos().test, {}, stop), DeviceError);
}

}  // namespace mcn
