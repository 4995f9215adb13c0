// The inner steps, and the way back through them.
#include "meta/maml.h"

#include <algorithm>
#include <cmath>

#include "kernels/range.h"

namespace mcn {
namespace {

void check(const MamlConfig& config, std::size_t parameters) {
  if (config.inner_steps < 0) fail("maml", "inner steps must not be negative, got {}", config.inner_steps);
  if (!std::isfinite(config.inner_lr)) fail("maml", "inner learning rate must be finite, got {}", config.inner_lr);
  if (!config.inner.empty() && config.inner.size() != parameters)
    fail("maml", "expected whether the inner steps move each of {} parameters, got {} entries", parameters,
         config.inner.size());
  const InnerFactors& f = config.inner_factors;
  if (f.factors.empty() && !f.derivatives) return;
  if (std::ssize(f.factors) != config.inner_steps || f.group.size() != parameters)
    fail("maml", "expected factors of {} inner steps and the groups of {} parameters, got {} and {}",
         config.inner_steps, parameters, f.factors.size(), f.group.size());
  for (const std::vector<double>& row : f.factors) {
    if (row.size() != f.factors.front().size() ||
        !std::ranges::all_of(f.group, [&](std::size_t g) { return g < row.size(); }))
      fail("maml", "expected a factor for every group of parameters in each inner step");
    for (const double factor : row)
      if (!std::isfinite(factor)) fail("maml", "a factor of the inner learning rate must be finite, got {}", factor);
  }
}

// A_k P v / alpha1.
Tensors inner_scaled(Tensors v, const MamlConfig& config, int k) {
  v = inner_part(std::move(v), config.inner);
  const InnerFactors& f = config.inner_factors;
  if (f.factors.empty()) return v;
  for (std::size_t i = 0; i < v.size(); ++i) {
    if (!v[i]) continue;
    Tensor scaled = Tensor::like(v[i]);
    scaled.backend().run(
        kernel::Scale{.alpha = f.factors[static_cast<std::size_t>(k)][f.group[i]], .x = v[i], .y = scaled});
    v[i] = scaled;
  }
  return v;
}

// theta - A_k P g; parameters that do not move are shared with theta.
Tensors inner_step(const Tensors& theta, const MamlConfig& config, int k, const Tensors& gradient) {
  Tensors next = theta;
  axpy(-config.inner_lr, inner_scaled(gradient, config, k), next);
  return next;
}

// -weight <v, g>_l for every group l.
std::vector<double> derivatives_by_rates(const Tensors& v, const Tensors& g, const InnerFactors& factors,
                                         double weight) {
  std::vector<double> result;
  for (std::size_t l = 0; l < factors.factors.front().size(); ++l) {
    Tensors part = g;
    for (std::size_t i = 0; i < part.size(); ++i)
      if (factors.group[i] != l) part[i] = Tensor();
    result.push_back(-weight * dot(part, v));
  }
  return result;
}

// Names the first value that is not finite, for a loss already known not to be: records it again, watching.
std::string first_non_finite(const Tensors& theta, const LossFunction& loss, std::span<const std::string> names) {
  const auto name = [&](std::size_t i) { return i < names.size() ? names[i] : fmt::format("parameter {}", i); };
  if (const auto bad = first_not_finite(theta)) return name(*bad);
  Tape tape;
  tape.watch_finite();
  const std::vector<Var> vars = tape.variables(theta);
  loss(tape, vars);
  const Tape::NonFinite& found = tape.first_non_finite();
  std::string text = fmt::format("the output {} of {}", found.shape.str(), found.op);
  for (const int id : found.inputs)
    if (id >= 0 && static_cast<std::size_t>(id) < theta.size())
      return fmt::format("{} with {}", text, name(static_cast<std::size_t>(id)));
  return text;
}

// theta_k after that many inner steps.
Tensors adapted(const Tensors& theta, const LossFunction& support, const MamlConfig& config, int steps) {
  Tensors result = theta;
  for (int k = 0; k < steps; ++k)
    result = inner_step(result, config, k, gradient_tape(result, support, After::release, config.inner).gradient);
  return result;
}

}  // namespace

Tensors inner_part(Tensors v, const std::vector<bool>& inner) {
  for (std::size_t i = 0; i < inner.size(); ++i)
    if (!inner[i]) v[i] = Tensor();
  return v;
}

GradientTape gradient_tape(const Tensors& theta, const LossFunction& loss, After after,
                           const std::vector<bool>& wanted) {
  GradientTape result;
  for (std::size_t i = 0; i < theta.size(); ++i)
    result.theta.push_back(wanted.empty() || wanted[i] ? result.tape.variable(theta[i])
                                                       : result.tape.constant(theta[i]));
  const Var value = [&] {
    const Range range("forward");
    return loss(result.tape, result.theta);
  }();
  result.loss = value.value;
  result.gradient = result.tape.backward(value, result.theta, after);
  return result;
}

PendingMetaGradient start_meta_gradient(const Tensors& theta, const LossFunction& support, const LossFunction& query,
                                        const MamlConfig& config, const LossFunction& first_support) {
  check(config, theta.size());
  const int steps = config.inner_steps;
  const bool keep_tapes = config.second_order && config.inner_tape == InnerTape::keep;
  const bool derivatives = config.inner_factors.derivatives;

  PendingMetaGradient result;
  std::vector<Tensors> thetas{theta};  // theta_0 .. theta_K; all are needed to record again, else only the last
  std::vector<GradientTape> tapes;     // of theta_0 .. theta_{K-1}, if kept
  Tensors first_gradient;              // g_S(theta_0)
  std::vector<Tensors> gradients;      // g_S(theta_k), if no tape is there later that has it
  std::size_t kept_bytes = 0;
  for (int k = 0; k < steps; ++k) {
    const Range range(fmt::format("inner step {}", k));
    const LossFunction& loss = k == 0 && first_support ? first_support : support;
    const bool outer_needs_it = k == 0 && config.objective == OuterObjective::support_and_query;
    // A Hessian product needs the rows of all parameters, the step itself those that it moves.
    const bool inner_part_alone = !keep_tapes && !outer_needs_it;
    GradientTape step = gradient_tape(thetas.back(), loss, keep_tapes ? After::keep : After::release,
                                      inner_part_alone ? config.inner : std::vector<bool>{});
    result.support_losses.push_back(step.loss);
    thetas.push_back(inner_step(thetas.back(), config, k, step.gradient));
    if (outer_needs_it) first_gradient = step.gradient;
    if (derivatives && !config.second_order) gradients.push_back(step.gradient);
    if (keep_tapes) {
      if (!derivatives) step.gradient.clear();
      kept_bytes += step.tape.saved_bytes();
      tapes.push_back(std::move(step));
    } else if (!config.second_order) {
      thetas.erase(thetas.begin(), thetas.end() - 1);
    }
  }
  if (steps == 0 && config.objective == OuterObjective::support_and_query) {
    GradientTape step = gradient_tape(theta, first_support ? first_support : support, After::release);
    result.support_losses.push_back(step.loss);
    first_gradient = std::move(step.gradient);
  }

  GradientTape outer = [&] {
    const Range range("outer step");
    return gradient_tape(thetas.back(), query, After::release);
  }();
  result.query_loss = outer.loss;
  result.tape_bytes = kept_bytes;
  Tensors v = std::move(outer.gradient);
  result.query_gradient = v;
  result.inner_lr_derivatives.resize(derivatives ? static_cast<std::size_t>(steps) : 0);
  const auto derive = [&](int k, const Tensors& gradient) {
    const double weight = config.objective == OuterObjective::support_and_query ? config.beta : 1;
    result.inner_lr_derivatives[static_cast<std::size_t>(k)] =
        derivatives_by_rates(v, inner_part(gradient, config.inner), config.inner_factors, weight);
  };
  for (std::size_t k = 0; k < gradients.size(); ++k) derive(static_cast<int>(k), gradients[k]);
  if (config.second_order) {
    for (int k = steps - 1; k >= 0; --k) {
      const Range range(fmt::format("Hessian product {}", k));
      thetas.pop_back();
      if (!keep_tapes) {
        tapes.push_back(gradient_tape(thetas.back(), support, After::keep));
        result.tape_bytes = std::max(result.tape_bytes, tapes.back().tape.saved_bytes());
      }
      GradientTape& step = tapes.back();
      if (derivatives) derive(k, step.gradient);
      step.gradient.clear();
      const Tensors hv = step.tape.hessian_vector(step.theta, inner_scaled(v, config, k), After::release);
      axpy(-config.inner_lr, hv, v);
      tapes.pop_back();
    }
  }
  result.query_pulled_back = v;
  if (config.objective == OuterObjective::support_and_query) {
    Tensors total = std::move(first_gradient);
    axpy(config.beta, v, total);
    v = std::move(total);
  }
  result.gradient = std::move(v);
  return result;
}

MetaGradient finish_meta_gradient(const PendingMetaGradient& pending, const Tensors& theta, const LossFunction& support,
                                  const LossFunction& query, const MamlConfig& config) {
  const auto checked = [&](const Tensor& loss, const LossFunction& record, int steps) {
    const double value = loss.item();
    if (!std::isfinite(value))
      fail<NonFiniteError>("loss", "is {}; the first tensor that is not finite is {}", value,
                           first_non_finite(adapted(theta, support, config, steps), record, config.parameter_names));
    return value;
  };
  MetaGradient result;
  for (const Tensor& loss : pending.support_losses)
    result.support_losses.push_back(checked(loss, support, static_cast<int>(result.support_losses.size())));
  result.query_loss = checked(pending.query_loss, query, config.inner_steps);
  result.gradient = pending.gradient;
  result.query_gradient = pending.query_gradient;
  result.query_pulled_back = pending.query_pulled_back;
  result.inner_lr_derivatives = pending.inner_lr_derivatives;
  result.tape_bytes = pending.tape_bytes;
  return result;
}

MetaGradient meta_gradient(const Tensors& theta, const LossFunction& support, const LossFunction& query,
                           const MamlConfig& config, const LossFunction& first_support) {
  return finish_meta_gradient(start_meta_gradient(theta, support, query, config, first_support), theta, support, query,
                              config);
}

}  // namespace mcn
