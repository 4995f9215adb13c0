// One epoch after the other, and the best of them.
#include "meta/evaluate/finetune.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "data/loader.h"
#include "engine/tape.h"
#include "meta/evaluate/measure.h"
#include "meta/weights.h"

namespace mcn {
namespace {

constexpr const char* prefix = "finetune";

ModelDescription with_classes(ModelDescription description, const Dataset& dataset) {
  description.model.backbone.classes = std::ssize(dataset.classes);
  if (description.model.backbone.classes < 2)
    fail<DataError>(prefix, "expected videos of two classes or more, got {}", description.model.backbone.classes);
  return description;
}

FinetuneConfig with_clips(FinetuneConfig config, const ModelDescription& d) {
  LoaderConfig& loader = config.loader;
  loader.clip = {d.frames, d.stride};
  loader.augment.size = d.size;
  loader.augment.resize_height = d.resize_height;
  loader.augment.resize_width = d.resize_width;
  loader.residual_view = false;
  return config;
}

// Rows of softmax(w x + b).
std::vector<double> softmax_of_linear(const Embedding& x, const Tensor& weight, const Tensor& bias) {
  const std::vector<double> w = weight.to_doubles(), b = bias.to_doubles();
  const auto classes = static_cast<std::int64_t>(b.size());
  std::vector<double> out;
  std::vector<double> row(b.size());
  for (std::int64_t i = 0; i < x.rows(); ++i) {
    for (std::int64_t c = 0; c < classes; ++c) {
      double sum = b[static_cast<std::size_t>(c)];
      for (std::int64_t f = 0; f < x.features; ++f)
        sum += w[static_cast<std::size_t>(c * x.features + f)] * static_cast<double>(x.row(i)[f]);
      row[static_cast<std::size_t>(c)] = sum;
    }
    const double most = *std::ranges::max_element(row);
    double total = 0;
    for (double& v : row) total += v = std::exp(v - most);
    for (const double v : row) out.push_back(v / total);
  }
  return out;
}

}  // namespace

FinetuneConfig::FinetuneConfig() {
  optimizer.lr = 1e-3;
  optimizer.weight_decay = 5e-4;
  loader.augment.jitter = 0;
  loader.augment.grayscale = 0;
  loader.augment.blur = 0;
}

std::int64_t Predictions::predicted(std::int64_t row) const {
  const auto first = probabilities.begin() + row * classes;
  return std::max_element(first, first + classes) - first;
}

double Predictions::loss() const {
  double sum = 0;
  for (std::int64_t i = 0; i < rows(); ++i)
    sum -=
        std::log(std::max(std::numeric_limits<double>::min(),  // a probability may be too small for a double
                          probabilities[static_cast<std::size_t>(i * classes + labels[static_cast<std::size_t>(i)])]));
  return sum / static_cast<double>(rows());
}

std::vector<double> Predictions::hits() const {
  std::vector<double> scores;
  for (std::int64_t i = 0; i < rows(); ++i)
    scores.push_back(predicted(i) == labels[static_cast<std::size_t>(i)] ? 1 : 0);
  return scores;
}

std::vector<std::int64_t> Predictions::confusion() const {
  std::vector<std::int64_t> answers;
  for (std::int64_t i = 0; i < rows(); ++i) answers.push_back(predicted(i));
  return confusion_counts(labels, answers, classes);
}

struct Finetuner::Impl {
  FinetuneConfig config;
  ModelDescription description;
  HeldOut data;
  Backend& backend;
  McnModel model;
  ModelState state, best;
  Optimizer optimizer;
  Loader loader;
  double lr, lowest = std::numeric_limits<double>::infinity();
  std::int64_t epochs_done = 0, without_progress = 0;
  Linear classifier;

  Impl(FinetuneConfig c, const ModelDescription& d, const McnModel& from, const ModelState& values,
       const HeldOut& split, Backend& on)
      : config(with_clips(std::move(c), d)),
        description(with_classes(d, split.train)),
        data(split),
        backend(on),
        model(description.model),
        state(initial_state(model, on, values.theta.front().dtype(), config.loader.seed)),
        optimizer(config.optimizer, model.parameters()),
        loader(data.train, config.loader, on),
        lr(config.optimizer.lr),
        classifier(*model.backbone().classifier()) {
    if (config.epochs < 1 || config.patience < 1)
      fail(prefix, "epochs and patience must be positive, got {} and {}", config.epochs, config.patience);
    if (data.validation.videos.empty()) fail<DataError>(prefix, "no videos are held out for validation");
    std::map<std::string, std::size_t> places;
    for (std::size_t i = 0; i < from.parameters().size(); ++i) places[from.parameters()[i].name] = i;
    for (std::size_t i = 0; i < model.parameters().size(); ++i) {
      const auto found = places.find(model.parameters()[i].name);
      if (found != places.end() && i != classifier.weight && i != classifier.bias)
        state.theta[i] = values.theta[found->second].clone();
    }
    for (std::size_t i = 0; i < values.running.size(); ++i)
      state.running[i] = {values.running[i].mean.clone(), values.running[i].variance.clone()};
    best = copy_of(state);
  }

