// How far tf32 and bf16 are from fp32, on a network's gradient and on its meta-gradient.
#include <cmath>

#include "engine/device.h"
#include "engine/gradcheck.h"
#include "engine/ops.h"
#include "meta/maml.h"
#include "models/parameters.h"
#include "tests/catch.h"

namespace mcn {
namespace {

// Convolutions with batch norm and without ReLU. With it a share of the units near the rounding of their inputs
// switches, and a gradient moves by the square root of that share: tens of percent, in which a mistake would be lost.
struct Problem {
  Backend& backend = open_device("simt");
  ParameterSpecs specs{
      {"conv1", {12, 3, 3, 3, 3}, Init::kaiming},  {"gamma1", {12}, Init::ones}, {"beta1", {12}, Init::zeros},
      {"conv2", {24, 3, 3, 3, 12}, Init::kaiming}, {"gamma2", {24}, Init::ones}, {"beta2", {24}, Init::zeros},
      {"conv3", {16, 1, 3, 3, 24}, Init::kaiming}};
  Tensors theta = initialise(specs, backend, DType::f32, 1);
  LossFunction loss(std::uint64_t seed, Precision precision) {
    const Shape shape{8, 4, 12, 12, 3};
    const std::vector<double> pixels =
        GradcheckDraw(open_device("ref"), DType::f64, seed).uniform(shape, -2, 2).to_doubles();
    const Tensor clips = Tensor::from(backend, DType::f32, shape, std::span<const double>(pixels));
    const Tensor labels = Tensor::from(backend, std::vector<std::int64_t>{0, 1, 2, 3, 0, 1, 2, 3});
    return [clips, labels, precision](Tape& tape, std::span<const Var> v) {
      const Conv3dParams narrow{{1, 2, 2}, {1, 1, 1}, precision}, flat{{1, 1, 1}, {0, 1, 1}, precision};
      const BatchNormParams norm{.eps = 1e-5, .relu = false};
      Var x = tape.apply(ops::conv3d(narrow), {tape.constant(clips), v[0]});
      x = tape.apply(ops::batch_norm(norm), {x, v[1], v[2]});
      x = tape.apply(ops::conv3d(narrow), {x, v[3]});
      x = tape.apply(ops::batch_norm(norm), {x, v[4], v[5]});
      x = tape.apply(ops::conv3d(flat), {x, v[6]});
      return tape.apply(ops::cross_entropy(labels), {tape.apply(ops::global_avg_pool(), {x})});
    };
  }
};

double distance(const Tensors& a, const Tensors& b) {
  double squares = 0, norm = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const std::vector<double> x = a[i].to_doubles(), y = b[i].to_doubles();
    for (std::size_t j = 0; j < x.size(); ++j) {
      squares += (x[j] - y[j]) * (x[j] - y[j]);
      norm += y[j] * y[j];
    }
  }
  return std::sqrt(squares / norm);
}

}  // namespace

TEST_CASE("gradients and meta-gradients in tf32 and bf16 are as near fp32 as their rounding allows", "[slow]") {
  Problem problem;
  for (const int steps : {0, 1}) {
    MamlConfig config;
    config.inner_steps = steps;
    config.inner_lr = 0.01;
    config.second_order = true;
    const auto gradient = [&](Precision precision) {
      return meta_gradient(problem.theta, problem.loss(11, precision), problem.loss(12, precision), config).gradient;
    };
    const Tensors exact = gradient(Precision::fp32);
    const double tf32 = distance(gradient(Precision::tf32), exact);
    const double bf16 = distance(gradient(Precision::bf16), exact);
    INFO("K " << steps << ": tf32 " << tf32 << ", bf16 " << bf16);
    // A factor is rounded to 2^-11 in tf32 and 2^-8 in bf16. A gradient goes through some five products on its way,
    // whose roundings are independent; above a quarter of one rounding: the precision was really used.
    const double of_tf32 = std::ldexp(1, -11), of_bf16 = std::ldexp(1, -8);
    CHECK(tf32 >= of_tf32 / 4);
    CHECK(tf32 <= 3 * of_tf32);
    CHECK(bf16 >= of_bf16 / 4);
    CHECK(bf16 <= 3 * of_bf16);
  }
}

}  // namespace mcn
