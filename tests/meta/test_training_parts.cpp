// The parts of training: objective, bank and queue, optimisers and schedules, checkpoints' tensors.
#include <cmath>
#include <limits>

#include "engine/device.h"
#include "engine/random.h"
#include "meta/feature_bank.h"
#include "meta/objective.h"
#include "meta/optimizer.h"
#include "tests/catch.h"

namespace mcn {
namespace {

Tensor unit_rows(Backend& backend, std::int64_t rows, std::int64_t features, std::uint64_t stream) {
  Philox random(3, stream);
  std::vector<double> v(static_cast<std::size_t>(rows * features));
  for (double& x : v) x = random.normal();
  const Tensor x = Tensor::from(backend, DType::f64, {rows, features}, std::span<const double>(v));
  Tensor y = Tensor::like(x);
  Tensor norm(backend, DType::f64, {rows});
  backend.run(kernel::L2NormalizeForward{.eps = 1e-12, .x = x, .y = y, .norm = norm});
  return y;
}

double norm_of_row(const std::vector<double>& values, std::int64_t row, std::int64_t features) {
  double squares = 0;
  for (std::int64_t c = 0; c < features; ++c)
    squares += std::pow(values[static_cast<std::size_t>(row * features + c)], 2);
  return std::sqrt(squares);
}

// The formula of InfoNCE: row i of anchors against all keys and those rows that are not of video i.
double info_nce(const Tensor& anchors, const Tensor& keys, const Tensor& rows, const std::vector<std::int64_t>& row_ids,
                const std::vector<std::int64_t>& videos, double temperature) {
  const std::vector<double> a = anchors.to_doubles(), k = keys.to_doubles();
  const std::vector<double> r = rows ? rows.to_doubles() : std::vector<double>();
  const auto features = static_cast<std::size_t>(anchors.shape()[1]);
  const auto weight = [&](std::size_t i, const std::vector<double>& of, std::size_t j) {
    double s = 0;
    for (std::size_t c = 0; c < features; ++c) s += a[i * features + c] * of[j * features + c];
    return std::exp(s / temperature);
  };
  double loss = 0;
  for (std::size_t i = 0; i < videos.size(); ++i) {
    double sum = 0;
    for (std::size_t j = 0; j < videos.size(); ++j) sum += weight(i, k, j);
    for (std::size_t j = 0; j < row_ids.size(); ++j)
      if (row_ids[j] != videos[i]) sum += weight(i, r, j);
    loss += std::log(sum / weight(i, k, i)) / static_cast<double>(videos.size());
  }
  return loss;
}

Tensor noise_clips(Backend& backend) {
  Philox random(9);
  std::vector<double> pixels(static_cast<std::size_t>(6 * 2 * 8 * 8 * 3));
  for (double& x : pixels) x = random.normal();
  return Tensor::from(backend, DType::f64, {6, 2, 8, 8, 3}, std::span<const double>(pixels));
}

}  // namespace

TEST_CASE("the objective is InfoNCE both ways plus lambda times the pairs' cross-entropy") {
  Backend& backend = open_device("ref");
  const McnModel model({{"r2plus1d_10", 0.07, 0}, 6});
  const Tensors theta = initialise(model.parameters(), backend, DType::f64, 1);
  const ClipSet set{noise_clips(backend), {}, same_video(backend, DType::f64, 3)};
  Tape tape;
  const std::vector<Var> vars = tape.variables(theta);
  ObjectiveParts parts;
  const double tau = 0.2;
  const Var loss = mcn_loss(tape, vars, model, set, {.temperature = tau, .lambda = 0.3}, {}, &parts);

  const std::vector<double> z = parts.z.to_doubles();
  const auto logit = [&](std::size_t i, std::size_t j) {
    double s = 0;
    for (std::size_t c = 0; c < 6; ++c) s += z[i * 6 + c] * z[j * 6 + c];
    return s / tau;
  };
  double contrastive = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    double ab = 0;
    double ba = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      ab += std::exp(logit(i, 3 + j));
      ba += std::exp(logit(3 + i, j));
    }
    contrastive += (std::log(ab) + std::log(ba) - 2 * logit(i, 3 + i)) / 6;
  }
  CHECK(std::abs(parts.contrastive.item() - contrastive) <= 1e-12);

  Tape again;
  const std::vector<Var> vars2 = again.variables(theta);
  const Var a = again.constant(parts.z.rows(0, 3).clone());
  const Var b = again.constant(parts.z.rows(3, 6).clone());
  const std::vector<double> logits = model.meta_logits(again, vars2, a, b).value.to_doubles();
  double meta = 0;
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 3; ++j)
      meta += (i == j ? 2 * std::log1p(std::exp(-logits[i * 3 + j])) : std::log1p(std::exp(logits[i * 3 + j]))) / 9;
  CHECK(std::abs(parts.meta.item() - meta) <= 1e-12);
  CHECK(std::abs(loss.value.item() - (contrastive + 0.3 * meta)) <= 1e-12);
}

