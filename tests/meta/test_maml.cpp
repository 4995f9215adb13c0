// MAML's meta-gradient: whole models against central differences in float64, identities that must hold exactly, and the
// memory that recomputing saves.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "engine/device.h"
#include "engine/random.h"
#include "meta/maml.h"
#include "meta/objective.h"
#include "meta/train/diagnostics.h"
#include "tests/catch.h"

namespace mcn {
namespace {

Tensor random_tensor(Backend& backend, const Shape& shape, std::uint64_t stream, DType dtype = DType::f64) {
  Philox random(77, stream);
  std::vector<double> values(static_cast<std::size_t>(shape.numel()));
  for (double& v : values) v = random.normal();
  return Tensor::from(backend, dtype, shape, std::span<const double>(values));
}

Tensors random_like(const Tensors& theta, std::uint64_t stream) {
  Tensors v;
  for (std::size_t i = 0; i < theta.size(); ++i)
    v.push_back(random_tensor(theta[i].backend(), theta[i].shape(), hash_stream(stream, i), theta[i].dtype()));
  return v;
}

Tensors moved(const Tensors& theta, double h, const Tensors& direction) {
  Tensors next = theta;
  axpy(h, direction, next);
  return next;
}

double error(double actual, double expected) { return std::abs(actual - expected) / (std::abs(expected) + 1e-8); }

// How far a derivative is from the central difference of f at 0. A gradient jumps where a ReLU switches, and so does an
// objective that contains inner gradient steps: a step h that crosses such a point says nothing, so that the best of a
// few counts.
template <class F>
double error_of_derivative(double derivative, F&& f) {
  double best = std::numeric_limits<double>::infinity();
  for (const double h : {1e-7, 1e-8, 1e-9, 1e-10}) best = std::min(best, error(derivative, (f(h) - f(-h)) / (2 * h)));
  return best;
}

// A small model with both branches, and its two sets.
struct Problem {
  explicit Problem(Backend& backend, const std::string& arch, DType dtype = DType::f64,
                   const Shape& clips = {6, 3, 9, 8, 3})
      : model({{arch, 0.07, 0}, 8}), theta(initialise(model.parameters(), backend, dtype, 5)) {
    // Off the symmetric start, so that no derivative vanishes by accident.
    axpy(0.1, random_like(theta, 1), theta);
    for (int s = 0; s < 2; ++s)
      sets.push_back({random_tensor(backend, clips, static_cast<std::uint64_t>(100 + s), dtype),
                      {},
                      same_video(backend, dtype, clips[0] / 2)});
  }
  [[nodiscard]] LossFunction loss(std::size_t set) const {
    return [this, set](Tape& tape, std::span<const Var> vars) {
      return mcn_loss(tape, vars, model, sets[set], {.temperature = 0.5, .lambda = 0.7});
    };
  }
  [[nodiscard]] double value(std::size_t set, const Tensors& at) const {
    return gradient_tape(at, loss(set), After::release).loss.item();
  }

