// `mcn finetune`: trains a whole network on labels, and says how often it names the class of a test video.
#include "meta/evaluate/finetune.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/atomic_file.h"
#include "meta/evaluate/measure.h"
#include "meta/evaluate/selection.h"
#include "tools/choice.h"
#include "tools/command.h"
#include "tools/dataset_options.h"
#include "tools/file_options.h"
#include "tools/interrupt.h"
#include "tools/network.h"
#include "tools/number.h"
#include "tools/print.h"
#include "tools/progress.h"

namespace mcn {
namespace {

namespace fs = std::filesystem;

struct Options {
  NetworkOptions network;
  DatasetConfig dataset;
  FinetuneConfig config;
  double held_out = 10;
  std::int64_t labels_per_class = 0;
  std::uint64_t seed = 0;
  bool from_scratch = false;
  std::string out;
};

nlohmann::ordered_json to_json(const FinetuneEpoch& e) {
  return {{"epoch", e.epoch},
          {"learning_rate", e.learning_rate},
          {"train_loss", e.train_loss},
          {"train_accuracy", e.train_accuracy},
          {"validation_loss", e.validation_loss},
          {"validation_accuracy", e.validation_accuracy},
          {"best", e.best}};
}

std::string status(const FinetuneEpoch& e) {
  return fmt::format("epoch {}: training {:.1f}%, held out {:.1f}%, loss {:.4g}{}", e.epoch + 1, 100 * e.train_accuracy,
                     100 * e.validation_accuracy, e.validation_loss, e.best ? ", the best yet" : "");
}

void write_whole(const fs::path& path, const std::string& text) {
  AtomicFile file("finetune", path.string());
  file.write(text);
  file.commit();
}

// Rows: true classes; columns: how often each class was predicted.
void print_confusion(const Dataset& dataset, const Predictions& p) {
  const std::vector<std::int64_t> counts = p.confusion();
  std::size_t width = 5;
  for (const std::string& name : dataset.classes) width = std::max(width, std::min<std::size_t>(name.size(), 24));
  print_summary("{:<{}}  {}\n", "class", width, "predicted as class 1, 2, ...");
  for (std::int64_t c = 0; c < p.classes; ++c) {
    print_summary("{:<{}} ", dataset.classes[static_cast<std::size_t>(c)].substr(0, width), width);
    for (std::int64_t other = 0; other < p.classes; ++other)
      print_summary(" {:>4}", counts[static_cast<std::size_t>(c * p.classes + other)]);
    print_summary("\n");
  }
}

std::string result_json(const Options& o, const Dataset& test, const Predictions& p, const Summary& top1,
                        const std::vector<FinetuneEpoch>& epochs) {
  nlohmann::ordered_json json;
  json["top1"] = {{"value", 100 * top1.value},
                  {"low", 100 * top1.low},
                  {"high", 100 * top1.high},
                  {"chance", 100.0 / static_cast<double>(p.classes)}};
  json["network"] = o.network.path();
  json["from_scratch"] = o.from_scratch;
  json["test_videos"] = p.rows();
  json["test_videos_left_out"] = p.bad.size();
  json["classes"] = test.classes;
  const std::vector<std::int64_t> counts = p.confusion();
  json["confusion"] = nlohmann::ordered_json::array();
  for (std::int64_t c = 0; c < p.classes; ++c)
    json["confusion"].push_back(
        std::vector<std::int64_t>(counts.begin() + c * p.classes, counts.begin() + (c + 1) * p.classes));
  json["epochs"] = nlohmann::ordered_json::array();
  for (const FinetuneEpoch& e : epochs) json["epochs"].push_back(to_json(e));
  return json.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

int finetune(Options o) {
  Backend& backend = open(o.network.device, DType::f32);
  Network network = load_network(o.network, backend);
  Dataset train = load(o.dataset, Subset::train, o.network.embed.max_bad_percent);
  const Dataset test = load(o.dataset, Subset::test, o.network.embed.max_bad_percent);
  expect_same_classes(train, test);
  if (train.classes.size() < test.classes.size()) train.classes = test.classes;
  if (o.labels_per_class > 0) train = some_of_each_class(train, o.labels_per_class, o.seed);
  if (o.from_scratch) network.state = random_state(network, backend);
  o.config.loader.seed = o.seed;
  o.config.embed = o.network.embed;
  const HeldOut data = hold_out(train, o.held_out, o.seed);
  // A small set is trained on in smaller batches.
  o.config.loader.batch = std::min(o.config.loader.batch, std::ssize(data.train.videos));

  std::error_code error;
  fs::create_directories(o.out, error);
  if (error) fail<DataError>("finetune", "cannot make folder {}: {}", o.out, error.message());
  const fs::path weights = fs::path(o.out) / "finetuned.safetensors";
  const fs::path result = fs::path(o.out) / "finetune.json";
  expect_writable("finetune", weights.string());
  expect_writable("finetune", result.string());

  Finetuner finetuner(o.config, network.description, network.model, network.state, data, backend);
  print_summary("{} training videos, {} held out, {} test videos of {} classes; {}\n", data.train.videos.size(),
                data.validation.videos.size(), test.videos.size(), train.classes.size(),
                o.from_scratch ? "from random weights" : "from " + o.network.path());
  flush_results();
  const std::int64_t batches = std::ssize(data.train.videos) / o.config.loader.batch;
  Progress progress("finetune", o.config.epochs * batches);
  const InterruptGuard interrupt;
  std::vector<FinetuneEpoch> epochs;
  while (!finetuner.done()) {
    epochs.push_back(finetuner.epoch([&](std::int64_t done, std::int64_t) {
      interrupt.throw_if_requested();
      progress.update(std::ssize(epochs) * batches + done, epochs.empty() ? "" : status(epochs.back()));
    }));
    if (epochs.back().best) write_safetensors(weights.string(), finetuner.export_best(o.network.path()));
  }
  progress.finish();

  Progress testing("test", std::ssize(test.videos));
  const Predictions p = finetuner.predict(test, o.network.embed.clips, [&](std::int64_t done, std::int64_t) {
    interrupt.throw_if_requested();
    testing.update(done, "");
  });
  testing.finish();
  if (!p.bad.empty())
    print_note("{} of {} test videos cannot be used and are left out\n", p.bad.size(), test.videos.size());
  const double chance = 1 / static_cast<double>(p.classes);
  const Summary top1 = summarize({p.hits(), std::vector<double>(static_cast<std::size_t>(p.rows()), chance)}, o.seed);
  write_whole(result, result_json(o, test, p, top1, epochs));
  std::int64_t best = 0;
  for (const FinetuneEpoch& e : epochs)
    if (e.best) best = e.epoch + 1;
  print_summary("top-1 {:.1f}% ({:.1f} to {:.1f}), chance {:.1f}%, {} clips a video; epoch {} of {} was the best\n",
                100 * top1.value, 100 * top1.low, 100 * top1.high, 100 * chance, o.network.embed.clips, best,
                epochs.size());
  constexpr std::int64_t most_on_a_screen = 20;
  if (p.classes <= most_on_a_screen) print_confusion(train, p);
  print_summary("weights {}, figures {}\n", weights.string(), result.string());
  return ok;
}

}  // namespace

void add_finetune(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "finetune",
      "train a whole network on the labels of the training videos, and measure top-1 on the test videos.\n"
      "The epoch with the lowest loss on held-out training videos counts. Writes finetuned.safetensors (backbone and\n"
      "fc under torchvision's names) and finetune.json into --out");
  auto o = std::make_shared<Options>();
  add_network_options(*command, o->network);
  add_dataset_options(*command, o->dataset, true);
  command->add_option("--out", o->out, "folder of the results")->type_name(folder_type)->required();
  command->add_flag("--from-scratch", o->from_scratch, "the same network with random weights, for comparison");
  command->add_option("--epochs", o->config.epochs, "most epochs; each has two clips of every training video")
      ->check(positive_number());
  command->add_option("--train-batch", o->config.loader.batch, "training videos in a batch, each with two clips")
      ->check(CLI::Range(1, 4096));
  add_choice<OptimizerKind>(*command, "--optimizer", o->config.optimizer.kind,
                            {{"adamw", OptimizerKind::adamw}, {"sgd", OptimizerKind::sgd}},
                            "optimizer of the training");
  command->add_option("--lr", o->config.optimizer.lr, "learning rate")->check(positive_number());
  command->add_option("--momentum", o->config.optimizer.momentum, "momentum of sgd; beta1 of adamw")
      ->check(CLI::Range(0.0, 1.0));
  command->add_option("--weight-decay", o->config.optimizer.weight_decay, "decay of the weights of convolutions and fc")
      ->check(not_negative_number());
  command
      ->add_option("--patience", o->config.patience,
                   "epochs without a lower loss on held-out videos, after which the rate falls to a tenth")
      ->check(positive_number());
  command->add_option("--held-out", o->held_out, "percent of each class's training videos that choose the epoch")
      ->check(CLI::Range(0.1, 90.0));
  command
      ->add_option("--labels-per-class", o->labels_per_class, "training videos of each class, drawn by --seed; 0: all")
      ->check(not_negative_number());
  command->add_option("--seed", o->seed, "seed of fc, batches, augmentation, held-out videos and the interval");
  set_action(*command, [o] { return finetune(*o); });
}

}  // namespace mcn
