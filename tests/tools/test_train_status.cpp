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

TEST_CASE("a warning says what happened, where, and what to change") {
  const std::string update = text_of({TrainingWarning::Kind::long_update, "stem", 3, 47.1234});
  CHECK(update.find("iteration 3 moved stem by 47.1 times its own length") != std::string::npos);
  CHECK(update.find("--clip-grad") != std::string::npos);
  CHECK(text_of({TrainingWarning::Kind::inner_step_harms, "", 3, 0.1}).find("raises the loss on Q") !=
        std::string::npos);
  CHECK(text_of({TrainingWarning::Kind::outer_gradient_turned, "", 3, 0.1}).find("cosine of 0.1") != std::string::npos);
}

}  // namespace mcn