  McnModel model;
  Tensors theta;
  std::vector<ClipSet> sets;
};

// The outer objective by its definition, without any of the code under test but plain gradients.
double outer_objective(const Problem& p, const Tensors& theta, const MamlConfig& config) {
  Tensors adapted = theta;
  for (int k = 0; k < config.inner_steps; ++k) {
    const Tensors gradient = inner_part(gradient_tape(adapted, p.loss(0), After::release).gradient, config.inner);
    if (config.inner_factors.factors.empty()) {
      adapted = moved(adapted, -config.inner_lr, gradient);
      continue;
    }
    for (std::size_t i = 0; i < theta.size(); ++i) {
      const double factor = config.inner_factors.factors[static_cast<std::size_t>(k)][config.inner_factors.group[i]];
      Tensors one(theta.size());
      one[i] = gradient[i];
      adapted = moved(adapted, -config.inner_lr * factor, one);
    }
  }
  const double query = p.value(1, adapted);
  return config.objective == OuterObjective::query ? query : p.value(0, theta) + config.beta * query;
}

const std::vector<std::string> groups{"stem", "layer1", "layer2", "layer3", "layer4", "heads"};

// Another factor for every step and group, from .5 to 1.5.
InnerFactors uneven_factors(const Problem& p, int steps) {
  InnerFactors result{{}, {}, true};
  for (const ParameterSpec& spec : p.model.parameters())
    result.group.push_back(
        static_cast<std::size_t>(std::ranges::find(groups, parameter_group(spec.name)) - groups.begin()));
  for (int k = 0; k < steps; ++k) {
    result.factors.emplace_back();
    for (std::size_t l = 0; l < groups.size(); ++l)
      result.factors.back().push_back(1 + 0.5 * std::sin(static_cast<double>(l) + 6.0 * k));
  }
  return result;
}

}  // namespace

TEST_CASE("the gradient and the Hessian product of a whole model agree with central differences") {
  const std::string arch = GENERATE(as<std::string>{}, "r2plus1d_10", "r3d_18", "s3d");
  const Problem p(open_device("ref"), arch);
  GradientTape tape = gradient_tape(p.theta, p.loss(0), After::keep);
  const Tensors u = random_like(p.theta, 2);
  const Tensors w = random_like(p.theta, 3);
  CHECK(error_of_derivative(dot(tape.gradient, u), [&](double h) { return p.value(0, moved(p.theta, h, u)); }) <= 1e-6);

  const Tensors hu = tape.tape.hessian_vector(tape.theta, u, After::keep);
  const Tensors hw = tape.tape.hessian_vector(tape.theta, w, After::keep);
  const auto slope = [&](double h) {
    return dot(gradient_tape(moved(p.theta, h, u), p.loss(0), After::release).gradient, w);
  };
  CHECK(error_of_derivative(dot(w, hu), slope) <= 1e-6);
  CHECK(error(dot(w, hu), dot(u, hw)) <= 1e-10);
}

TEST_CASE("meta-gradients for K = 0 to 3 agree with central differences") {
  const int steps = GENERATE(0, 1, 2, 3);
  const OuterObjective objective = GENERATE(OuterObjective::query, OuterObjective::support_and_query);
  const Problem p(open_device("ref"), "r2plus1d_10");
  MamlConfig config;
  config.inner_steps = steps;
  config.inner_lr = 0.002;
  config.objective = objective;
  config.beta = 1.5;
  const bool heads_alone = GENERATE(false, true);
  if (heads_alone)
    for (const ParameterSpec& spec : p.model.parameters()) config.inner.push_back(spec.name.starts_with("fc"));
  const MetaGradient meta = meta_gradient(p.theta, p.loss(0), p.loss(1), config);
  const Tensors u = random_like(p.theta, 4);
  const auto objective_at = [&](double h) { return outer_objective(p, moved(p.theta, h, u), config); };
  CHECK(error_of_derivative(dot(meta.gradient, u), objective_at) <= 1e-5);

  if (steps > 0) {  // the test tells first order from second
    config.second_order = false;
    const MetaGradient first = meta_gradient(p.theta, p.loss(0), p.loss(1), config);
    CHECK_FALSE(error_of_derivative(dot(first.gradient, u), objective_at) <= 1e-5);
    CHECK(first.query_loss == meta.query_loss);
  }
}

TEST_CASE("with rates by step and group, meta-gradients and derivatives by the rates agree with central differences") {
  const Problem p(open_device("ref"), "r2plus1d_10");
  MamlConfig config;
  config.inner_lr = 0.002;
  config.inner_steps = GENERATE(1, 2);
  config.beta = 1.5;
  if (GENERATE(false, true)) {  // the stem alone stays
    config.objective = OuterObjective::support_and_query;
    for (const ParameterSpec& spec : p.model.parameters()) config.inner.push_back(!spec.name.starts_with("stem"));
  }
  config.inner_factors = uneven_factors(p, config.inner_steps);
  const MetaGradient meta = meta_gradient(p.theta, p.loss(0), p.loss(1), config);
  const Tensors u = random_like(p.theta, 4);
  CHECK(error_of_derivative(dot(meta.gradient, u),
                            [&](double h) { return outer_objective(p, moved(p.theta, h, u), config); }) <= 1e-5);

  REQUIRE(meta.inner_lr_derivatives.size() == static_cast<std::size_t>(config.inner_steps));
  config.second_order = false;
  const MetaGradient first = meta_gradient(p.theta, p.loss(0), p.loss(1), config);
  config.second_order = true;
  for (std::size_t k = 0; k < meta.inner_lr_derivatives.size(); ++k) {
    const bool last = k + 1 == meta.inner_lr_derivatives.size();
    bool first_order_is_exact = true;
    REQUIRE(meta.inner_lr_derivatives[k].size() == groups.size());
    for (std::size_t l = 0; l < groups.size(); ++l) {
      INFO("step " << k << ", " << groups[l]);
      const double derivative = meta.inner_lr_derivatives[k][l];
      if (!config.inner.empty() && l == 0) {
        CHECK(derivative == 0);
        continue;
      }
      const auto objective_at = [&](double h) {
        MamlConfig shifted = config;
        shifted.inner_factors.factors[k][l] += h / config.inner_lr;
        return outer_objective(p, p.theta, shifted);
      };
      CHECK(error_of_derivative(derivative, objective_at) <= 1e-5);
      first_order_is_exact = first_order_is_exact && error(first.inner_lr_derivatives[k][l], derivative) <= 1e-9;
    }
    CHECK(first_order_is_exact == last);  // no Hessian product lies between the last step and L_Q
  }
}

TEST_CASE("factors of 1 change no bit, and lists of other lengths than the parameters or the steps are refused") {
  const Problem p(open_device("cpu"), "r2plus1d_10", DType::f32);
  MamlConfig config;
  config.inner_steps = 2;
  config.inner_lr = 0.002;
  config.second_order = GENERATE(false, true);
  const MetaGradient plain = meta_gradient(p.theta, p.loss(0), p.loss(1), config);
  CHECK(plain.inner_lr_derivatives.empty());
  config.inner_factors = uneven_factors(p, 2);
  for (std::vector<double>& row : config.inner_factors.factors) std::ranges::fill(row, 1.0);
  const MetaGradient even = meta_gradient(p.theta, p.loss(0), p.loss(1), config);
  CHECK(even.query_loss == plain.query_loss);
  for (std::size_t i = 0; i < p.theta.size(); ++i)
    CHECK(even.gradient[i].to_doubles() == plain.gradient[i].to_doubles());

  for (const auto& break_it : std::vector<std::function<void(InnerFactors&)>>{
           [](InnerFactors& f) { f.factors.pop_back(); }, [](InnerFactors& f) { f.factors[1].pop_back(); },
           [](InnerFactors& f) { f.group.pop_back(); }, [](InnerFactors& f) { f.group[3] = 6; },
           [](InnerFactors& f) { f.factors[1][2] = std::nan(""); }, [](InnerFactors& f) { f.factors.clear(); }}) {
    MamlConfig broken = config;
    break_it(broken.inner_factors);
    CHECK_THROWS_AS(meta_gradient(p.theta, p.loss(0), p.loss(1), broken), UsageError);
  }
}

TEST_CASE("recomputed tapes give the bits of kept ones, in the memory of one") {
  Backend& backend = open_device(GENERATE(as<std::string>{}, "ref", "cpu"));
  const Problem p(backend, "r2plus1d_10", DType::f32);
  MamlConfig config;
  const bool with_rates = GENERATE(false, true);
  std::vector<std::size_t> kept, again;
  for (int steps = 1; steps <= 3; ++steps) {
    config.inner_steps = steps;
    if (with_rates) config.inner_factors = uneven_factors(p, steps);
    config.inner_tape = InnerTape::keep;
    const MetaGradient a = meta_gradient(p.theta, p.loss(0), p.loss(1), config);
    config.inner_tape = InnerTape::recompute;
    const MetaGradient b = meta_gradient(p.theta, p.loss(0), p.loss(1), config);
    for (std::size_t i = 0; i < p.theta.size(); ++i) CHECK(a.gradient[i].to_doubles() == b.gradient[i].to_doubles());
    CHECK(a.inner_lr_derivatives == b.inner_lr_derivatives);
    kept.push_back(a.tape_bytes);
    again.push_back(b.tape_bytes);
  }
  CHECK(kept[1] == 2 * kept[0]);
  CHECK(kept[2] == 3 * kept[0]);
  CHECK(again[0] == again[2]);
  CHECK(again[0] == kept[0]);
}

TEST_CASE("a sweep leaves no memory behind") {
  Backend& backend = open_device("cpu");
  const Problem p(backend, "r2plus1d_10", DType::f32);
  const std::size_t before = backend.memory().current;
  { const MetaGradient meta = meta_gradient(p.theta, p.loss(0), p.loss(1), {}); }
  CHECK(backend.memory().current == before);
}

TEST_CASE("cpu agrees with ref on a whole model's meta-gradient") {
  MamlConfig config;
  config.inner_steps = 2;
  config.inner_lr = 0.0002;  // longer steps are chaotic in float32, in any framework
  const DType dtype = GENERATE(DType::f32, DType::f64);
  // Large enough that every batch norm sees some thirty values: over six, as above, rounding grows a billionfold.
  const Shape clips{8, 4, 32, 32, 3};
  const Problem on_ref(open_device("ref"), "r2plus1d_18", dtype, clips);
  const Problem on_cpu(open_device("cpu"), "r2plus1d_18", dtype, clips);
  const MetaGradient a = meta_gradient(on_ref.theta, on_ref.loss(0), on_ref.loss(1), config);
  const MetaGradient b = meta_gradient(on_cpu.theta, on_cpu.loss(0), on_cpu.loss(1), config);
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < a.gradient.size(); ++i) {
    const std::vector<double> x = a.gradient[i].to_doubles();
    const std::vector<double> y = b.gradient[i].to_doubles();
    for (std::size_t j = 0; j < x.size(); ++j) {
      difference = std::hypot(difference, x[j] - y[j]);
      norm = std::hypot(norm, x[j]);
    }
  }
  CHECK(difference / norm <= (dtype == DType::f32 ? 5e-4 : 1e-10));
}

TEST_CASE("a loss that is not finite is named") {
  Backend& backend = open_device("ref");
  Problem p(backend, "r2plus1d_10");
  MamlConfig config;
  for (const ParameterSpec& spec : p.model.parameters()) config.parameter_names.push_back(spec.name);
  SECTION("a parameter") {
    p.theta[3] = Tensor::full(backend, DType::f64, p.theta[3].shape(), std::numeric_limits<double>::quiet_NaN());
    try {
      meta_gradient(p.theta, p.loss(0), p.loss(1), config);
      FAIL("expected NonFiniteError");
    } catch (const NonFiniteError& e) {
      CHECK(std::string(e.what()).find(config.parameter_names[3]) != std::string::npos);
    }
  }
  SECTION("an inner step that diverges") {
    config.inner_lr = 1e200;
    CHECK_THROWS_AS(meta_gradient(p.theta, p.loss(0), p.loss(1), config), NonFiniteError);
  }
  SECTION("settings out of range") {
    config.inner_steps = -1;
    CHECK_THROWS_AS(meta_gradient(p.theta, p.loss(0), p.loss(1), config), UsageError);
  }
}

}  // namespace mcn
