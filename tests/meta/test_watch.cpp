// Warnings of a training run: raised once, and again after they have cleared.
#include <cmath>

#include "meta/train/watch.h"
#include "tests/catch.h"

namespace mcn {
namespace {

using Kind = TrainingWarning::Kind;

IterationMetrics with_updates(std::int64_t iteration, double stem, double heads) {
  IterationMetrics m;
  m.iteration = iteration;
  m.updates = {{"stem", stem}, {"heads", heads}};
  return m;
}

IterationMetrics with_difference(double difference) {
  IterationMetrics m;
  m.query_loss = 3 + difference;
  m.curvature = CurvatureMetrics{.query_loss_at_theta = 3};
  return m;
}

}  // namespace

TEST_CASE("an update longer than its group is warned of by name, once until it clears") {
  TrainingWatch watch;
  CHECK(watch.look(with_updates(0, 0.1, 1)).empty());
  const auto first = watch.look(with_updates(1, 47, 0.2));
  REQUIRE(first.size() == 1);
  CHECK(first[0].kind == Kind::long_update);
  CHECK(first[0].group == "stem");
  CHECK(first[0].iteration == 1);
  CHECK(first[0].value == 47);
  CHECK(watch.look(with_updates(2, 2, 0.2)).empty());
  CHECK(watch.look(with_updates(3, 2, 3)).size() == 1);  // the heads
  CHECK(watch.look(with_updates(4, 0.5, 0.5)).empty());
  CHECK(watch.look(with_updates(5, INFINITY, INFINITY)).size() == 2);
}

TEST_CASE("an outer gradient that turns away from that of Q is warned of") {
  TrainingWatch watch;
  IterationMetrics m;
  const auto look = [&](double cosine) {
    m.inner.emplace().cosine = cosine;
    return watch.look(m);
  };
  for (int i = 0; i < 4; ++i) CHECK(look(0.4).empty());
  const auto turned = look(0.4);  // the fifth
  REQUIRE(turned.size() == 1);
  CHECK(turned[0].kind == Kind::outer_gradient_turned);
  CHECK(std::abs(turned[0].value - 0.4) <= 1e-12);
  CHECK(look(-1).empty());
  CHECK(look(std::nan("")).empty());
  for (int i = 0; i < 10; ++i) CHECK(look(0.9).empty());
  for (int i = 0; i < 4; ++i) CHECK(look(0.1).empty());  // .58 on average
  CHECK(look(-0.9).size() == 1);                         // .4
}

TEST_CASE("an inner step that raises the loss on Q on average is warned of from the fifth measurement on") {
  TrainingWatch watch;
  for (int i = 0; i < 4; ++i) CHECK(watch.look(with_difference(0.01 + 0.001 * i)).empty());
  const auto raised = watch.look(with_difference(0.014));
  REQUIRE(raised.size() == 1);
  CHECK(raised[0].kind == Kind::inner_step_harms);
  CHECK(std::abs(raised[0].value - 0.012) <= 1e-12);  // the mean of .010, .011, .012, .013 and .014
  CHECK(watch.look(with_difference(0.01)).empty());
  for (int i = 0; i < 10; ++i) CHECK(watch.look(with_difference(-0.01)).empty());
  // Up and down by chance: the mean is above 0, and within two standard errors of it.
  TrainingWatch noise;
  for (const double d : {0.1, -0.1, 0.1, -0.1, 0.1, -0.1, 0.1}) CHECK(noise.look(with_difference(d)).empty());
}

}  // namespace mcn
