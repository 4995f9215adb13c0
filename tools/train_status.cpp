// Words and numbers of the progress line.
#include "tools/train_status.h"

#include <fmt/format.h>

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