TEST_CASE("an objective needs two videos") {
  Backend& backend = open_device("ref");
  const McnModel model({{"r2plus1d_10", 0.07, 0}, 6});
  const Tensors theta = initialise(model.parameters(), backend, DType::f64, 1);
  Tape tape;
  const std::vector<Var> vars = tape.variables(theta);
  const ClipSet set{Tensor::full(backend, DType::f64, {2, 2, 8, 8, 3}, 1), {}, same_video(backend, DType::f64, 1)};
  CHECK_THROWS_AS(mcn_loss(tape, vars, model, set, {}), UsageError);
}

TEST_CASE("a memory bank draws distinct rows as a function of the iteration, and keeps unit rows") {
  Backend& backend = open_device(GENERATE(as<std::string>{}, "ref", "cpu", "simt"));
  FeatureBank bank({BankKind::memory, 10, 0.8}, 40, 8, backend, DType::f64, 11);
  const std::vector<std::int64_t> videos{4, 9};
  const auto first = bank.negatives(0, videos);
  CHECK(first.features.shape() == Shape{10, 8});
  std::vector<double> ids = first.bank_ids.to_doubles();
  std::sort(ids.begin(), ids.end());
  CHECK(std::adjacent_find(ids.begin(), ids.end()) == ids.end());
  CHECK(bank.negatives(0, videos).bank_ids.to_doubles() == first.bank_ids.to_doubles());
  CHECK(bank.negatives(1, videos).bank_ids.to_doubles() != first.bank_ids.to_doubles());
  CHECK(first.ids.to_doubles() == std::vector<double>{4, 9});

  const std::vector<double> before = bank.state().features.to_doubles();
  const Tensor z = unit_rows(backend, 2, 8, 1);
  bank.update(z, videos);
  const std::vector<double> after = bank.state().features.to_doubles();
  const std::vector<double> zs = z.to_doubles();
  for (std::int64_t row = 0; row < 40; ++row) CHECK(std::abs(norm_of_row(after, row, 8) - 1) <= 1e-12);
  std::vector<double> mixed(8);
  double squares = 0;
  for (std::size_t c = 0; c < 8; ++c) {
    mixed[c] = 0.8 * before[4 * 8 + c] + 0.2 * zs[c];
    squares += mixed[c] * mixed[c];
  }
  for (std::size_t c = 0; c < 8; ++c) CHECK(std::abs(after[4 * 8 + c] - mixed[c] / std::sqrt(squares)) <= 1e-12);
  CHECK(std::equal(before.begin(), before.begin() + 32, after.begin()));
}

