// Training on files of videos, and features of them.
#include <cmath>

#include "data/clips.h"
#include "data/loader.h"
#include "data/synth/synth.h"
#include "engine/tape.h"
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

TEST_CASE("a video's features are the mean of those of its clips, each by itself") {
  TrainConfig c = small_config();
  Backend& backend = open_device("cpu");
  Trainer trainer(c, clips_of(dataset()), backend);
  trainer.step();
  const ModelDescription description = trainer.description();
  const McnModel& model = trainer.model();
  EmbedConfig embed;
  embed.clips = 3;
  const Embedding found =
      embed_videos(description, model, {&trainer.state(), 1}, dataset(), embed, backend).networks.front();
  AugmentConfig augment = c.loader.augment;
  const auto features = static_cast<std::size_t>(model.backbone().features());
  for (const std::size_t video : {std::size_t{0}, dataset().videos.size() - 1}) {
    const Frames frames =
        load_uniform_clips(dataset().videos[video], {description.frames, description.stride}, augment, 3);
    const auto bytes = static_cast<std::ptrdiff_t>(frames.rgb.size() / 3);
    std::vector<double> mean(features);
    std::vector<std::vector<double>> each;
    for (int k = 0; k < 3; ++k) {
      Tensor clip(backend, DType::u8, {1, description.frames, augment.resize_height, augment.resize_width, 3});
      backend.copy_from_host(frames.rgb.data() + k * bytes, clip);
      Tensor x(backend, DType::f32, {1, description.frames, augment.size, augment.size, 3});
      const AugmentClip middle = centre_crop(augment);
      backend.run(
          kernel::Augment{.params = augment_params(augment), .clips = std::span(&middle, 1), .frames = clip, .y = x});
      Tape tape;
      const std::vector<Var> theta = tape.variables(trainer.state().theta);
      each.push_back(model.backbone()
                         .pooled(tape, theta, tape.constant(x), {.running = &trainer.state().running})
                         .value.to_doubles());
      for (std::size_t f = 0; f < features; ++f) mean[f] += each.back()[f] / 3;
    }
    REQUIRE(each[0] != each[2]);
    for (std::size_t f = 0; f < features; ++f) {
      const auto value = static_cast<double>(found.row(static_cast<std::int64_t>(video))[f]);
      CHECK(std::abs(value - mean[f]) <= 1e-5 * std::abs(mean[f]) + 1e-6);
    }
  }
}

}  // namespace mcn
