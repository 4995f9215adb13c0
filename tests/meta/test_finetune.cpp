// Fine-tuning: what is held out, what predictions say, how the learning rate falls, and that labels are learned.
#include <cmath>
#include <map>
#include <set>

#include "data/synth/synth.h"
#include "engine/device.h"
#include "meta/evaluate/finetune.h"
#include "tests/catch.h"
#include "tests/temporary_folder.h"

namespace mcn {
namespace {

Dataset numbered(const std::vector<std::int64_t>& labels, std::int64_t classes) {
  Dataset set;
  for (std::int64_t c = 0; c < classes; ++c) set.classes.push_back("class" + std::to_string(c));
  for (std::size_t i = 0; i < labels.size(); ++i) {
    VideoEntry entry;
    entry.source.name = std::to_string(i);
    entry.label = labels[i];
    set.videos.push_back(entry);
  }
  return set;
}

std::vector<std::string> names(const Dataset& set) {
  std::vector<std::string> found;
  for (const VideoEntry& entry : set.videos) found.push_back(entry.source.name);
  return found;
}

// Two classes of four looks each.
const Dataset& videos(Subset subset) {
  static const test::TemporaryFolder folder;
  static const std::string root = [] {
    SynthConfig config;
    config.out = folder.file("videos");
    config.classes = 2;
    config.train = 32;
    config.test = 8;
    config.frames = 8;
    config.height = 24;
    config.width = 24;
    write_synthetic_dataset(config);
    return config.out;
  }();
  static const Dataset train = load_ucf101(root, 1, Subset::train);
  static const Dataset test = load_ucf101(root, 1, Subset::test);
  return subset == Subset::train ? train : test;
}

// The training videos of two looks, with the look for a label: background and clothes tell it in every frame.
Dataset two_looks() {
  Dataset set = videos(Subset::train);
  std::erase_if(set.videos, [](const VideoEntry& entry) {
    return entry.source.name.find("_g01_") == std::string::npos && entry.source.name.find("_g02_") == std::string::npos;
  });
  for (VideoEntry& entry : set.videos) entry.label = entry.source.name.find("_g01_") == std::string::npos ? 0 : 1;
  return set;
}

ModelDescription small_description() {
  ModelDescription d;
  d.model = {{"r2plus1d_10", 0.06, 0}, 8};
  d.frames = 4;
  d.stride = 2;
  d.size = 16;
  d.resize_height = 18;
  d.resize_width = 18;
  return d;
}

FinetuneConfig small_config() {
  FinetuneConfig c;
  c.loader.batch = 8;
  c.epochs = 6;
  c.optimizer.lr = 0.05;
  return c;
}

Finetuner finetuner(const FinetuneConfig& c, const Dataset& train) {
  const ModelDescription d = small_description();
  const McnModel model(d.model);
  Backend& backend = open_device("cpu");
  return {c, d, model, initial_state(model, backend, DType::f32, 5), hold_out(train, 25, 1), backend};
}

}  // namespace

TEST_CASE("held-out videos are a share of each class, drawn by the seed, and no one's twice") {
  std::vector<std::int64_t> labels(40, 0);
  labels.insert(labels.end(), 10, 1);
  labels.insert(labels.end(), 2, 2);
  labels.push_back(3);
  const Dataset set = numbered(labels, 4);
  const HeldOut split = hold_out(set, 20, 7);
  std::vector<int> held(4);
  for (const VideoEntry& entry : split.validation.videos) ++held[static_cast<std::size_t>(entry.label)];
  CHECK(held == std::vector<int>{8, 2, 1, 0});  // the only video of a class is trained on
  std::set<std::string> all;
  for (const Dataset* part : {&split.train, &split.validation}) {
    CHECK(part->classes == set.classes);
    std::int64_t last = -1;
    for (const std::string& name : names(*part)) {
      CHECK(all.insert(name).second);
      CHECK(std::stoll(name) > last);
      last = std::stoll(name);
    }
  }
  CHECK(all.size() == labels.size());
  CHECK(names(hold_out(set, 20, 7).validation) == names(split.validation));
  CHECK(names(hold_out(set, 20, 8).validation) != names(split.validation));
  CHECK_THROWS_AS(hold_out(set, 0, 1), UsageError);
  CHECK_THROWS_AS(hold_out(set, 100, 1), UsageError);
  CHECK_THROWS_AS(hold_out(set, std::nan(""), 1), UsageError);
}

TEST_CASE("clips of one recording are held out together, the same recordings in every class") {
  Dataset set;
  set.classes = {"Biking", "Walking", "wave", "Diving"};
  const auto add = [&](std::int64_t label, const std::string& name) {
    set.videos.push_back({VideoSource(name), label});
  };
  for (const char* name : {"Biking", "Walking"})
    for (int group = 1; group <= 5; ++group)
      for (int clip = 1; clip <= 4; ++clip)
        add(name[0] == 'B' ? 0 : 1, fmt::format("{0}/v_{0}_g{1:02}_c{2:02}.avi", name, group, clip));
  for (const char* film : {"April_09", "Run_Lola_Run"})
    for (int clip = 0; clip < 3; ++clip)
      add(2, fmt::format("wave/{}_wave_{}_nm_np1_{}_med_{}.avi", film, "ufh"[clip], clip == 0 ? "fr" : "le", clip));
  for (int clip = 1; clip <= 4; ++clip) add(3, fmt::format("Diving/v_Diving_g07_c{:02}.avi", clip));

  for (const std::uint64_t seed : {1, 2, 3, 4}) {
    const HeldOut split = hold_out(set, 40, seed);
    std::map<std::int64_t, std::map<std::string, int>> held;
    for (const VideoEntry& video : split.validation.videos) {
      const std::string stem = video.source.name.substr(video.source.name.find('/') + 1);
      ++held[video.label][video.label < 2 ? stem.substr(stem.find("_g") + 1, 3) : stem.substr(0, 3)];
    }
    CHECK(held[0].size() == 2);  // of 20 clips, 8
    CHECK(held[0] == held[1]);
    for (const auto& [recording, clips] : held[0]) CHECK(clips == 4);
    REQUIRE(held[2].size() == 1);  // of 6 clips, 2.4, and a film has 3
    CHECK(held[2].begin()->second == 3);
    CHECK(held[3] == std::map<std::string, int>{{"v_D", 2}});  // one recording: clip by clip
    CHECK(split.train.videos.size() + split.validation.videos.size() == set.videos.size());
  }
  const auto held_by = [&](std::uint64_t seed) { return names(hold_out(set, 40, seed).validation); };
  CHECK((held_by(1) != held_by(2) || held_by(1) != held_by(3)));
}

TEST_CASE("predictions: top-1, loss and confusion, by hand") {
  Predictions p;
  p.classes = 3;
  p.probabilities = {0.5, 0.25, 0.25, 0.25, 0.375, 0.375, 0.125, 0.125, 0.75, 0, 1, 0};
  p.labels = {0, 2, 2, 0};
  CHECK(p.rows() == 4);
  CHECK(p.predicted(0) == 0);
  CHECK(p.predicted(1) == 1);  // of two that are as probable, the smaller
  CHECK(p.hits() == std::vector<double>{1, 0, 1, 0});
  CHECK(p.confusion() == std::vector<std::int64_t>{1, 1, 0, 0, 0, 0, 0, 1, 1});
  // log 2, log 8/3, log 4/3, and 708.4 for a probability of 0, which is the least double's logarithm.
  CHECK(std::abs(p.loss() - (0.6931471805599453 + 0.9808292530117262 + 0.28768207245178096 + 708.3964185322641) / 4) <
        1e-9);
}

TEST_CASE("labels are learned, and the best epoch's network is the one that predicts") {
  const Dataset looks = two_looks();
  FinetuneConfig c = small_config();
  c.loader.batch = 4;
  c.epochs = 30;
  Finetuner tuner = finetuner(c, looks);
  const Predictions before = tuner.predict(videos(Subset::test), 1);
  std::vector<FinetuneEpoch> epochs;
  while (!tuner.done()) epochs.push_back(tuner.epoch());
  REQUIRE(epochs.size() == 30);
  double last = 0;
  for (std::size_t i = 25; i < 30; ++i) last += epochs[i].train_loss / 5;
  CHECK(last < 0.8 * std::log(2.0));  // the loss of one who does not look
  CHECK(epochs.front().best);
  double lowest = INFINITY;
  for (const FinetuneEpoch& e : epochs) {
    CHECK(e.best == (e.validation_loss < lowest));
    lowest = std::min(lowest, e.validation_loss);
    CHECK(e.validation_accuracy >= 0);
    CHECK(e.validation_accuracy <= 1);
  }
  // The held-out videos are in the data set that hold_out() made of the same seed.
  CHECK(std::abs(tuner.predict(hold_out(looks, 25, 1).validation, 1).loss() - lowest) < 1e-6);
  const Predictions after = tuner.predict(videos(Subset::test), 3);
  CHECK(after.probabilities != before.probabilities);
  for (std::int64_t i = 0; i < after.rows(); ++i)
    CHECK(std::abs(after.probabilities[static_cast<std::size_t>(2 * i)] +
                   after.probabilities[static_cast<std::size_t>(2 * i + 1)] - 1) < 1e-12);
}

TEST_CASE("the learning rate falls where the loss does, and ends the training") {
  FinetuneConfig c = small_config();
  c.epochs = 100;
  c.patience = 1;
  c.optimizer.lr = 1e-4;
  c.min_lr = 2e-6;
  c.running_momentum = 0;  // with steps this small, the network hardly changes
  Finetuner tuner = finetuner(c, videos(Subset::train));
  std::vector<FinetuneEpoch> epochs;
  while (!tuner.done()) epochs.push_back(tuner.epoch());
  double rate = 1e-4;
  int waited = 0;
  for (const FinetuneEpoch& e : epochs) {
    CHECK(std::abs(e.learning_rate - rate) < 1e-12);
    waited = e.best ? 0 : waited + 1;
    if (waited == 2) {
      rate /= 10;
      waited = 0;
    }
  }
  CHECK((rate < 2e-6 || epochs.size() == 100));
}

TEST_CASE("fine-tuning has the same bits for any number of loader threads, and another seed's are others") {
  const auto loss = [](int threads, std::uint64_t seed) {
    FinetuneConfig c = small_config();
    c.loader.threads = threads;
    c.embed.threads = threads;
    c.loader.seed = seed;
    Finetuner tuner = finetuner(c, videos(Subset::train));
    tuner.epoch();
    return tuner.epoch().validation_loss;
  };
  CHECK(loss(1, 3) == loss(3, 3));
  CHECK(loss(1, 3) != loss(1, 4));
}

TEST_CASE("the exported classifier has fc, and the backbone that it started from where nothing was trained") {
  const SafetensorsFile file = finetuner(small_config(), videos(Subset::train)).export_best("here");
  CHECK(file.tensors.at("fc.weight").shape == Shape{2, 31});
  CHECK(file.tensors.at("fc.bias").shape == Shape{2});
  CHECK_FALSE(file.tensors.contains("fc_feat.weight"));
  const McnModel model(small_description().model);
  const ModelState state = initial_state(model, open_device("cpu"), DType::f32, 5);
  SafetensorsFile expected;
  put(expected, "stem.0.weight", state.theta.front());
  CHECK(file.tensors.at("stem.0.weight").data == expected.tensors.at("stem.0.weight").data);
}

TEST_CASE("a loss that is not finite ends fine-tuning by its epoch") {
  FinetuneConfig c = small_config();
  c.optimizer.lr = 1e6;
  Finetuner tuner = finetuner(c, videos(Subset::train));
  CHECK_THROWS_AS(
      [&] {
        while (!tuner.done()) tuner.epoch();
      }(),
      NonFiniteError);
}

TEST_CASE("fine-tuning needs classes, and videos to hold out") {
  Dataset one = videos(Subset::train);
  one.classes.resize(1);
  std::erase_if(one.videos, [](const VideoEntry& entry) { return entry.label != 0; });
  CHECK_THROWS_AS(finetuner(small_config(), one), DataError);
  Dataset single = videos(Subset::train);
  single.videos.resize(1);
  CHECK_THROWS_AS(finetuner(small_config(), single), DataError);
}

}  // namespace mcn
