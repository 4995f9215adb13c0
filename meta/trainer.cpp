// One training iteration. What a checkpoint holds of it is in meta/train/trainer_state.cpp.
#include "meta/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <tuple>
#include <utility>

#include "engine/host_memory.h"
#include "kernels/range.h"

namespace mcn {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::vector<std::string> names_of(const ParameterSpecs& specs) {
  std::vector<std::string> names;
  for (const ParameterSpec& spec : specs) names.push_back(spec.name);
  return names;
}

std::vector<bool> inner_parameters(const ParameterSpecs& specs, InnerParameters which, const std::string& arch) {
  std::vector<bool> inner;
  if (which == InnerParameters::all) return inner;
  const auto in_layer4 = [](const ParameterSpec& spec) { return parameter_group(spec.name) == "layer4"; };
  if (which == InnerParameters::layer4_and_heads && std::ranges::none_of(specs, in_layer4))
    fail("train", "expected inner steps on all parameters or on the heads: {} has no layer4", arch);
  for (const ParameterSpec& spec : specs) {
    const std::string group = parameter_group(spec.name);
    inner.push_back(group == "heads" || (which == InnerParameters::layer4_and_heads && group == "layer4"));
  }
  return inner;
}

}  // namespace

Trainer::Trainer(TrainConfig config, ClipSource clips, Backend& backend, const std::string& resume,
                 const std::set<std::string>& allowed)
    : config_(std::move(config)),
      backend_(backend),
      model_(config_.model),
      state_(initial_state(model_, backend, config_.dtype, config_.loader.seed)),
      optimizer_(config_.optimizer, model_.parameters()),
      bank_(config_.bank, clips.videos, model_.feature_size(), backend, config_.dtype, config_.loader.seed),
      clips_(std::move(clips)) {
  const std::int64_t least = config_.method == Method::mcn ? 4 : 2;
  if (config_.loader.batch < least)
    fail("train", "batch must be at least {} videos ({}), got {}", least,
         config_.method == Method::mcn ? "2 in S and 2 in Q" : "InfoNCE needs a negative", config_.loader.batch);
  if (config_.method == Method::contrastive) config_.objective.lambda = 0;
  if (config_.method != Method::mcn) {
    config_.maml.inner_steps = 0;
    config_.maml.objective = OuterObjective::query;
  } else if (config_.maml.inner_steps < 1) {
    fail("train", "method mcn needs at least 1 inner step, got {}", config_.maml.inner_steps);
  }
  for (const auto& [name, value] :
       {std::pair{"inner-lr", config_.maml.inner_lr}, std::pair{"beta", config_.maml.beta},
        std::pair{"lambda", config_.objective.lambda}, std::pair{"lr", config_.optimizer.lr},
        std::pair{"weight-decay", config_.optimizer.weight_decay}, std::pair{"clip-grad", config_.clip_grad}})
    if (!std::isfinite(value)) fail("train", "{} must be finite, got {}", name, value);
  if (config_.clip_grad < 0) fail("train", "clip-grad must not be negative, got {}", config_.clip_grad);
  if (config_.method != Method::mcn) {
    config_.curvature = {};
    config_.inner_rates = {};
  }
  if (config_.curvature.every < 0 || config_.curvature.products < 1)
    fail("train", "curvature needs an interval of at least 0 iterations and at least 1 product, got {} and {}",
         config_.curvature.every, config_.curvature.products);
  if (config_.curvature.sets_inner_lr && config_.curvature.every == 0)
    fail("train", "alpha1 is to follow the curvature, and the curvature is never measured");
  if (config_.inner_rates.learned && !config_.curvature.sets_inner_lr && !(config_.maml.inner_lr > 0))
    fail("train", "alpha1 is to be learned: expected one above 0 to start from, got {}", config_.maml.inner_lr);
  inner_lr_ = config_.maml.inner_lr;
  config_.maml.inner = inner_parameters(model_.parameters(), config_.inner_parameters, config_.model.backbone.arch);
  config_.maml.parameter_names = names_of(model_.parameters());
  inner_rates_ = InnerRates(config_.inner_rates, model_.parameters(), config_.maml.inner, config_.maml.inner_steps);
  config_.maml.inner_factors = inner_rates_.factors();
  if (!resume.empty()) load(resume, allowed);
  config_.loader.first_iteration = iteration_;
  work_.emplace(model_, backend_, config_.maml, config_.objective, config_.cuda_graph);
  check(config_.loader, clips_.videos);
}

WeightsReport Trainer::initialize(const Weights& weights, bool strict) {
  if (iteration_ != 0) fail("train", "weights to start from are for iteration 0, this run is at {}", iteration_);
  return load_weights(weights, model_, state_, strict);
}

