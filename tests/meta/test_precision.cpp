// How far tf32 and bf16 are from fp32, on a model's gradient and on its meta-gradient.
#include <cmath>

#include "engine/device.h"
#include "engine/gradcheck.h"
#include "meta/maml.h"
#include "models/video_resnet.h"
#include "tests/catch.h"

namespace mcn {
namespace {

// A classifier at its initial weights. What sets the precisions apart is ReLU above all: a share of the units near the
// rounding of their inputs switches, and the gradient moves by the square root of that share, which is tens of percent.
struct Problem {
  Backend& backend = open_device("simt");
  VideoResNet model{{"r2plus1d_10", 0.07, 4}};
  Tensors theta = initialise(model.parameters(), backend, DType::f32, 1);
  LossFunction loss(std::uint64_t seed) {
    const Shape shape{8, 4, 24, 24, 3};
    const std::vector<double> pixels =
        GradcheckDraw(open_device("ref"), DType::f64, seed).uniform(shape, -2, 2).to_doubles();
    const Tensor clips = Tensor::from(backend, DType::f32, shape, std::span<const double>(pixels));
    const Tensor labels = Tensor::from(backend, std::vector<std::int64_t>{0, 1, 2, 3, 0, 1, 2, 3});
    return [this, clips, labels](Tape& tape, std::span<const Var> vars) {
      return tape.apply(ops::cross_entropy(labels), {model.logits(tape, vars, tape.constant(clips))});
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
  const LossFunction support = problem.loss(11), query = problem.loss(12);
  for (const int steps : {0, 1}) {
    MamlConfig config;
    config.inner_steps = steps;
    config.inner_lr = 0.01;
    config.second_order = true;
    const auto gradient = [&](Precision precision) {
      problem.backend.set_precision(precision);
      Tensors g = meta_gradient(problem.theta, support, query, config).gradient;
      problem.backend.set_precision(Precision::fp32);
      return g;
    };
    const Tensors exact = gradient(Precision::fp32);
    const double tf32 = distance(gradient(Precision::tf32), exact);
    const double bf16 = distance(gradient(Precision::bf16), exact);
    INFO("K " << steps << ": tf32 " << tf32 << ", bf16 " << bf16);
    // Above rounding: the precision was really used. bf16 has an eighth of the bits' worth of tf32.
    CHECK(tf32 > 1e-3);
    CHECK(tf32 <= 0.3);
    CHECK(bf16 > 2 * tf32);
    CHECK(bf16 <= 0.6);
  }
}

}  // namespace mcn
