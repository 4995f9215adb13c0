// Fine-tuning: supervised training of a whole network on labelled clips, as the field judges pre-training.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "data/batch.h"
#include "meta/evaluate/embed.h"
#include "meta/evaluate/selection.h"
#include "meta/optimizer.h"

namespace mcn {

/// Defaults: the protocol of IIC (docs/choices.md). Epochs end early where the rate has fallen below min_lr.
struct FinetuneConfig {
  /// SGD .001, weight decay .0005; crops and flips, and no other augmentation.
  FinetuneConfig();

  LoaderConfig loader;  ///< batch: videos, of which each gives two clips
  OptimizerConfig optimizer;
  std::int64_t epochs = 150;
  std::int64_t patience = 50;  ///< epochs without a lower validation loss after which the rate is multiplied by gamma
  double min_lr = 1e-5;
  double running_momentum = 0.1;
  EmbedConfig embed;  ///< how validation and test videos are read
};

struct FinetuneEpoch {
  std::int64_t epoch = 0;  ///< from 0
  double learning_rate = 0;
  double train_loss = 0, train_accuracy = 0;            ///< means over the epoch's clips, while it went on
  double validation_loss = 0, validation_accuracy = 0;  ///< of one clip from the middle of each validation video
  bool best = false;                                    ///< the lowest validation loss until now
};

/// What a network says of videos.
struct Predictions {
  std::int64_t classes = 0;
  std::vector<double> probabilities;         ///< videos x classes
  std::vector<std::int64_t> labels, videos;  ///< true class, and number in the data set
  std::vector<std::pair<std::int64_t, std::string>> bad;

  [[nodiscard]] std::int64_t rows() const { return static_cast<std::int64_t>(labels.size()); }
  /// The most probable class; the smaller one of two that are as probable.
  [[nodiscard]] std::int64_t predicted(std::int64_t row) const;
  /// Mean of -log(probability of the true class).
  [[nodiscard]] double loss() const;
  /// 1 for each row that is predicted rightly, else 0.
  [[nodiscard]] std::vector<double> hits() const;
  /// classes x classes counts; row: true class, column: predicted.
  [[nodiscard]] std::vector<std::int64_t> confusion() const;
};

class Finetuner {
 public:
  using Progress = std::function<void(std::int64_t done, std::int64_t all)>;

  /// Takes backbone and running statistics of (model, state); the classifier starts as the seed has it. The data sets
  /// are copied.
  Finetuner(FinetuneConfig config, const ModelDescription& description, const McnModel& model, const ModelState& state,
            const HeldOut& data, Backend& backend);
  ~Finetuner();

  /// Trains on every training video once, then validates. progress: batches; may throw. NonFiniteError names the
  /// epoch where the loss or a gradient is not finite.
  FinetuneEpoch epoch(const Progress& progress = {});
  [[nodiscard]] bool done() const;

  /// By the best epoch's network, or by the initial one before any. Averages the logits of `clips` uniform clips.
  [[nodiscard]] Predictions predict(const Dataset& dataset, int clips, const Progress& progress = {}) const;
  /// The best epoch's network: backbone and classifier under torchvision's names, and metadata as of export_backbone.
  [[nodiscard]] SafetensorsFile export_best(const std::string& origin) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mcn
