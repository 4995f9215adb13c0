// An iteration's graph: what it depends on beside its inputs.
#include "engine/device.h"
#include "engine/random.h"
#include "meta/iteration.h"
#include "tests/catch.h"

namespace mcn {

TEST_CASE("a graph is not replayed for parameters that lie elsewhere than those it was captured with") {
  Backend& backend = open_device("simt");
  const McnModel model({{"r2plus1d_10", 0.07, 0}, 6});
  const Tensors first = initialise(model.parameters(), backend, DType::f64, 1);
  const Tensors second = initialise(model.parameters(), backend, DType::f64, 2);
  Philox random(9);
  std::vector<double> pixels(static_cast<std::size_t>(4 * 2 * 8 * 8 * 3));
  for (double& x : pixels) x = random.normal();
  IterationInputs inputs;
  inputs.query = {Tensor::from(backend, DType::f64, {4, 2, 8, 8, 3}, std::span<const double>(pixels)),
                  {},
                  same_video(backend, DType::f64, 2)};
  const ObjectiveConfig objective{.temperature = 0.5, .lambda = 0.3};
  MamlConfig maml;
  maml.inner_steps = 0;
  Iteration graph(model, backend, maml, objective, true), plain(model, backend, maml, objective, false);
  const auto loss = [&](Iteration& work, const Tensors& theta) {
    (void)work.start(theta, inputs);
    return work.finish(theta, inputs).query_loss;
  };
  const double of_first = loss(plain, first), of_second = loss(plain, second);
  REQUIRE(of_first != of_second);
  for (int i = 0; i < 3; ++i) CHECK(loss(graph, first) == of_first);
  for (int i = 0; i < 3; ++i) CHECK(loss(graph, second) == of_second);
  CHECK(loss(graph, first) == of_first);
}

}  // namespace mcn
