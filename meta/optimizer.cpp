// Schedules and the update of a whole list of parameters.
#include "meta/optimizer.h"

#include <cmath>
#include <numbers>

namespace mcn {

double learning_rate(const OptimizerConfig& config, std::int64_t iteration, std::int64_t total) {
  if (iteration < config.warmup)
    return config.lr * static_cast<double>(iteration + 1) / static_cast<double>(config.warmup);
  switch (config.schedule) {
    case ScheduleKind::constant:
      return config.lr;
    case ScheduleKind::cosine: {
      const double done = static_cast<double>(iteration - config.warmup) /
                          static_cast<double>(std::max<std::int64_t>(1, total - config.warmup));
      return config.lr * 0.5 * (1 + std::cos(std::numbers::pi * std::min(1.0, done)));
    }
    case ScheduleKind::multistep: {
      double lr = config.lr;
      for (const std::int64_t milestone : config.milestones)
        if (iteration >= milestone) lr *= config.gamma;
      return lr;
    }
  }
  fail("optimizer", "unknown schedule");
}

Optimizer::Optimizer(const OptimizerConfig& config, const ParameterSpecs& specs) : config_(config) {
  const auto check = [](const char* what, double value, double low, double high) {
    if (!(value >= low && value <= high)) fail("optimizer", "{} must be in [{}, {}], got {}", what, low, high, value);
  };
  check("learning rate", config.lr, 0, 1e6);
  check("momentum", config.momentum, 0, 1);
  check("beta2", config.beta2, 0, 1);
  check("weight decay", config.weight_decay, 0, 1e6);
  check("gamma", config.gamma, 0, 1e6);
  if (config.warmup < 0) fail("optimizer", "warm-up must not be negative, got {}", config.warmup);
  for (const ParameterSpec& spec : specs) decay_.push_back(spec.decays ? config.weight_decay : 0);
  first_.resize(specs.size());
  if (config.kind == OptimizerKind::adamw) second_.resize(specs.size());
}

void Optimizer::step(Tensors& values, const Tensors& gradients, double lr) {
  if (values.size() != decay_.size() || gradients.size() != decay_.size())
    fail("optimizer", "{} parameters and {} gradients, expected {}", values.size(), gradients.size(), decay_.size());
  ++steps_;
  std::vector<double> decay;
  std::vector<ConstView> g;
  std::vector<View> p, m, v;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!gradients[i]) continue;
    const auto moment = [&](Tensor& t) {
      if (!t) t = Tensor::full(values[i].backend(), values[i].dtype(), values[i].shape(), 0);
      return t.view();
    };
    decay.push_back(decay_[i]);
    g.push_back(gradients[i]);
    p.push_back(values[i]);
    m.push_back(moment(first_[i]));
    if (config_.kind == OptimizerKind::adamw) v.push_back(moment(second_[i]));
  }
  if (p.empty()) return;
  Backend& backend = values.front().backend();
  if (config_.kind == OptimizerKind::sgd)
    backend.run(kernel::SgdStep{
        .params = {lr, config_.momentum}, .weight_decay = decay, .gradients = g, .parameters = p, .buffers = m});
  else
    backend.run(kernel::AdamWStep{.params = {lr, config_.momentum, config_.beta2, 1e-8, steps_},
                                  .weight_decay = decay,
                                  .gradients = g,
                                  .parameters = p,
                                  .first_moments = m,
                                  .second_moments = v});
}

void Optimizer::restore(std::vector<Tensors> moments, std::int64_t steps) {
  const auto lists = state();
  if (moments.size() != lists.size() || steps < 0)
    fail<DataError>("optimizer", "checkpoint has {} lists of moments of {} updates, expected {} of at least 0",
                    moments.size(), steps, lists.size());
  for (std::size_t i = 0; i < decay_.size(); ++i)
    for (const Tensors& list : moments)
      if (list.size() != decay_.size() || bool(list[i]) != bool(moments.front()[i]) || (list[i] && steps == 0))
        fail<DataError>("optimizer", "checkpoint has moments of parameter {} that do not fit {} updates", i, steps);
  for (std::size_t l = 0; l < lists.size(); ++l) *lists[l].second = std::move(moments[l]);
  steps_ = steps;
}

std::vector<std::pair<std::string, Tensors*>> Optimizer::state() {
  if (config_.kind == OptimizerKind::sgd) return {{"momentum", &first_}};
  return {{"m", &first_}, {"v", &second_}};
}

}  // namespace mcn