ClipSet Trainer::clip_set(const Batch& batch, std::int64_t begin, std::int64_t end) const {
  const Tensor clips = augmented_clips(batch, begin, end, config_.loader, backend_, config_.dtype);
  const std::span<const std::int64_t> videos(batch.videos);
  return {clips,
          bank_.negatives(batch.iteration,
                          videos.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin))),
          same_video(backend_, config_.dtype, end - begin)};
}

void Trainer::update_bank(const Tensor& z, std::span<const std::int64_t> videos) {
  // A video's feature is the mean of its two views; the bank normalises it.
  const std::int64_t n = z.shape()[0] / 2;
  Tensor mean = z.rows(0, n).clone();
  mcn::axpy(backend_, 1, z.rows(n, 2 * n), mean);
  Tensor unit = Tensor::like(mean);
  Tensor norm(backend_, config_.dtype, {n});
  backend_.run(kernel::L2NormalizeForward{.eps = 1e-12, .x = mean, .y = unit, .norm = norm});
  bank_.update(unit, videos);
}

std::optional<CurvatureMetrics> Trainer::prepare_inner(const IterationInputs& inputs) {
  const bool second_order = config_.maml.second_order && iteration_ >= config_.first_order_iterations;
  std::optional<CurvatureMetrics> measured;
  const CurvatureConfig& config = config_.curvature;
  const bool first = curvature_vector_.empty();
  const bool again = turned_ && iteration_ - measured_at_ >= std::max<std::int64_t>(1, config.every / 4);
  if (config.every > 0 && (first || again || iteration_ % config.every == 0)) {
    measured_at_ = iteration_;
    const auto start = std::chrono::steady_clock::now();
    if (first) curvature_vector_ = random_direction(state_.theta, config_.loader.seed);
    Curvature curvature =
        work_->curvature(state_.theta, inputs, curvature_vector_, first ? 4 * config.products : config.products);
    // Where it is not finite, the loss is not either: the iteration will say where that begins.
    if (std::isfinite(curvature.eigenvalue)) {
      curvature_vector_ = std::move(curvature.vector);
      if (config.sets_inner_lr) inner_lr_ = stable_inner_lr(curvature.eigenvalue);
      inner_rates_.limit(curvature.eigenvalue, inner_lr_);
    }
    measured = {curvature.eigenvalue, curvature.alignment, work_->query_loss(state_.theta, inputs),
                seconds_since(start)};
  }
  work_->set_inner(inner_lr_, inner_rates_.factors().factors, second_order);
  return measured;
}

InnerStepMetrics Trainer::inner_step_metrics(const MetaGradient& meta) const {
  const bool second_order = config_.maml.second_order && iteration_ >= config_.first_order_iterations;
  const double of_query = dot(meta.query_gradient, meta.query_gradient);
  const double of_v = dot(meta.query_pulled_back, meta.query_pulled_back);
  const double product = dot(meta.query_gradient, meta.query_pulled_back);
  std::vector<InnerRate> rates = inner_rates_.rates(inner_lr_);
  const auto highest = std::ranges::max_element(rates, {}, &InnerRate::value);
  return {highest == rates.end() ? inner_lr_ : highest->value,
          std::move(rates),
          second_order ? 2 : 1,
          std::sqrt(of_query),
          std::sqrt(std::max(0.0, of_query - 2 * product + of_v)),
          of_query > 0 && of_v > 0 ? product / std::sqrt(of_query * of_v) : 0};
}

void Trainer::update_parameters(MetaGradient& meta, IterationMetrics& metrics) {
  const Range update("update");
  metrics.gradient_norm = std::sqrt(dot(meta.gradient, meta.gradient));
  if (config_.clip_grad > 0 && metrics.gradient_norm > config_.clip_grad)
    for (Tensor& g : meta.gradient)
      if (g) backend_.run(kernel::Scale{.alpha = config_.clip_grad / metrics.gradient_norm, .x = g, .y = g});
  Tensors before;
  for (const Tensor& t : state_.theta) before.push_back(t.clone());
  whole_ = false;
  optimizer_.step(state_.theta, meta.gradient, metrics.learning_rate);
  if (inner_rates_.learned()) {
    OptimizerConfig schedule = config_.optimizer;
    schedule.lr = config_.inner_rates.lr;
    inner_rates_.learn(meta.inner_lr_derivatives, inner_lr_, learning_rate(schedule, iteration_, config_.iterations));
  }
  metrics.updates = update_ratios(model_.parameters(), std::move(before), state_.theta);
}

std::vector<std::pair<std::int64_t, std::string>> Trainer::bad_videos() const {
  return loader_ == nullptr ? config_.loader.known_bad : loader_->stats().bad;
}

IterationMetrics Trainer::step(const std::function<void()>& waiting) {
  const auto start = std::chrono::steady_clock::now();
  const Range iteration_range(fmt::format("iteration {}", iteration_));
  const Batch batch = [&] {
    const Range range("wait");
    if (loader_ == nullptr) loader_ = clips_.open(config_.loader, backend_);
    return loader_->next(waiting);
  }();
  const double waited = seconds_since(start);
  IterationMetrics metrics = step(batch);
  metrics.wait_ms = 1e3 * waited;
  metrics.seconds += waited;
  return metrics;
}