  static ModelState copy_of(const ModelState& of) {
    ModelState copy;
    for (const Tensor& t : of.theta) copy.theta.push_back(t.clone());
    for (const RunningStatistics& r : of.running) copy.running.push_back({r.mean.clone(), r.variance.clone()});
    return copy;
  }

  struct Step {
    double loss = 0;
    std::int64_t hits = 0, clips = 0;
  };

  Step train_on(const Batch& batch) {
    const DType dtype = state.theta.front().dtype();
    const std::int64_t videos = std::ssize(batch.videos);
    const Tensor clips = augmented_clips(batch, 0, videos, config.loader, backend, dtype);
    std::vector<std::int64_t> labels = batch.labels;  // of both views
    labels.insert(labels.end(), batch.labels.begin(), batch.labels.end());
    Tape tape;
    const std::vector<Var> theta = tape.variables(state.theta);
    std::vector<ops::BatchStatistics> statistics;
    const Var logits = model.backbone().logits(tape, theta, tape.constant(clips), {.collect = &statistics});
    const Tensor truth = Tensor::from(backend, std::span<const std::int64_t>(labels));
    const Var loss = tape.apply(ops::cross_entropy(truth), {logits});
    const Tensors gradient = tape.backward(loss, theta);
    Step step{loss.value.item(), 0, 2 * videos};
    if (!std::isfinite(step.loss) || first_not_finite(gradient))
      fail<NonFiniteError>(prefix, "epoch {}: the loss is {}, or its gradient is not finite", epochs_done, step.loss);
    const std::vector<double> values = logits.value.to_doubles();
    const std::int64_t classes = logits.value.shape()[1];
    for (std::int64_t i = 0; i < step.clips; ++i) {
      const auto first = values.begin() + i * classes;
      if (std::max_element(first, first + classes) - first == labels[static_cast<std::size_t>(i)]) ++step.hits;
    }
    update_running(state.running, statistics, config.running_momentum);
    optimizer.step(state.theta, gradient, lr);
    return step;
  }

  Predictions predict(const ModelState& with, const Dataset& dataset, int clips, const Progress& progress) const {
    EmbedConfig embed = config.embed;
    embed.clips = clips;
    VideoEmbeddings pooled =
        embed_videos(description, model, std::span<const ModelState>(&with, 1), dataset, embed, backend, progress);
    Predictions p;
    p.classes = description.model.backbone.classes;
    // The classifier is linear: of the mean of features it makes the mean of logits.
    p.probabilities =
        softmax_of_linear(pooled.networks.front(), with.theta[classifier.weight], with.theta[classifier.bias]);
    p.labels = std::move(pooled.networks.front().labels);
    p.videos = std::move(pooled.videos);
    p.bad = std::move(pooled.bad);
    return p;
  }
};

Finetuner::Finetuner(FinetuneConfig config, const ModelDescription& description, const McnModel& model,
                     const ModelState& state, const HeldOut& data, Backend& backend)
    : impl_(std::make_unique<Impl>(std::move(config), description, model, state, data, backend)) {}
Finetuner::~Finetuner() = default;

bool Finetuner::done() const { return impl_->epochs_done == impl_->config.epochs || impl_->lr < impl_->config.min_lr; }

FinetuneEpoch Finetuner::epoch(const Progress& progress) {
  Impl& of = *impl_;
  FinetuneEpoch e;
  e.epoch = of.epochs_done;
  e.learning_rate = of.lr;
  const std::int64_t batches = std::ssize(of.data.train.videos) / of.config.loader.batch;
  std::int64_t clips = 0, hits = 0;
  for (std::int64_t b = 0; b < batches; ++b) {
    const auto waiting = [&] {
      if (progress) progress(b, batches);
    };
    const Impl::Step step = of.train_on(of.loader.next(waiting));
    e.train_loss += step.loss / static_cast<double>(batches);
    hits += step.hits;
    clips += step.clips;
    waiting();
  }
  e.train_accuracy = static_cast<double>(hits) / static_cast<double>(clips);
  const Predictions validation = of.predict(of.state, of.data.validation, 1, [&](std::int64_t, std::int64_t) {
    if (progress) progress(batches, batches);
  });
  e.validation_loss = validation.loss();
  const std::vector<double> right = validation.hits();
  e.validation_accuracy = std::accumulate(right.begin(), right.end(), 0.0) / static_cast<double>(right.size());
  if (!std::isfinite(e.validation_loss))
    fail<NonFiniteError>(prefix, "epoch {}: the validation loss is {}", e.epoch, e.validation_loss);
  e.best = e.validation_loss < of.lowest;
  if (e.best) {
    of.lowest = e.validation_loss;
    of.best = Impl::copy_of(of.state);
    of.without_progress = 0;
  } else if (++of.without_progress > of.config.patience) {
    of.lr *= of.config.optimizer.gamma;
    of.without_progress = 0;
  }
  ++of.epochs_done;
  return e;
}

Predictions Finetuner::predict(const Dataset& dataset, int clips, const Progress& progress) const {
  return impl_->predict(impl_->best, dataset, clips, progress);
}

SafetensorsFile Finetuner::export_best(const std::string& origin) const {
  return export_backbone(impl_->model, impl_->best, impl_->description, origin);
}

}  // namespace mcn