TEST_CASE("a queue holds the latest features only") {
  Backend& backend = open_device("ref");
  FeatureBank bank({BankKind::queue, 3, 0.5}, 40, 4, backend, DType::f64, 11);
  const std::vector<std::int64_t> two{7, 8};
  CHECK_FALSE(bool(bank.negatives(0, two).features));
  bank.update(unit_rows(backend, 2, 4, 1), two);
  CHECK(bank.negatives(1, two).features.shape() == Shape{2, 4});
  const Tensor z = unit_rows(backend, 2, 4, 2);
  bank.update(z, std::vector<std::int64_t>{5, 6});
  const auto full = bank.negatives(2, two);
  CHECK(full.bank_ids.to_doubles() == std::vector<double>{6, 8, 5});
  CHECK(full.ids.to_doubles() == std::vector<double>{7, 8});  // of the anchors, whose own rows the loss leaves out
  CHECK(full.features.rows(0, 1).to_doubles() == z.rows(1, 2).to_doubles());
}

TEST_CASE("the loss leaves out the anchor's own row of the bank") {
  Backend& backend = open_device(GENERATE(as<std::string>{}, "ref", "cpu", "simt"));
  const Tensor a = unit_rows(backend, 2, 8, 1);
  const Tensor b = unit_rows(backend, 2, 8, 2);
  const Tensor rows = unit_rows(backend, 3, 8, 3);
  const auto loss = [&](const ops::InfoNceBank& bank) {
    Tape tape;
    return tape.apply(ops::info_nce(0.1, bank), {tape.variable(a), tape.variable(b)}).value.item();
  };
  const std::vector<std::int64_t> videos{1, 2};
  const auto with = [&](const std::vector<std::int64_t>& bank_ids) {
    return loss({rows, Tensor::from(backend, bank_ids), Tensor::from(backend, videos)});
  };
  CHECK(std::abs(with({7, 8, 9}) - info_nce(a, b, rows, {7, 8, 9}, videos, 0.1)) <= 1e-12);
  CHECK(std::abs(with({1, 8, 9}) - info_nce(a, b, rows, {1, 8, 9}, videos, 0.1)) <= 1e-12);
  CHECK(std::abs(with({2, 2, 1}) - info_nce(a, b, rows, {2, 2, 1}, videos, 0.1)) <= 1e-12);
  CHECK(std::abs(loss({}) - info_nce(a, b, {}, {}, videos, 0.1)) <= 1e-12);
}

TEST_CASE("the objective has the bank's negatives in both directions, without rows of the anchor's own video") {
  Backend& backend = open_device("ref");
  const McnModel model({{"r2plus1d_10", 0.07, 0}, 6});
  const Tensors theta = initialise(model.parameters(), backend, DType::f64, 1);
  const std::vector<std::int64_t> bank_ids{30, 10, 4, 20}, videos{10, 20, 30};
  const Tensor rows = unit_rows(backend, 4, 6, 5);
  const ClipSet set{noise_clips(backend),
                    {rows, Tensor::from(backend, bank_ids), Tensor::from(backend, videos)},
                    same_video(backend, DType::f64, 3)};
  Tape tape;
  const std::vector<Var> vars = tape.variables(theta);
  ObjectiveParts parts;
  (void)mcn_loss(tape, vars, model, set, {.temperature = 0.2, .lambda = 0}, {}, &parts);
  const Tensor a = parts.z.rows(0, 3).clone(), b = parts.z.rows(3, 6).clone();
  const double ab = info_nce(a, b, rows, bank_ids, videos, 0.2);
  const double ba = info_nce(b, a, rows, bank_ids, videos, 0.2);
  REQUIRE(std::abs(ab - ba) > 1e-3);
  CHECK(std::abs(parts.contrastive.item() - (ab + ba) / 2) <= 1e-12);
}

