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

// Through a graph and back: a tensor that a capture does not hold keeps the first call's values.
template <typename T>
void check_that_replays_follow(Backend& backend, const std::function<T()>& make) {
  double value = 0;
  const auto filled = [&] {
    T all = make();
    for_each_tensor(all, [&](Tensor& t) { t = Tensor::full(backend, DType::f32, {2}, ++value); });
    return all;
  };
  const auto values = [](const T& all) {
    std::vector<double> found;
    for_each_tensor(all, [&](const Tensor& t) { found.push_back(t.to_doubles().front()); });
    return found;
  };
  Replay<T, T> replay(backend, true);
  for (int i = 0; i < 4; ++i) {
    const T given = filled();
    const std::vector<double> expected = values(given);
    CHECK(values(replay.run({}, given, [](const T& inputs) {
            T copies = inputs;
            for_each_tensor(copies, [](Tensor& t) { t = t.clone(); });
            return copies;
          })) == expected);
  }
}

TEST_CASE("a graph reads every tensor of an iteration's inputs and writes every tensor of its outputs") {
  Backend& backend = open_device("simt");
  check_that_replays_follow<IterationInputs>(backend, [] { return IterationInputs{ClipSet{}, {}}; });
  check_that_replays_follow<IterationOutputs>(backend, [] {
    IterationOutputs outputs;
    for (Tensors* list : {&outputs.meta.support_losses, &outputs.meta.gradient, &outputs.meta.query_gradient,
                          &outputs.meta.query_pulled_back})
      list->resize(2);
    outputs.statistics.resize(2);
    return outputs;
  });
}

}  // namespace mcn
