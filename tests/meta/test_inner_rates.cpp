// Inner rates by step and group: their update against numbers worked out by hand, and in training.
#include <cmath>

#include "engine/device.h"
#include "meta/train/inner_rates.h"
#include "tests/catch.h"
#include "tests/meta/small_training.h"
#include "tests/threads.h"

namespace mcn {
namespace {

using test::small_config;
using test::values;
using test::videos;

bool near(double actual, double expected) { return std::abs(actual - expected) <= 1e-12 * std::abs(expected); }

std::vector<double> rates(const InnerRates& inner, double inner_lr) {
  std::vector<double> result;
  for (const InnerRate& rate : inner.rates(inner_lr)) result.push_back(rate.value);
  return result;
}

ParameterSpecs specs() {
  ParameterSpecs specs(4);
  const std::vector<std::string> names{"stem.0.weight", "layer2.0.weight", "fc_feat.weight", "layer2.1.weight"};
  for (std::size_t i = 0; i < names.size(); ++i) specs[i].name = names[i];
  return specs;
}

TrainConfig learning() {
  TrainConfig c = small_config();
  c.curvature = {2, 3, true};
  c.inner_rates.learned = true;
  c.inner_rates.lr = 200;  // so that rates move within a few iterations
  return c;
}

std::vector<double> rates(const IterationMetrics& m) {
  std::vector<double> result;
  for (const InnerRate& rate : m.inner->rates) result.push_back(rate.value);
  return result;
}

}  // namespace

TEST_CASE(
    "an inner rate moves against its derivative in the logarithm, by a tenth at most, below the curvature's bound") {
  InnerRates inner({{{"layer2", 2}}, true, 1}, specs(), {}, 2);
  const InnerFactors factors = inner.factors();
  CHECK(factors.group == std::vector<std::size_t>{0, 1, 2, 1});
  CHECK(factors.derivatives);
  REQUIRE(factors.factors.size() == 2);
  CHECK(near(factors.factors[1][1], 2));
  const std::vector<InnerRate> named = inner.rates(0.01);
  REQUIRE(named.size() == 6);
  CHECK(named[0].name == "stem.0");
  CHECK(named[4].name == "layer2.1");
  CHECK(near(named[4].value, 0.02));

  // log alpha -= lr alpha dL/dalpha: .5 * .01 * 4 = .02, .5 * .02 * -3 = -.03; beyond log 1.1 it is cut off.
  inner.learn({{4, -3, 1e9}, {0, -1e9, 0}}, 0.01, 0.5);
  const std::vector<double> moved = rates(inner, 0.01);
  const std::vector<double> expected{0.01 * std::exp(-0.02), 0.02 * std::exp(0.03), 0.01 / 1.1, 0.01, 0.022, 0.01};
  for (std::size_t i = 0; i < moved.size(); ++i) {
    INFO(named[i].name);
    CHECK(near(moved[i], expected[i]));
  }

  // 1 / 50 = .02 bounds two of them, now and after the next update.
  inner.limit(-50, 0.01);
  CHECK(near(rates(inner, 0.01)[1], 0.02));
  CHECK(near(rates(inner, 0.01)[4], 0.02));
  CHECK(near(rates(inner, 0.01)[0], expected[0]));
  inner.learn({{0, -3, 0}, {0, 0, 0}}, 0.01, 0.5);
  CHECK(near(rates(inner, 0.01)[1], 0.02));

  InnerRates again({{}, true, 1}, specs(), {}, 2);
  again.restore(nlohmann::json::parse(inner.to_json().dump()));
  CHECK(rates(again, 0.01) == rates(inner, 0.01));
  again.learn({{0, -3, 0}, {0, 0, 0}}, 0.01, 0.5);
  CHECK(near(rates(again, 0.01)[1], 0.02));  // the bound has come with them
}

TEST_CASE("factors and groups that make no sense are refused by name") {
  const std::vector<bool> heads_alone{false, false, true, false};
  const auto make = [&](std::vector<std::pair<std::string, double>> factors, double lr = 1,
                        const std::vector<bool>& inner = {}) {
    return InnerRates({std::move(factors), true, lr}, specs(), inner, 1);
  };
  CHECK(make({{"heads", 3}}, 1, heads_alone).factors().factors.front().size() == 1);
  using Catch::Matchers::ContainsSubstring;
  CHECK_THROWS_WITH(make({{"layer9", 1}}), ContainsSubstring("stem, layer2, heads") && ContainsSubstring("layer9"));
  CHECK_THROWS_WITH(make({{"stem", 1}}, 1, heads_alone), ContainsSubstring("(heads)") && ContainsSubstring("stem"));
  CHECK_THROWS_WITH(make({{"stem", 1}, {"stem", 2}}), ContainsSubstring("stem"));
  for (const double bad : {0.0, -1.0, std::nan(""), HUGE_VAL}) {
    CHECK_THROWS_AS(make({{"stem", bad}}), UsageError);
    if (bad != 0) CHECK_THROWS_AS(make({}, bad), UsageError);
  }
  const InnerRates inner = make({});
  CHECK_NOTHROW(inner.expect_finite({{1, 2, 3}}));
  CHECK_THROWS_WITH(inner.expect_finite({{1, std::nan(""), 3}}), ContainsSubstring("layer2"));

  TrainConfig c = learning();
  c.curvature.sets_inner_lr = false;
  for (const double bad : {0.0, -0.01}) {
    c.maml.inner_lr = bad;
    CHECK_THROWS_AS(Trainer(c, videos(), open_device("ref")), UsageError);
  }
  c.method = Method::contrastive;  // has no inner steps
  CHECK_NOTHROW(Trainer(c, videos(), open_device("ref")));
  c = learning();
  c.cuda_graph = true;
  CHECK_THROWS_WITH(Trainer(c, videos(), open_device("simt")), ContainsSubstring("alpha1"));
}

TEST_CASE("learned inner rates start at alpha1, move, and stay below the curvature's bound") {
  TrainConfig c = learning();
  c.maml.inner_steps = GENERATE(1, 2);
  c.maml.inner_tape = InnerTape::recompute;
  c.first_order_iterations = 1;
  Backend& backend = open_device("cpu");
  Trainer trainer(c, videos(), backend);
  const IterationMetrics first = trainer.step();
  REQUIRE(first.inner->rates.size() == static_cast<std::size_t>(6 * c.maml.inner_steps));
  CHECK(first.inner->rates.front().name == (c.maml.inner_steps == 1 ? "stem" : "stem.0"));
  for (const InnerRate& rate : first.inner->rates) CHECK(rate.value == trainer.inner_lr());
  c.inner_rates.learned = false;
  Trainer plain(c, videos(), backend);
  plain.step();
  CHECK(values(plain) == values(trainer));  // rates that are all the same are alpha1

  double bound = 1 / std::abs(first.curvature->eigenvalue);
  std::vector<double> before = rates(first);
  double moved = 0;
  for (int i = 1; i < 5; ++i) {
    const IterationMetrics m = trainer.step();
    if (m.curvature) bound = 1 / std::abs(m.curvature->eigenvalue);
    const std::vector<double> now = rates(m);
    double highest = 0;
    for (std::size_t j = 0; j < now.size(); ++j) {
      CHECK(now[j] > 0);
      CHECK(now[j] <= bound * (1 + 1e-12));
      if (!m.curvature) {
        moved = std::max(moved, std::abs(std::log(now[j] / before[j])));
        CHECK(std::abs(std::log(now[j] / before[j])) <= std::log(1.1) + 1e-12);
      }
      highest = std::max(highest, now[j]);
    }
    CHECK(m.inner->inner_lr == highest);
    before = now;
  }
  CHECK(moved > 1e-3);
}

TEST_CASE("given factors of inner rates stay as they are and change the step") {
  TrainConfig c = small_config();
  c.maml.inner_lr = 0.001;
  Backend& backend = open_device("cpu");
  Trainer plain(c, videos(), backend);
  c.inner_rates.factors = {{"heads", 4}, {"stem", 0.5}};
  Trainer uneven(c, videos(), backend);
  CHECK(plain.step().query_loss != uneven.step().query_loss);
  const IterationMetrics m = uneven.step();
  REQUIRE(m.inner->rates.size() == 6);
  CHECK(near(m.inner->rates.front().value, 0.0005));
  CHECK(m.inner->rates[1].value == 0.001);
  CHECK(near(m.inner->rates.back().value, 0.004));
}

TEST_CASE("a run that learns inner rates is resumed to the bit, on any number of threads") {
  TrainConfig c = learning();
  c.maml.inner_steps = 2;
  c.inner_parameters = GENERATE(InnerParameters::all, InnerParameters::layer4_and_heads);
  const test::TemporaryFolder folder;
  const std::string path = folder.file("checkpoint.safetensors");
  Backend& backend = open_device("cpu");
  Trainer whole(c, videos(), backend);
  for (int i = 0; i < 5; ++i) whole.step();
  {
    Trainer first(c, videos(), backend);
    for (int i = 0; i < 3; ++i) first.step();
    first.save(path);
  }
  const test::Threads threads(2);
  Trainer second(c, videos(), backend, path);
  for (int i = 0; i < 2; ++i) second.step();
  CHECK(values(second) == values(whole));
  const std::vector<InnerRate> a = whole.inner_rates(), b = second.inner_rates();
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(a[i].value == b[i].value);
}

TEST_CASE("checkpoints go from runs without learned inner rates to runs with them, and back") {
  const TrainConfig with = learning();
  TrainConfig without = with;
  without.inner_rates.learned = false;
  const test::TemporaryFolder folder;
  const std::string path = folder.file("checkpoint.safetensors");
  Backend& backend = open_device("cpu");
  {
    Trainer trainer(without, videos(), backend);
    for (int i = 0; i < 2; ++i) trainer.step();
    trainer.save(path);
  }
  const std::set<std::string> all{"all"};
  Trainer learns(with, videos(), backend, path, all);
  const IterationMetrics m = learns.step();
  CHECK(m.iteration == 2);
  for (const InnerRate& rate : m.inner->rates) CHECK(rate.value == learns.inner_lr());
  learns.save(path);
  // Another number of inner steps takes what both have.
  TrainConfig more = with;
  more.maml.inner_steps = 2;
  const std::vector<InnerRate> one = learns.inner_rates(),
                               two = Trainer(more, videos(), backend, path, all).inner_rates();
  for (std::size_t l = 0; l < 6; ++l) {
    CHECK(two[l].value == one[l].value);
    CHECK(two[l + 6].value == learns.inner_lr());
  }
  Trainer plain(without, videos(), backend, path, all);
  CHECK(plain.step().inner->rates.empty());

  SafetensorsFile file = read_safetensors(path);
  auto progress = nlohmann::json::parse(file.metadata.at("progress"));
  progress["inner_rates"]["logarithms"]["stem"] = {"high"};
  file.metadata["progress"] = progress.dump();
  write_safetensors(path, file);
  CHECK_THROWS_AS(Trainer(with, videos(), backend, path), DataError);
}

}  // namespace mcn
