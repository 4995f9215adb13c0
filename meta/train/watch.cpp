// Thresholds, and which warnings stand.
#include "meta/train/watch.h"

#include <cmath>

namespace mcn {

bool TrainingWatch::raise(const std::string& key, bool wrong) {
  if (wrong) return standing_.insert(key).second;
  standing_.erase(key);
  return false;
}

std::vector<TrainingWarning> TrainingWatch::look(const IterationMetrics& metrics) {
  using Kind = TrainingWarning::Kind;
  std::vector<TrainingWarning> warnings;
  const auto check = [&](Kind kind, const std::string& group, double value, bool wrong) {
    if (raise(std::to_string(static_cast<int>(kind)) + group, wrong))
      warnings.push_back({kind, group, metrics.iteration, value});
  };
  for (const GroupUpdate& update : metrics.updates)
    check(Kind::long_update, update.group, update.ratio, update.ratio > 1);
  constexpr std::size_t most = 10, least = 5;
  const auto keep = [](std::deque<double>& values, double value) {
    values.push_back(value);
    if (values.size() > most) values.pop_front();
    double mean = 0;
    for (const double v : values) mean += v / static_cast<double>(values.size());
    return mean;
  };
  if (metrics.inner && std::isfinite(metrics.inner->cosine)) {
    const double mean = keep(cosines_, metrics.inner->cosine);
    if (cosines_.size() >= least) check(Kind::outer_gradient_turned, "", mean, mean < 0.5);
  }
  if (!metrics.curvature) return warnings;
  const double difference = metrics.query_loss - metrics.curvature->query_loss_at_theta;
  if (!std::isfinite(difference)) return warnings;
  const double mean = keep(differences_, difference);
  if (differences_.size() < least) return warnings;
  const auto n = static_cast<double>(differences_.size());
  double squares = 0;
  for (const double d : differences_) squares += (d - mean) * (d - mean);
  check(Kind::inner_step_harms, "", mean, mean > 2 * std::sqrt(squares / (n - 1) / n));
  return warnings;
}

}  // namespace mcn
