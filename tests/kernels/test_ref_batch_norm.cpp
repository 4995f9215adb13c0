// Reference batch normalisation: values by hand, its derivatives against central differences.
#include <limits>

#include "tests/kernels/test_ref_helpers.h"

namespace mcn::test {
namespace {

// Everything that one application needs, and its four rules as functions of the inputs.
struct Problem {
  std::unique_ptr<Backend> ref = make_ref_backend();
  BatchNormParams params;
  Shape shape{2, 1, 3, 2, 3}, channels{3};
  Array mean{channels}, rstd{channels};

  struct Inputs {
    Array x, gamma, beta, residual;
    [[nodiscard]] Inputs moved(double t, const Inputs& d) const {
      return {x.moved(t, d.x), gamma.moved(t, d.gamma), beta.moved(t, d.beta), residual.moved(t, d.residual)};
    }
  };
  [[nodiscard]] Inputs inputs(std::uint64_t stream) const {
    return {Array::random(shape, stream), Array::random(channels, stream + 1), Array::random(channels, stream + 2),
            Array::random(shape, stream + 3)};
  }
  Array forward(const Inputs& in) {
    Array y(shape);
    ref->run(kernel::BatchNormForward{.params = params,
                                      .x = in.x,
                                      .gamma = in.gamma,
                                      .beta = in.beta,
                                      .residual = in.residual,
                                      .y = y,
                                      .mean = mean,
                                      .rstd = rstd});
    return y;
  }
  // One list of all cotangents.
  Array vjp(const Inputs& in, const Array& y_bar) {
    const Array y = forward(in);
    return flat([&](const BatchNormGradients& bars) {
      ref->run(kernel::BatchNormVjp{
          .params = params, .saved = {in.x, in.gamma, mean, rstd, y}, .y_bar = y_bar, .bars = bars});
    });
  }
  Array flat(const std::function<void(const BatchNormGradients&)>& rule) const {
    Array parts[] = {Array(shape), Array(channels), Array(channels), Array(shape)};
    rule({parts[0], parts[1], parts[2], parts[3]});
    Array all({2 * shape.numel() + 2 * channels.numel()});
    all.values.clear();
    for (const Array& part : parts) all.values.insert(all.values.end(), part.values.begin(), part.values.end());
    return all;
  }
};

}  // namespace

TEST_CASE("ref batch_norm: values by hand") {
  const auto ref = make_ref_backend();
  BatchNormParams params{.eps = 0, .relu = true, .batch_statistics = true};
  const Array x({4, 1}, {1, 3, 5, 7});
  const Array gamma({1}, {2});
  const Array beta({1}, {1});
  Array y({4, 1});
  Array mean({1});
  Array rstd({1});
  ref->run(kernel::BatchNormForward{
      .params = params, .x = x, .gamma = gamma, .beta = beta, .y = y, .mean = mean, .rstd = rstd});
  CHECK(mean[0] == 4);
  CHECK(rstd[0] == Catch::Approx(1 / std::sqrt(5.0)));
  CHECK(y[0] == 0);
  CHECK(y[1] == Catch::Approx(1 - 2 / std::sqrt(5.0)));
  CHECK(y[3] == Catch::Approx(1 + 6 / std::sqrt(5.0)));
  // Fixed statistics are read, not written.
  params = {.eps = 1e-5, .relu = false, .batch_statistics = false};
  mean[0] = 1;
  rstd[0] = 0.5;
  ref->run(kernel::BatchNormForward{
      .params = params, .x = x, .gamma = gamma, .beta = beta, .residual = x, .y = y, .mean = mean, .rstd = rstd});
  CHECK(mean[0] == 1);
  CHECK(rstd[0] == 0.5);
  CHECK(y.values == std::vector<double>{2, 6, 10, 14});
}

TEST_CASE("ref batch_norm: one row has variance zero") {
  const auto ref = make_ref_backend();
  const Array one({1}, {1});
  const Array x({1, 1}, {3});
  Array y({1, 1});
  Array mean({1});
  Array rstd({1});
  ref->run(kernel::BatchNormForward{.x = x, .gamma = one, .beta = one, .y = y, .mean = mean, .rstd = rstd});
  CHECK(y[0] == 1);
  CHECK(rstd[0] == Catch::Approx(1 / std::sqrt(1e-5)));
  Array x_bar({1, 1});
  ref->run(kernel::BatchNormVjp{.saved = {x, one, mean, rstd, y}, .y_bar = one, .bars = {x_bar, {}, {}, {}}});
  CHECK(x_bar[0] == 0);
}

TEST_CASE("ref batch_norm: NaN is kept by ReLU and by its mask") {
  const auto ref = make_ref_backend();
  const Array one({1}, {1});
  const Array x({2, 1}, {std::nan(""), 1});
  Array y({2, 1});
  Array mean({1});
  Array rstd({1});
  ref->run(kernel::BatchNormForward{
      .params = {.relu = true}, .x = x, .gamma = one, .beta = one, .y = y, .mean = mean, .rstd = rstd});
  CHECK(std::isnan(y[0]));
  CHECK(std::isnan(y[1]));
  Array x_bar({2, 1});
  ref->run(kernel::BatchNormVjp{.params = {.relu = true},
                                .saved = {x, one, mean, rstd, y},
                                .y_bar = Array({2, 1}, {1, 1}),
                                .bars = {x_bar, {}, {}, {}}});
  CHECK(std::isnan(x_bar[0]));
}

TEST_CASE("ref batch_norm: jvp, vjp and vjp_dot against central differences") {
  Problem p;
  p.params.relu = GENERATE(false, true);
  p.params.batch_statistics = GENERATE(false, true);
  CAPTURE(p.params.relu, p.params.batch_statistics);
  if (!p.params.batch_statistics) {
    p.mean = Array::random(p.channels, 90);
    p.rstd = Array(p.channels, {0.5, 1, 2});
  }
  const Problem::Inputs in = p.inputs(1);
  const Problem::Inputs dot = p.inputs(11);
  const Array y_bar = Array::random(p.shape, 21);
  const Array y_bar_dot = Array::random(p.shape, 22);

  const Array expected_y_dot = central_difference([&](double t) { return p.forward(in.moved(t, dot)); });
  const Array expected_dots =
      central_difference([&](double t) { return p.vjp(in.moved(t, dot), y_bar.moved(t, y_bar_dot)); });
  const Array bars = p.vjp(in, y_bar);  // leaves mean and rstd at in

  const Array y = p.forward(in);
  const BatchNormSaved saved{in.x, in.gamma, p.mean, p.rstd, y};
  Array y_dot(p.shape);
  Array mean_dot(p.channels);
  Array rstd_dot(p.channels);
  const bool statistics = p.params.batch_statistics;
  const View mean_dot_view = statistics ? View(mean_dot) : View{};
  const View rstd_dot_view = statistics ? View(rstd_dot) : View{};
  p.ref->run(kernel::BatchNormJvp{.params = p.params,
                                  .saved = saved,
                                  .x_dot = dot.x,
                                  .gamma_dot = dot.gamma,
                                  .beta_dot = dot.beta,
                                  .residual_dot = dot.residual,
                                  .y_dot = y_dot,
                                  .mean_dot = mean_dot_view,
                                  .rstd_dot = rstd_dot_view});
  CHECK(difference(y_dot, expected_y_dot) <= tolerances::central_difference);

  const Array dots = p.flat([&](const BatchNormGradients& g) {
    p.ref->run(kernel::BatchNormVjpDot{.params = p.params,
                                       .saved = saved,
                                       .saved_dot = {dot.x, dot.gamma, mean_dot_view, rstd_dot_view},
                                       .y_bar = y_bar,
                                       .y_bar_dot = y_bar_dot,
                                       .dots = g});
  });
  CHECK(difference(dots, expected_dots) <= tolerances::central_difference);

  Array all_dot({1});
  all_dot.values.clear();
  for (const Array* part : {&dot.x, &dot.gamma, &dot.beta, &dot.residual})
    all_dot.values.insert(all_dot.values.end(), part->values.begin(), part->values.end());
  CHECK(inner(bars, all_dot) == Catch::Approx(inner(y_bar, y_dot)).epsilon(tolerances::identity));
}

}  // namespace mcn::test
