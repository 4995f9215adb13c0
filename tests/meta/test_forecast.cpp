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
