// Directional derivatives of a small MCN.
#include "meta/gradcheck.h"

#include <algorithm>
#include <cmath>

#include "engine/random.h"
#include "meta/maml.h"
#include "meta/objective.h"

namespace mcn {
namespace {

constexpr double tolerance = 1e-5;
constexpr std::int64_t videos = 3;

Tensors random_like(const Tensors& theta, std::uint64_t seed, std::uint64_t stream) {
  Tensors v;
  for (std::size_t i = 0; i < theta.size(); ++i) {
    Philox random(seed, hash_stream(stream, i));
    std::vector<double> values(static_cast<std::size_t>(theta[i].numel()));
    for (double& x : values) x = random.normal();
    v.push_back(Tensor::from(theta[i].backend(), DType::f64, theta[i].shape(), std::span<const double>(values)));
  }
  return v;
}

Tensors moved(const Tensors& theta, double h, const Tensors& direction) {
  Tensors next = theta;
  axpy(h, direction, next);
  return next;
}

double error(double actual, double expected) { return std::abs(actual - expected) / (std::abs(expected) + 1e-8); }

// A gradient jumps where a ReLU switches, and so does an objective that contains inner gradient steps: a difference
// across such a point says nothing, so that the best of a few steps counts.
template <class F>
double derivative_error(double derivative, F&& f) {
  double best = std::numeric_limits<double>::infinity();
  for (const double h : {1e-7, 1e-8, 1e-9, 1e-10}) best = std::min(best, error(derivative, (f(h) - f(-h)) / (2 * h)));
  return best;
}

GradcheckRow row(const std::string& model, const std::string& rule, double e, double allowed = tolerance) {
  return {model, rule, e, allowed, e <= allowed};
}

void check_model(const std::string& arch, Backend& backend, std::uint64_t seed, std::vector<GradcheckRow>& rows) {
  const McnModel model({{arch, 0.07, 0}, 8});
  Tensors theta = initialise(model.parameters(), backend, DType::f64, seed);
  axpy(0.1, random_like(theta, seed, 1), theta);  // off the symmetric start
  std::vector<ClipSet> sets;
  for (std::uint64_t s = 0; s < 2; ++s) {
    const Tensor like = Tensor::full(backend, DType::f64, {2 * videos, 3, 9, 8, 3}, 0);
    sets.push_back({random_like({like}, seed, 100 + s).front(), {}, same_video(backend, DType::f64, videos)});
  }
  const auto loss_on = [&](const ClipSet& set) -> LossFunction {
    return [&model, &set](Tape& tape, std::span<const Var> vars) {
      return mcn_loss(tape, vars, model, set, {.temperature = 0.5, .lambda = 0.7});
    };
  };
  const LossFunction support = loss_on(sets[0]);
  const LossFunction query = loss_on(sets[1]);
  const auto at = [](const Tensors& point, const LossFunction& loss) {
    return gradient_tape(point, loss, After::release);
  };
  const Tensors u = random_like(theta, seed, 2);
  const Tensors w = random_like(theta, seed, 3);

  GradientTape tape = gradient_tape(theta, support, After::keep);
  rows.push_back(row(arch, "gradient", derivative_error(dot(tape.gradient, u), [&](double h) {
                       return at(moved(theta, h, u), support).loss.item();
                     })));
  const Tensors hu = tape.tape.hessian_vector(tape.theta, u, After::keep);
  const Tensors hw = tape.tape.hessian_vector(tape.theta, w, After::keep);
  rows.push_back(row(arch, "hessian", derivative_error(dot(w, hu), [&](double h) {
                       return dot(at(moved(theta, h, u), support).gradient, w);
                     })));
  rows.push_back(row(arch, "symmetry", error(dot(w, hu), dot(u, hw)), 1e-10));
  const Tensors hg = tape.tape.hessian_vector(tape.theta, tape.gradient, After::release);

  const double length = std::sqrt(dot(tape.gradient, tape.gradient));
  MamlConfig config;
  // Where steps overshoot, the adapted parameters depend on the first ones in a way that no difference follows.
  config.inner_lr = std::min(0.002, 0.2 * length / std::sqrt(dot(hg, hg)));
  config.inner_factors.derivatives = true;
  for (std::size_t i = 0; i < theta.size(); ++i) config.inner_factors.group.push_back(i % 3);
  for (config.inner_steps = 1; config.inner_steps <= 3; ++config.inner_steps) {
    std::vector<std::vector<double>>& factors = config.inner_factors.factors;
    factors.push_back({0.5, 1, 1.5 - 0.2 * config.inner_steps});
    const MetaGradient meta = meta_gradient(theta, support, query, config);
    // With every rate of group l shifted by l + 1 times `shift`; a shift of 1 / length moves the parameters by about 1.
    const auto adapted_loss = [&](Tensors adapted, double shift) {
      for (std::size_t k = 0; k < factors.size(); ++k) {
        const Tensors gradient = at(adapted, support).gradient;
        for (std::size_t l = 0; l < 3; ++l) {
          Tensors part(theta.size());
          for (std::size_t i = l; i < part.size(); i += 3) part[i] = gradient[i];
          adapted = moved(adapted, -config.inner_lr * factors[k][l] - shift * static_cast<double>(l + 1), part);
        }
      }
      return at(adapted, query).loss.item();
    };
    rows.push_back(
        row(arch, fmt::format("meta-gradient K={}", config.inner_steps),
            derivative_error(dot(meta.gradient, u), [&](double h) { return adapted_loss(moved(theta, h, u), 0); })));
    double by_shift = 0;
    for (const std::vector<double>& d : meta.inner_lr_derivatives) by_shift += d[0] + 2 * d[1] + 3 * d[2];
    rows.push_back(row(arch, fmt::format("inner rates K={}", config.inner_steps),
                       derivative_error(by_shift / length, [&](double h) { return adapted_loss(theta, h / length); })));
  }
}

}  // namespace

std::vector<GradcheckRow> gradcheck_models(Backend& backend, std::uint64_t seed) {
  std::vector<GradcheckRow> rows;
  for (const std::string& arch : backbone_archs())
    if (arch != "r2plus1d_18") check_model(arch, backend, seed, rows);  // r2plus1d_10 has the same blocks
  return rows;
}

}  // namespace mcn
