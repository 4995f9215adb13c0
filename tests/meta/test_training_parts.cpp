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
  backend.l2_normalize_forward(1e-12, x, y, norm);
  return y;
}

double norm_of_row(const std::vector<double>& values, std::int64_t row, std::int64_t features) {
  double squares = 0;
  for (std::int64_t c = 0; c < features; ++c)
    squares += std::pow(values[static_cast<std::size_t>(row * features + c)], 2);
  return std::sqrt(squares);
}

}  // namespace

TEST_CASE("the objective is InfoNCE both ways plus lambda times the pairs' cross-entropy") {
  Backend& backend = open_device("ref");
  const McnModel model({{"r2plus1d_10", 0.07, 0}, 6});
  const Tensors theta = initialise(model.parameters(), backend, DType::f64, 1);
  Philox random(9);
  std::vector<double> pixels(static_cast<std::size_t>(6 * 2 * 8 * 8 * 3));
  for (double& x : pixels) x = random.normal();
  const ClipSet set{Tensor::from(backend, DType::f64, {6, 2, 8, 8, 3}, std::span<const double>(pixels)),
                    {},
                    same_video(backend, DType::f64, 3)};
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
  FeatureBank bank({BankKind::memory, 10, 0.5}, 40, 8, backend, DType::f64, 11);
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
    mixed[c] = 0.5 * before[4 * 8 + c] + 0.5 * zs[c];
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
  const auto with = [&](std::vector<std::int64_t> bank_ids) {
    return loss({rows, Tensor::from(backend, bank_ids), Tensor::from(backend, std::vector<std::int64_t>{1, 2})});
  };
  CHECK(with({7, 8, 9}) > with({1, 8, 9}));
  CHECK(with({1, 8, 9}) > loss({}));
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

TEST_CASE("optimisers follow torch's updates, and parameters without a gradient stay") {
  Backend& backend = open_device(GENERATE(as<std::string>{}, "ref", "cpu", "simt"));
  const ParameterSpecs specs{{"w", {2}, Init::zeros, 0, true}, {"b", {1}, Init::zeros, 0, false}, {"u", {1}}};
  const auto tensor = [&](std::vector<double> v) {
    return Tensor::from(backend, DType::f64, {static_cast<std::int64_t>(v.size())}, std::span<const double>(v));
  };
  Tensors values{tensor({1, -2}), tensor({0.5}), tensor({3})};
  const Tensors gradients{tensor({0.1, 0.2}), tensor({-0.3}), Tensor()};
  OptimizerConfig c;
  c.weight_decay = 0.1;
  SECTION("sgd") {
    Optimizer optimizer(c, specs);
    optimizer.step(values, gradients, 0.5);  // d = (.2, 0), buffer = d
    optimizer.step(values, gradients, 0.5);
    const double w0 = 1 - 0.5 * 0.2;
    const double buffer = 0.9 * 0.2 + 0.1 + 0.1 * w0;
    CHECK(std::abs(values[0].to_doubles()[0] - (w0 - 0.5 * buffer)) <= 1e-12);
    CHECK(std::abs(values[1].item() - (0.5 + 0.5 * 0.3 + 0.5 * (0.9 * 0.3 + 0.3))) <= 1e-12);
  }
  SECTION("adamw") {
    c.kind = OptimizerKind::adamw;
    Optimizer optimizer(c, specs);
    optimizer.step(values, gradients, 0.5);
    // At the first step m / sqrt(v) is the gradient's sign, up to eps.
    CHECK(std::abs(values[0].to_doubles()[0] - (1 * (1 - 0.5 * 0.1) - 0.5)) <= 1e-6);
    CHECK(std::abs(values[1].item() - (0.5 + 0.5)) <= 1e-6);
  }
  CHECK(values[2].item() == 3);
}

}  // namespace mcn
