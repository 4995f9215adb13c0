// Means and the percentile bootstrap.
#include "meta/evaluate/measure.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "engine/random.h"
#include "kernels/error.h"
#include "kernels/parallel.h"

namespace mcn {
namespace {

constexpr std::int64_t samples = 2000;

double mean(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// Linear between the two nearest, as numpy.percentile.
double quantile(std::span<const double> sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace

Interval bootstrap_interval(std::span<const double> scores, std::uint64_t seed) {
  if (scores.empty()) fail("bootstrap", "expected scores, got none");
  const auto n = static_cast<std::int64_t>(scores.size());
  std::array<double, samples> means{};
  run_parallel(samples, [&](std::int64_t sample, std::int64_t) {
    Philox draws(seed, hash_stream(sample));
    double sum = 0;
    for (std::int64_t i = 0; i < n; ++i) sum += scores[static_cast<std::size_t>(draws.below(n))];
    means[static_cast<std::size_t>(sample)] = sum / static_cast<double>(n);
  });
  std::sort(means.begin(), means.end());
  return {quantile(means, 0.025), quantile(means, 0.975)};
}

Summary summarize(const Measure& measure, std::uint64_t seed) {
  const Interval interval = bootstrap_interval(measure.scores, seed);
  return {mean(measure.scores), interval.low, interval.high, mean(measure.chance),
          static_cast<std::int64_t>(measure.scores.size())};
}

Summary summarize(const Measure& measure, std::span<const std::int64_t> labels, std::int64_t label,
                  std::uint64_t seed) {
  Measure of_class;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] != label) continue;
    of_class.scores.push_back(measure.scores[i]);
    of_class.chance.push_back(measure.chance[i]);
  }
  return summarize(of_class, seed);
}

std::vector<std::int64_t> confusion_counts(std::span<const std::int64_t> labels, std::span<const std::int64_t> answers,
                                           std::int64_t classes) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(classes * classes));
  for (std::size_t i = 0; i < labels.size(); ++i)
    ++counts.at(static_cast<std::size_t>(labels[i] * classes + answers[i]));
  return counts;
}

}  // namespace mcn
