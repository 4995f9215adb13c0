// Training on files of videos, and features of them.
#include "data/loader.h"
#include "data/synth/synth.h"
#include "meta/evaluate/embed.h"
#include "meta/evaluate/protocols.h"
#include "meta/trainer.h"
#include "tests/catch.h"
#include "tests/meta/small_training.h"
#include "tests/temporary_folder.h"

namespace mcn {
namespace {

using test::small_config;
using test::values;

/// One data set for all tests of this file.
const Dataset& dataset() {
  static const test::TemporaryFolder folder;
  static const Dataset videos = [] {
    SynthConfig config;
    config.out = folder.file("videos");
    config.classes = 3;
    config.train = 12;
    config.test = 6;
    config.frames = 12;
    config.height = 40;
    config.width = 48;
    write_synthetic_dataset(config);
    return load_ucf101(config.out, 1, Subset::train);
  }();
  return videos;
}

}  // namespace

TEST_CASE("a resumed run gives the bits of one that never stopped, with any number of loader threads") {
  TrainConfig c = small_config();
  c.optimizer.kind = GENERATE(OptimizerKind::sgd, OptimizerKind::adamw);
  c.bank.kind = GENERATE(BankKind::memory, BankKind::queue);
  c.optimizer.schedule = ScheduleKind::cosine;
  const test::TemporaryFolder folder;
  const std::string path = folder.file("checkpoint.safetensors");
  Backend& backend = open_device("cpu");
  Trainer whole(c, clips_of(dataset()), backend);
  for (int i = 0; i < 4; ++i) whole.step();
  {
    Trainer first(c, clips_of(dataset()), backend);
    for (int i = 0; i < 2; ++i) first.step();
    first.save(path);
  }
  c.loader.threads = 1;
  c.loader.ring = 1;
  Trainer second(c, clips_of(dataset()), backend, path);
  CHECK(second.iteration() == 2);
  for (int i = 0; i < 2; ++i) second.step();
  CHECK(values(second) == values(whole));
}

TEST_CASE("features of videos do not depend on batches, threads or the device") {
  TrainConfig c = small_config();
  Backend& backend = open_device("cpu");
  Trainer trainer(c, clips_of(dataset()), backend);
  trainer.step();
  EmbedConfig embed;
  embed.clips = 3;
  embed.batch = 7;
  const auto features = [&](std::span<const ModelState> states) {
    return embed_videos(trainer.description(), trainer.model(), states, dataset(), embed, backend).networks;
  };
  const ModelState initial = initial_state(trainer.model(), backend, DType::f32, c.loader.seed);
  const std::vector<ModelState> both{initial, trainer.state()};
  const Embedding a = features({&trainer.state(), 1}).front();
  embed.batch = 16;
  embed.threads = 1;
  const std::vector<Embedding> networks = features(both);
  CHECK(networks.front().values != networks.back().values);
  const Embedding& b = networks.back();
  CHECK(a.labels.size() == dataset().videos.size());
  double worst = 0;
  double largest = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i) {
    worst = std::max(worst, static_cast<double>(std::abs(a.values[i] - b.values[i])));
    largest = std::max(largest, static_cast<double>(std::abs(a.values[i])));
  }
  CHECK(worst <= 1e-5 * largest);
  CHECK(largest > 0);
  // The nearest neighbour of a video among the same videos is itself.
  const Neighbors neighbors = nearest(a, b, 1, {backend});
  for (std::int64_t i = 0; i < b.rows(); ++i) CHECK(neighbors.rows[static_cast<std::size_t>(i)] == i);
}

}  // namespace mcn
