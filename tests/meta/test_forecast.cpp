// The forecast of a run's memory against the run.
#include "meta/forecast.h"
#include "tests/catch.h"
#include "tests/meta/small_training.h"

namespace mcn {

TEST_CASE("the forecast is what a run's tensors take, byte for byte", "[slow]") {
  TrainConfig c = test::small_config();
  c.method = GENERATE(Method::joint, Method::mcn);
  c.optimizer.kind = GENERATE(OptimizerKind::sgd, OptimizerKind::adamw);
  c.bank.kind = GENERATE(BankKind::none, BankKind::memory);
  c.dtype = GENERATE(DType::f32, DType::f64);
  c.maml.inner_steps = 2;
  c.curvature = {2, 1, true};
  c.inner_rates.learned = c.bank.kind == BankKind::memory;
  c.first_order_iterations = c.optimizer.kind == OptimizerKind::adamw ? 2 : 0;
  c.maml.inner_tape = GENERATE(InnerTape::keep, InnerTape::recompute);
  const MemoryForecast forecast = forecast_memory(c, test::videos().videos);
  const auto backend = make_cpu_backend();
  {
    Trainer trainer(c, test::videos(), *backend);
    IterationMetrics metrics;
    for (int i = 0; i < 3; ++i) metrics = trainer.step();
    CHECK(forecast.peak == backend->memory().peak);
    CHECK(forecast.tapes == metrics.tape_bytes);
    const Trainer::Holdings held = trainer.holdings();
    CHECK(forecast.weights == held.weights);
    CHECK(forecast.optimizer == held.optimizer);
    CHECK(forecast.bank == held.bank);
  }
  CHECK(forecast.peak_with_scratch >= forecast.peak);
  CHECK(backend->memory().current == 0);
}

TEST_CASE("a CUDA graph is forecast to hold what its kernels need at a time, not the sum") {
  TrainConfig c = test::small_config();
  const std::size_t call_by_call = forecast_memory(c, test::videos().videos).peak_with_scratch;
  c.cuda_graph = true;
  const std::size_t graph = forecast_memory(c, test::videos().videos).peak_with_scratch;
  INFO(call_by_call << " bytes call by call, " << graph << " with a graph");
  CHECK(graph >= call_by_call / 2);
  CHECK(graph <= call_by_call * 3 / 2);
}

TEST_CASE("a forecast leaves the device simt as it was") {
  Backend& simt = open_device("simt");
  const Tensor x = Tensor::full(simt, DType::f64, {3}, 2);
  (void)forecast_memory(test::small_config(), test::videos().videos);
  CHECK(x.to_doubles() == std::vector<double>(3, 2));
}

TEST_CASE("a config that fits is found by forecasts, and changes no more than it must") {
  TrainConfig c = test::small_config();
  c.loader.clip.frames = 8;
  c.maml.inner_steps = 2;
  const auto peak = [](const TrainConfig& config) { return forecast_memory(config, test::videos().videos).peak; };
  const auto within = [&](const TrainConfig& config) {
    return config_that_fits(c, test::videos().videos,
                            [limit = peak(config)](const MemoryForecast& f) { return f.peak <= limit; });
  };
  TrainConfig expected = c;
  expected.maml.inner_tape = InnerTape::recompute;
  const auto tape = within(expected);
  REQUIRE(tape);
  CHECK(tape->maml.inner_tape == InnerTape::recompute);
  CHECK(tape->loader.batch == 8);
  CHECK(tape->loader.clip.frames == 8);
  expected.loader.batch = 4;
  expected.loader.clip.frames = 4;
  const auto both = within(expected);
  REQUIRE(both);
  CHECK(both->loader.batch == 4);
  CHECK(both->loader.clip.frames == 4);
  // Of one inner step, half the batch is enough by itself.
  c.maml.inner_steps = 1;
  expected = c;
  expected.loader.batch = 4;
  const auto half = within(expected);
  REQUIRE(half);
  CHECK(half->maml.inner_tape == InnerTape::keep);
  CHECK(half->loader.batch == 4);
  CHECK(half->loader.clip.frames == 8);
  CHECK_FALSE(config_that_fits(c, test::videos().videos, [](const MemoryForecast&) { return false; }));
  // Two views of five batches and a video, of 8 frames of 28 x 34 pixels.
  CHECK(forecast_memory(c, test::videos().videos).ring == std::size_t{2} * (5 * 8 + 1) * 8 * 28 * 34 * 3);
}

TEST_CASE("inner tapes that are kept grow with K, those recorded again do not") {
  TrainConfig c = test::small_config();
  const auto peak = [&](int steps, InnerTape tape) {
    c.maml.inner_steps = steps;
    c.maml.inner_tape = tape;
    return forecast_memory(c, test::videos().videos);
  };
  CHECK(peak(3, InnerTape::keep).tapes == 3 * peak(1, InnerTape::keep).tapes);
  CHECK(peak(3, InnerTape::recompute).tapes == peak(1, InnerTape::recompute).tapes);
}

}  // namespace mcn
