// Newton's method with conjugate gradients (Nocedal and Wright, "Numerical optimization", 2006, algorithm 7.1).
#include "meta/evaluate/linear_probe.h"

#include <algorithm>
#include <cmath>

#include "engine/ops.h"
#include "engine/tape.h"
#include "kernels/error.h"

namespace mcn {
namespace {

constexpr int most_steps = 50, most_products = 250, most_halvings = 20;

double norm(const Tensors& x) { return std::sqrt(dot(x, x)); }

Tensors scaled(double alpha, const Tensors& x) {
  Tensors out(x.size());
  axpy(alpha, x, out);
  return out;
}

/// The regularised loss at one place, and what it takes to step from there.
class Loss {
 public:
  Loss(const Tensor& features, const Tensor& labels, const Tensors& theta, double decay)
      : decay_(decay), weight_(theta[0]), vars_(tape_.variables(theta)) {
    const Var logits = tape_.apply(ops::linear(), {tape_.constant(features), vars_[0], vars_[1]});
    loss_ = tape_.apply(ops::cross_entropy(labels), {logits});
    value_ = loss_.value.item() + 0.5 * decay * dot({weight_}, {weight_});
  }
  [[nodiscard]] double value() const { return value_; }
  Tensors gradient() {
    Tensors g = tape_.backward(loss_, vars_, After::keep);
    axpy(decay_, {weight_, {}}, g);
    return g;
  }
  Tensors hessian_product(const Tensors& v) {
    Tensors product = tape_.hessian_vector(vars_, v, After::keep);
    axpy(decay_, {v[0], {}}, product);
    return product;
  }

 private:
  double decay_, value_ = 0;
  Tensor weight_;
  Tape tape_;
  std::vector<Var> vars_;
  Var loss_;
};

// d of H d = -g, as exactly as the distance to the minimum deserves.
Tensors newton_step(Loss& loss, const Tensors& g, double first_norm, const std::function<void()>& between) {
  const double g_norm = norm(g);
  const double target = std::min(0.1, std::sqrt(g_norm / first_norm)) * g_norm;
  Tensors d(g.size()), residual = g, direction = scaled(-1, g);
  double squares = dot(residual, residual);
  for (int i = 0; i < most_products && std::sqrt(squares) > target; ++i) {
    if (between) between();
    const Tensors product = loss.hessian_product(direction);
    const double curvature = dot(direction, product);
    // The loss is convex: what is not above 0 is rounding.
    if (!(curvature > 0)) break;
    const double length = squares / curvature;
    axpy(length, direction, d);
    axpy(length, product, residual);
    const double next = dot(residual, residual);
    Tensors turned = scaled(-1, residual);
    axpy(next / squares, direction, turned);
    direction = std::move(turned);
    squares = next;
  }
  return d;
}

}  // namespace

LinearProbe::LinearProbe(const Embedding& train, const LinearProbeConfig& config, Backend& backend)
    : classes_(train.labels) {
  std::sort(classes_.begin(), classes_.end());
  classes_.erase(std::unique(classes_.begin(), classes_.end()), classes_.end());
  if (classes_.size() < 2) fail("linear probe", "expected videos of two classes or more, got {}", classes_.size());
  const auto features = static_cast<std::size_t>(train.features);
  const auto count = static_cast<double>(train.rows());
  mean_.assign(features, 0);
  scale_.assign(features, 0);
  for (std::int64_t i = 0; i < train.rows(); ++i)
    for (std::size_t f = 0; f < features; ++f) mean_[f] += train.row(i)[f] / count;
  for (std::int64_t i = 0; i < train.rows(); ++i)
    for (std::size_t f = 0; f < features; ++f) scale_[f] += std::pow(train.row(i)[f] - mean_[f], 2) / count;
  // A feature that is the same in all videos tells nothing.
  for (std::size_t f = 0; f < features; ++f)
    scale_[f] = std::sqrt(scale_[f]) > 1e-6 * std::abs(mean_[f]) ? 1 / std::sqrt(scale_[f]) : 0;

  const Tensor x = standardized(train, backend, config.dtype);
  if (!mcn::all_finite(backend, x))
    fail<NonFiniteError>("linear probe", "the training videos' features are not all finite");
  std::vector<std::int64_t> rows;
  for (const std::int64_t label : train.labels)
    rows.push_back(std::lower_bound(classes_.begin(), classes_.end(), label) - classes_.begin());
  const Tensor labels = Tensor::from(backend, std::span<const std::int64_t>(rows));
  const auto classes = static_cast<std::int64_t>(classes_.size());
  theta_ = {Tensor::full(backend, config.dtype, {classes, train.features}, 0),
            Tensor::full(backend, config.dtype, {classes}, 0)};

  auto loss = std::make_unique<Loss>(x, labels, theta_, config.weight_decay);
  double first_norm = 0;
  for (int step = 0; step < most_steps; ++step) {
    const Tensors g = loss->gradient();
    if (step == 0) first_norm = norm(g);
    if (!(norm(g) > config.tolerance * first_norm)) break;
    const Tensors d = newton_step(*loss, g, first_norm, config.between_passes);
    const double slope = dot(g, d);
    bool lower = false;
    double length = 1;
    for (int halving = 0; halving < most_halvings && !lower; ++halving, length /= 2) {
      Tensors theta = theta_;
      axpy(length, d, theta);
      auto there = std::make_unique<Loss>(x, labels, theta, config.weight_decay);
      lower = there->value() <= loss->value() + 1e-4 * length * slope;
      if (!lower) continue;
      theta_ = std::move(theta);
      loss = std::move(there);
    }
    // As far as the dtype's rounding lets it see.
    if (!lower) break;
  }
  loss_ = loss->value();
}

Tensor LinearProbe::standardized(const Embedding& e, Backend& backend, DType dtype) const {
  std::vector<double> values(e.values.size());
  const auto features = static_cast<std::size_t>(e.features);
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = (e.values[i] - mean_[i % features]) * scale_[i % features];
  return Tensor::from(backend, dtype, {e.rows(), e.features}, std::span<const double>(values));
}

std::vector<std::int64_t> LinearProbe::predict(const Embedding& videos) const {
  if (videos.features != static_cast<std::int64_t>(mean_.size()))
    fail("linear probe", "trained on {} features, got {}", mean_.size(), videos.features);
  std::vector<std::int64_t> result;
  if (videos.rows() == 0) return result;
  Tape tape;
  const Tensor x = standardized(videos, weight().backend(), weight().dtype());
  const std::vector<double> logits =
      tape.apply(ops::linear(), {tape.constant(x), tape.constant(weight()), tape.constant(bias())}).value.to_doubles();
  if (!std::ranges::all_of(logits, [](double v) { return std::isfinite(v); }))
    fail<NonFiniteError>("linear probe", "what it makes of the videos' features is not finite");
  const auto classes = static_cast<std::ptrdiff_t>(classes_.size());
  for (auto row = logits.begin(); row != logits.end(); row += classes)
    result.push_back(classes_[static_cast<std::size_t>(std::max_element(row, row + classes) - row)]);
  return result;
}

}  // namespace mcn
