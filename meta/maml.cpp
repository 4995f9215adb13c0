// The inner steps, and the way back through them.
#include "meta/maml.h"

#include <algorithm>
#include <cmath>

#include "engine/range.h"

namespace mcn {
namespace {

// theta - alpha P g; parameters that do not move are shared with theta.
Tensors inner_step(const Tensors& theta, const MamlConfig& config, const Tensors& gradient) {
  Tensors next = theta;
  axpy(-config.inner_lr, inner_part(gradient, config.inner), next);
  return next;
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
    result = inner_step(result, config, gradient_tape(result, support, After::release, config.inner).gradient);
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
  const int steps = config.inner_steps;
  const double alpha = config.inner_lr;
  if (steps < 0) fail("maml", "inner steps must not be negative, got {}", steps);
  if (!std::isfinite(alpha)) fail("maml", "inner learning rate must be finite, got {}", alpha);
  if (!config.inner.empty() && config.inner.size() != theta.size())
    fail("maml", "expected whether the inner steps move each of {} parameters, got {} entries", theta.size(),
         config.inner.size());
  const bool keep_tapes = config.second_order && config.inner_tape == InnerTape::keep;

  PendingMetaGradient result;
  std::vector<Tensors> thetas{theta};  // theta_0 .. theta_K; all are needed to record again, else only the last
  std::vector<GradientTape> tapes;     // of theta_0 .. theta_{K-1}, if kept
  Tensors first_gradient;              // g_S(theta_0)
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
    thetas.push_back(inner_step(thetas.back(), config, step.gradient));
    if (outer_needs_it) first_gradient = step.gradient;
    if (keep_tapes) {
      step.gradient.clear();
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
  if (config.second_order) {
    for (int k = steps - 1; k >= 0; --k) {
      const Range range(fmt::format("Hessian product {}", k));
      thetas.pop_back();
      if (!keep_tapes) {
        tapes.push_back(gradient_tape(thetas.back(), support, After::keep));
        tapes.back().gradient.clear();
        result.tape_bytes = std::max(result.tape_bytes, tapes.back().tape.saved_bytes());
      }
      GradientTape& step = tapes.back();
      const Tensors hv = step.tape.hessian_vector(step.theta, inner_part(v, config.inner), After::release);
      axpy(-alpha, hv, v);
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
  result.tape_bytes = pending.tape_bytes;
  return result;
}

MetaGradient meta_gradient(const Tensors& theta, const LossFunction& support, const LossFunction& query,
                           const MamlConfig& config, const LossFunction& first_support) {
  return finish_meta_gradient(start_meta_gradient(theta, support, query, config, first_support), theta, support, query,
                              config);
}

}  // namespace mcn
