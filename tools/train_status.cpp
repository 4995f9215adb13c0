// Words and numbers of the progress line.
#include "tools/train_status.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace mcn {

void TrainStatus::add(const IterationMetrics& metrics) {
  constexpr std::size_t most = 20;
  last_.push_back(metrics);
  if (last_.size() > most) last_.pop_front();
}

double TrainStatus::mean(double (*value)(const IterationMetrics&)) const {
  double sum = 0;
  for (const IterationMetrics& m : last_) sum += value(m);
  return sum / static_cast<double>(last_.size());
}

std::string TrainStatus::line() const {
  if (last_.empty()) return "";
  const IterationMetrics& now = last_.back();
  const Accuracies& accuracies = now.query_accuracies;
  std::string line = fmt::format("top-1 {:.3g}% (chance {:.3g}%)",
                                 100 * mean([](const IterationMetrics& m) { return m.query_accuracies.top1; }),
                                 100 * accuracies.top1_chance);
  if (accuracies.pairs)
    line += fmt::format("  pairs {:.3g}% (50%)",
                        100 * mean([](const IterationMetrics& m) { return m.query_accuracies.pairs.value_or(0); }));
  const double seconds = mean([](const IterationMetrics& m) { return m.seconds; });
  return line + fmt::format("  loss {:.4g}  lr {:.4g}  gradient {:.4g}  {:.4g} clips/s  epoch {:.4g}",
                            mean([](const IterationMetrics& m) { return m.query_loss; }), now.learning_rate,
                            now.gradient_norm, 2 * static_cast<double>(batch_) / seconds,
                            static_cast<double>((now.iteration + 1) * batch_) / static_cast<double>(videos_));
}

std::string TrainStatus::learned() const {
  if (last_.empty()) return "";
  const Accuracies& accuracies = last_.back().query_accuracies;
  std::string text = fmt::format("InfoNCE top-1 {:.3g}% (chance {:.3g}%)",
                                 100 * mean([](const IterationMetrics& m) { return m.query_accuracies.top1; }),
                                 100 * accuracies.top1_chance);
  if (accuracies.pairs)
    text += fmt::format(", pairs {:.3g}% (chance 50%)",
                        100 * mean([](const IterationMetrics& m) { return m.query_accuracies.pairs.value_or(0); }));
  return text;
}

std::string text_of(std::span<const InnerRate> rates) {
  std::string text;
  for (const InnerRate& rate : rates)
    text += fmt::format("{}{} {:.4g}", text.empty() ? "" : ", ", rate.name, rate.value);
  return text;
}

// Passes over the network, of which a gradient has three and a Hessian product six.
double TimeForecast::cost(std::int64_t iteration) const {
  constexpr double gradient = 3, hessian = 6;
  const double steps = config_.method == Method::mcn ? config_.maml.inner_steps : 0;
  const bool second_order = config_.maml.second_order && iteration >= config_.first_order_iterations;
  const double again = config_.maml.inner_tape == InnerTape::recompute ? gradient : 0;
  return gradient + steps * (gradient + (second_order ? hessian + again : 0));
}

void TimeForecast::add(const IterationMetrics& metrics) {
  const double of_curvature = metrics.curvature ? metrics.curvature->seconds : 0;
  // The first measurement of a run from its beginning has four times as many products.
  if (metrics.curvature)
    product_seconds_ =
        of_curvature / ((metrics.iteration == 0 ? 4 : 1) * static_cast<double>(config_.curvature.products));
  elapsed_ += metrics.seconds;
  if (measured_++ > 0) {
    seconds_ += metrics.seconds - of_curvature;
    costs_ += cost(metrics.iteration);
  }
  next_ = metrics.iteration + 1;
}

std::optional<double> TimeForecast::seconds(double beside) const {
  constexpr double soonest = 10;
  if (measured_ < 4 || !(seconds_ >= soonest)) return {};
  const std::int64_t left = std::max<std::int64_t>(0, config_.iterations - next_);
  const std::int64_t first_order = std::clamp<std::int64_t>(config_.first_order_iterations - next_, 0, left);
  const double costs = static_cast<double>(first_order) * cost(next_) +
                       static_cast<double>(left - first_order) * cost(config_.iterations);
  const double measurements =
      config_.curvature.every > 0 ? static_cast<double>(left) / static_cast<double>(config_.curvature.every) : 0;
  return beside + elapsed_ + seconds_ / costs_ * costs + measurements * config_.curvature.products * product_seconds_;
}

std::optional<std::string> TimeForecast::line(double beside) {
  const std::optional<double> all = said_ ? std::nullopt : seconds(beside);
  if (!all) return {};
  said_ = true;
  std::string text = fmt::format("about {} for {} iterations, by the first {}", duration(*all),
                                 config_.iterations - (next_ - measured_), measured_);
  const std::int64_t turn = config_.first_order_iterations;
  if (config_.method == Method::mcn && config_.maml.second_order && turn > next_ && turn < config_.iterations)
    text += fmt::format("; from iteration {} on they are of second order and count {:.1f} times", turn,
                        cost(turn) / cost(turn - 1));
  return text;
}

std::string duration(double seconds) {
  const auto s = std::max<std::int64_t>(0, std::llround(seconds));
  const std::int64_t minutes = (s + 30) / 60, hours = (s + 1800) / 3600;
  if (s < 100) return fmt::format("{} s", s);
  if (minutes < 120) return fmt::format("{} min", minutes);
  if (hours < 48) return fmt::format("{} h {} min", minutes / 60, minutes % 60);
  return fmt::format("{} d {} h", hours / 24, hours % 24);
}

std::string text_of(const TrainingWarning& warning) {
  switch (warning.kind) {
    case TrainingWarning::Kind::long_update:
      return fmt::format(
          "warning: iteration {} moved {} by {:.3g} times its own length; a lower --lr, a longer --warmup or "
          "--clip-grad makes shorter steps",
          warning.iteration, warning.group, warning.value);
    case TrainingWarning::Kind::inner_step_harms:
      return fmt::format(
          "warning: iteration {}: the inner step raises the loss on Q, by {:.3g} on average over the last "
          "measurements; "
          "a smaller --inner-lr, or auto, does less harm",
          warning.iteration, warning.value);
    case TrainingWarning::Kind::outer_gradient_turned:
      return fmt::format(
          "warning: iteration {}: the second-order term turns the outer gradient away from the gradient on Q, to a "
          "cosine of {:.3g}; alpha1 is too large for the curvature: a smaller --inner-lr, or auto",
          warning.iteration, warning.value);
  }
  return "";
}

}  // namespace mcn