TEST_CASE("schedules") {
  OptimizerConfig c;
  c.lr = 2;
  c.warmup = 4;
  CHECK(learning_rate(c, 0, 100) == 0.5);
  CHECK(learning_rate(c, 3, 100) == 2);
  CHECK(learning_rate(c, 99, 100) == 2);
  c.schedule = ScheduleKind::cosine;
  CHECK(learning_rate(c, 4, 100) == 2);
  CHECK(std::abs(learning_rate(c, 52, 100) - 1) <= 1e-12);
  CHECK(learning_rate(c, 100, 100) <= 1e-12);
  c.schedule = ScheduleKind::multistep;
  c.milestones = {10, 20};
  CHECK(learning_rate(c, 9, 100) == 2);
  CHECK(std::abs(learning_rate(c, 10, 100) - 0.2) <= 1e-12);
  CHECK(std::abs(learning_rate(c, 20, 100) - 0.02) <= 1e-12);
}

TEST_CASE("an optimiser refuses numbers that would end a run, before it begins") {
  const ParameterSpecs none;
  const auto nan = std::numeric_limits<double>::quiet_NaN();
  for (double OptimizerConfig::*setting : {&OptimizerConfig::lr, &OptimizerConfig::momentum, &OptimizerConfig::beta2,
                                           &OptimizerConfig::weight_decay, &OptimizerConfig::gamma})
    for (const double value : {nan, -0.1, 1e9}) {
      OptimizerConfig config;
      config.*setting = value;
      CHECK_THROWS_AS(Optimizer(config, none), UsageError);
    }
}

TEST_CASE("three steps of the optimizers are torch's, and parameters without a gradient stay") {
  // torch.optim.SGD(momentum=.8) and AdamW(betas=(.8, .95)) in float64, with gradients and rates that change: after one
  // step alone AdamW shows neither its betas nor its count of steps.
  Backend& backend = open_device(GENERATE(as<std::string>{}, "ref", "cpu", "simt"));
  const ParameterSpecs specs{{"w", {2}, Init::zeros, 0, true}, {"b", {1}, Init::zeros, 0, false}, {"u", {1}}};
  const auto tensor = [&](std::vector<double> v) {
    return Tensor::from(backend, DType::f64, {static_cast<std::int64_t>(v.size())}, std::span<const double>(v));
  };
  OptimizerConfig c;
  c.momentum = 0.8;
  c.beta2 = 0.95;
  c.weight_decay = 0.1;
  c.kind = GENERATE(OptimizerKind::sgd, OptimizerKind::adamw);
  const std::vector<std::vector<double>> expected =
      c.kind == OptimizerKind::sgd
          ? std::vector<std::vector<double>>{{0.9, -2.0, 0.65},
                                             {0.9125, -2.05, 0.535},
                                             {0.8998437499999999, -1.9693749999999999, 0.464}}
          : std::vector<std::vector<double>>{{0.45000004999999493, -2.399999975000001, 0.999999983333334},
                                             {0.5740183171233104, -2.5840844902553983, 0.8823965586201123},
                                             {0.6018425776003641, -2.534019191745356, 0.8182366048231811}};
  const std::vector<std::vector<double>> gradients{{0.1, 0.2, -0.3}, {-0.3, 0.4, 0.7}, {0.05, -0.6, 0.2}};
  Tensors values{tensor({1, -2}), tensor({0.5}), tensor({3})};
  Optimizer optimizer(c, specs);
  double rate = 0.5;
  for (std::size_t i = 0; i < 3; ++i, rate /= 2) {
    const std::vector<double>& g = gradients[i];
    optimizer.step(values, {tensor({g[0], g[1]}), tensor({g[2]}), Tensor()}, rate);
    INFO("step " << i);
    CHECK(std::abs(values[0].to_doubles()[0] - expected[i][0]) <= 1e-14);
    CHECK(std::abs(values[0].to_doubles()[1] - expected[i][1]) <= 1e-14);
    CHECK(std::abs(values[1].item() - expected[i][2]) <= 1e-14);
  }
  CHECK(values[2].item() == 3);
  CHECK(optimizer.steps() == 3);
}

}  // namespace mcn