IterationMetrics Trainer::step(const Batch& batch) {
  // An iteration that is not done must leave no measurement behind: it is to be the same when it is done again.
  auto measured = std::tuple(inner_lr_, inner_rates_, curvature_vector_, measured_at_, turned_);
  try {
    return train_on(batch);
  } catch (...) {
    std::tie(inner_lr_, inner_rates_, curvature_vector_, measured_at_, turned_) = std::move(measured);
    throw;
  }
}

IterationMetrics Trainer::train_on(const Batch& batch) {
  const auto start = std::chrono::steady_clock::now();
  IterationMetrics metrics;
  metrics.iteration = iteration_;
  const auto videos = static_cast<std::int64_t>(batch.videos.size());
  metrics.decode_ms = batch.decode_ms;
  metrics.clip_decode_ms = batch.decode_ms / static_cast<double>(2 * videos);
  metrics.ring_ready = batch.ready;
  metrics.bad_videos = batch.bad_videos;
  metrics.shortened_clips = batch.shortened_clips;
  metrics.learning_rate = learning_rate(config_.optimizer, iteration_, config_.iterations);

  const bool bilevel = config_.method == Method::mcn;
  const std::int64_t half = bilevel ? videos / 2 : 0;
  IterationInputs inputs;
  if (bilevel) inputs.support = clip_set(batch, 0, half);
  inputs.query = clip_set(batch, half, videos);
  if (bilevel) metrics.curvature = prepare_inner(inputs);
  const IterationOutputs& outputs = work_->start(state_.theta, inputs);
  MetaGradient meta;
  std::vector<RunningStatistics> running = state_.running;
  try {
    meta = work_->finish(state_.theta, inputs);
    if (const auto bad = first_not_finite(meta.gradient))
      fail<NonFiniteError>("gradient", "the first tensor that is not finite is the gradient of {}",
                           model_.parameters()[*bad].name);
    inner_rates_.expect_finite(meta.inner_lr_derivatives);
    update_running(running, outputs.statistics, config_.running_momentum);
  } catch (const NonFiniteError& error) {
    fail<NonFiniteError>("train", "iteration {}: {}", iteration_, error.what());
  }

  if (bilevel) {
    metrics.inner = inner_step_metrics(meta);
    turned_ = config_.curvature.sets_inner_lr && metrics.inner->cosine < 0.7;
  }
  update_parameters(meta, metrics);
  state_.running = std::move(running);
  const std::span<const std::int64_t> ids(batch.videos);
  if (config_.bank.kind != BankKind::none) {
    if (bilevel) update_bank(outputs.support.z, ids.first(static_cast<std::size_t>(half)));
    update_bank(outputs.query.z, ids.subspan(static_cast<std::size_t>(half)));
  }
  const auto branches = [](const ObjectiveParts& parts) -> BranchLosses {
    return {parts.contrastive.item(), parts.meta ? parts.meta.item() : 0};
  };
  if (bilevel) {
    metrics.support = branches(outputs.support);
    metrics.support_accuracies = accuracies(outputs.support);
  }
  metrics.query = branches(outputs.query);
  metrics.query_accuracies = accuracies(outputs.query);
  metrics.embedding_std = embedding_std(outputs.query.z);
  metrics.embedding_std_isotropic = 1 / std::sqrt(static_cast<double>(model_.feature_size()));
  if (!meta.support_losses.empty()) metrics.support_loss = meta.support_losses.front();
  metrics.query_loss = meta.query_loss;
  metrics.tape_bytes = meta.tape_bytes;
  metrics.tensor_bytes = backend_.memory().peak;
  metrics.resident_bytes = resident_memory();
  metrics.seconds = seconds_since(start);
  ++iteration_;
  whole_ = true;
  return metrics;
}

ModelDescription Trainer::description() const {
  const LoaderConfig& loader = config_.loader;
  return {config_.model,       loader.clip.frames,           loader.clip.stride,
          loader.augment.size, loader.augment.resize_height, loader.augment.resize_width,
          config_.loader.seed};
}

Trainer::Holdings Trainer::holdings() {
  Holdings held;
  const auto add = [](std::size_t& sum, const Tensor& t) {
    if (t) sum += t.bytes();
  };
  for (const Tensor& t : state_.theta) add(held.weights, t);
  for (const RunningStatistics& r : state_.running)
    for (const Tensor& t : {r.mean, r.variance}) add(held.weights, t);
  for (const auto& [list, moments] : optimizer_.state())
    for (const Tensor& t : *moments) add(held.optimizer, t);
  add(held.bank, bank_.state().features);
  return held;
}

}  // namespace mcn
