// The top eigenvalue of a Hessian and the inner steps on a part of the parameters, against numpy. Expected values are
// numpy.linalg.eigvalsh of Hessians that were worked out by hand (logistic regression: A' diag(p (1 - p)) A / M) or,
// for two layers, taken as fourth-order differences of a gradient that was worked out by hand, in float64.
#include <cmath>

#include "engine/device.h"
#include "engine/ops.h"
#include "meta/curvature.h"
#include "tests/catch.h"

namespace mcn {
namespace {

const std::vector<double> rows{1, .5, -1, 2, .25, -1.5, 2, 1};  // 4 examples of 2 values

Tensor tensor(const Shape& shape, const std::vector<double>& values) {
  return Tensor::from(open_device("ref"), DType::f64, shape, std::span<const double>(values));
}

// sign * mean binary cross-entropy of a linear model (w: 1 x 2, bias: 1).
LossFunction logistic(double sign = 1) {
  return [sign](Tape& tape, std::span<const Var> theta) {
    const Var logits = tape.apply(ops::linear(), {tape.constant(tensor({4, 2}, rows)), theta[0], theta[1]});
    const Var loss = tape.apply(ops::bce_with_logits(tensor({4}, {1, 0, 1, 0})), {logits});
    return tape.apply(ops::add(sign, 0), {loss, loss});
  };
}

Tensors logistic_theta() { return {tensor({1, 2}, {.3, -.2}), tensor({1}, {.1})}; }

// Cross-entropy of linear, ReLU, linear (3 x 2, 2 x 3), without biases.
LossFunction two_layers(std::vector<std::int64_t> labels) {
  const Tensor y = Tensor::from(open_device("ref"), labels);
  return [y](Tape& tape, std::span<const Var> theta) {
    const Var hidden = tape.apply(ops::linear(), {tape.constant(tensor({4, 2}, rows)), theta[0], Var{}});
    return tape.apply(ops::cross_entropy(y),
                      {tape.apply(ops::linear(), {tape.apply(ops::relu(), {hidden}), theta[1], Var{}})});
  };
}

Tensors two_layer_theta() {
  return {tensor({3, 2}, {.5, -.4, .3, .8, -.6, .2}), tensor({2, 3}, {.7, -.5, .2, -.3, .9, .4})};
}

}  // namespace

TEST_CASE("power iteration finds the eigenvalue of largest magnitude of a known Hessian") {
  const Tensors theta = logistic_theta();
  const Curvature found = top_eigenvalue(theta, logistic(), random_direction(theta, 1), 100);
  CHECK(std::abs(found.eigenvalue - 0.524094047050431) <= 1e-12);
  CHECK(std::abs(found.alignment - 1) <= 1e-12);
  CHECK(std::abs(dot(found.vector, found.vector) - 1) <= 1e-12);

  const Tensors layers = two_layer_theta();
  const Curvature top = top_eigenvalue(layers, two_layers({0, 1, 1, 0}), random_direction(layers, 1), 100);
  CHECK(std::abs(top.eigenvalue - 1.7976309578691585) <= 1e-9);
}

TEST_CASE("an eigenvalue keeps its sign") {
  const Tensors theta = logistic_theta();
  CHECK(std::abs(top_eigenvalue(theta, logistic(-1), random_direction(theta, 1), 100).eigenvalue + 0.524094047050431) <=
        1e-12);
}

TEST_CASE("the curvature of a part of the parameters is that of their block of the Hessian") {
  const Tensors theta = logistic_theta();
  const Curvature weights = top_eigenvalue(theta, logistic(), random_direction(theta, 1), 200, {true, false});
  CHECK(std::abs(weights.eigenvalue - 0.43744090283695597) <= 1e-12);
  CHECK_FALSE(weights.vector[1]);
  const Tensors layers = two_layer_theta();
  const Curvature last =
      top_eigenvalue(layers, two_layers({0, 1, 1, 0}), random_direction(layers, 1), 100, {false, true});
  CHECK(std::abs(last.eigenvalue - 0.34976219645845474) <= 1e-9);
}

TEST_CASE("a few products from the last vector are enough, and are never above the eigenvalue") {
  const Tensors theta = two_layer_theta();
  const LossFunction loss = two_layers({0, 1, 1, 0});
  const Curvature cold = top_eigenvalue(theta, loss, random_direction(theta, 3), 1);
  CHECK(cold.eigenvalue < 1.7976309578691585);
  const Curvature first = top_eigenvalue(theta, loss, random_direction(theta, 3), 40);
  const Curvature warm = top_eigenvalue(theta, loss, first.vector, 1);
  CHECK(std::abs(warm.eigenvalue - 1.7976309578691585) <= 1e-6);
  CHECK(warm.eigenvalue <= 1.7976309578691585 + 1e-9);
  CHECK_THROWS_AS(top_eigenvalue(theta, loss, first.vector, 0), UsageError);
}

TEST_CASE("a loss that is not finite has no finite curvature") {
  Tensors theta = logistic_theta();
  theta[1] = tensor({1}, {std::nan("")});
  CHECK_FALSE(std::isfinite(top_eigenvalue(theta, logistic(), random_direction(theta, 1), 2).eigenvalue));
}

TEST_CASE("the inner rate is half the inverse of the curvature, of either sign") {
  CHECK(stable_inner_lr(50) == 0.01);
  CHECK(stable_inner_lr(-50) == 0.01);
  CHECK(stable_inner_lr(0.1) == 1);
  CHECK(stable_inner_lr(0) == 1);
}

TEST_CASE("inner steps on the last layer alone give numpy's meta-gradient of both layers") {
  MamlConfig config;
  config.inner_steps = 2;
  config.inner_lr = 0.4;
  config.inner = {false, true};
  config.inner_tape = GENERATE(InnerTape::keep, InnerTape::recompute);
  const Tensors theta = two_layer_theta();
  const LossFunction support = two_layers({0, 1, 1, 0}), query = two_layers({1, 1, 0, 0});
  const auto compare = [&](const Tensors& actual, const std::vector<std::vector<double>>& expected) {
    for (std::size_t i = 0; i < 2; ++i) {
      const std::vector<double> values = actual[i].to_doubles();
      for (std::size_t j = 0; j < 6; ++j) CHECK(std::abs(values[j] - expected[i][j]) <= 1e-9);
    }
  };
  const std::vector<std::vector<double>> second{{-0.3034695708720977, -0.07892566377492294, 0.11985020568893134,
                                                 -0.04526057686639042, 0.01607515363422176, -0.03215030726851408},
                                                {-0.10572063951689827, -0.05723344622401621, 0.05243554918009861,
                                                 0.10572063951689069, 0.05723344622408161, -0.05243554918011412}};
  const std::vector<std::vector<double>> first{{-0.2475985252141456, 0.01276024659710379, 0.22875702587303365,
                                                0.00562498287758126, 0.01277506405625677, -0.02555012811251355},
                                               {-0.12135186955742414, -0.08420322000281542, 0.0500903121331419,
                                                0.12135186955742412, 0.08420322000281542, -0.05009031213314188}};
  const MetaGradient exact = meta_gradient(theta, support, query, config);
  compare(exact.gradient, second);
  compare(exact.query_gradient, first);
  compare(exact.query_pulled_back, second);
  config.second_order = false;
  compare(meta_gradient(theta, support, query, config).gradient, first);
  config.inner = {true};
  CHECK_THROWS_AS(meta_gradient(theta, support, query, config), UsageError);
}

}  // namespace mcn
