// The line that training says of itself, and its warnings.
#include "tests/catch.h"
#include "tools/train_status.h"

namespace mcn {

TEST_CASE(
    "the status has accuracies with their chance, as means of the last iterations, and large numbers stay short") {
  TrainStatus status(100, 10);
  CHECK(status.line().empty());
  IterationMetrics m;
  for (int i = 0; i < 30; ++i) {
    m.iteration = i;
    m.query_accuracies = {.top1 = i < 10 ? 1 : 0.25, .top1_chance = 0.2, .pairs = i % 2 == 0 ? 0.5 : 1};
    m.query_loss = i == 29 ? 20e17 : 0;
    m.learning_rate = 1e-3;
    m.gradient_norm = 1234567.0;
    m.seconds = 2;
    status.add(m);
  }
  CHECK(status.line() ==
        "top-1 25% (chance 20%)  pairs 75% (50%)  loss 1e+17  lr 0.001  gradient 1.235e+06  10 clips/s  epoch 3");
  CHECK(status.learned() == "InfoNCE top-1 25% (chance 20%), pairs 75% (chance 50%)");
  m.query_accuracies.pairs = {};
  status.add(m);
  CHECK(status.learned() == "InfoNCE top-1 25% (chance 20%)");
}

TEST_CASE("inner rates are listed by name") {
  CHECK(text_of(std::vector<InnerRate>{{"stem", 0.002}, {"layer1", 0.00181234}}) == "stem 0.002, layer1 0.001812");
}

TEST_CASE("a run's time is forecast from its first iterations, what is still to come counted by its arithmetic") {
  TrainConfig c;
  c.iterations = 100;
  c.first_order_iterations = 50;
  c.curvature = {20, 3, true};
  c.maml.inner_steps = 1;
  TimeForecast forecast(c, 0);
  IterationMetrics m;
  m.seconds = 8;  // opens files, and measures the curvature by 12 products of half a second
  m.curvature = CurvatureMetrics{.seconds = 6};
  forecast.add(m);
  CHECK_FALSE(forecast.seconds());
  m = {};
  m.seconds = 4;
  for (m.iteration = 1; m.iteration < 3; ++m.iteration) forecast.add(m);
  CHECK_FALSE(forecast.line());  // 8 s, without the first one
  forecast.add(m);
  // 20 s so far; 46 iterations of 4 s; 50 of second order, each 3 + 3 + 6 passes in the place of 6; 96 / 20
  // measurements of 3 products.
  REQUIRE(forecast.seconds());
  CHECK(*forecast.seconds() == Catch::Approx(20 + 184 + 400 + 4.8 * 1.5));
  CHECK(*forecast.seconds(60) == Catch::Approx(60 + *forecast.seconds()));
  CHECK(forecast.line() ==
        "about 10 min for 100 iterations, by the first 4; from iteration 50 on they are of second order and count 2.0 "
        "times");
  CHECK_FALSE(forecast.line());  // once

  c.method = Method::contrastive;
  c.curvature = {};
  TimeForecast resumed(c, 90);
  for (m.iteration = 90; m.iteration < 94; ++m.iteration) {
    CHECK_FALSE(resumed.seconds());
    m.seconds = m.iteration == 90 ? 30 : 5;
    resumed.add(m);
  }
  CHECK(resumed.line() == "about 75 s for 10 iterations, by the first 4");
}

TEST_CASE("durations have the units that they need") {
  CHECK(duration(0.4) == "0 s");
  CHECK(duration(99) == "99 s");
  CHECK(duration(100) == "2 min");
  CHECK(duration(3600) == "60 min");
  CHECK(duration(7500) == "2 h 5 min");
  CHECK(duration(187'200) == "2 d 4 h");
}

TEST_CASE("a warning says what happened, where, and what to change") {
  const std::string update = text_of({TrainingWarning::Kind::long_update, "stem", 3, 47.1234});
  CHECK(update.find("iteration 3 moved stem by 47.1 times its own length") != std::string::npos);
  CHECK(update.find("--clip-grad") != std::string::npos);
  CHECK(text_of({TrainingWarning::Kind::inner_step_harms, "", 3, 0.1}).find("raises the loss on Q") !=
        std::string::npos);
  CHECK(text_of({TrainingWarning::Kind::outer_gradient_turned, "", 3, 0.1}).find("cosine of 0.1") != std::string::npos);
}

}  // namespace mcn
