// What a protocol measures: a score of every test video, their mean, its interval, and what chance would give.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace mcn {

/// Of each test video: its score in [0, 1], and the score's expectation where the features say nothing.
struct Measure {
  std::vector<double> scores, chance;
};

struct Interval {
  double low = 0, high = 0;
};

/// 95% percentile bootstrap interval of the mean (Efron and Tibshirani, "An introduction to the bootstrap", 1993):
/// from the 2.5th to the 97.5th percentile of the means of 2,000 samples of the scores, drawn with replacement. A
/// function of scores and seed. UsageError without scores.
Interval bootstrap_interval(std::span<const double> scores, std::uint64_t seed);

/// Means over test videos, and the interval of the score's.
struct Summary {
  double value = 0, low = 0, high = 0, chance = 0;
  std::int64_t videos = 0;
};
Summary summarize(const Measure& measure, std::uint64_t seed);
/// The same over the videos of one class alone; labels: one a test video.
Summary summarize(const Measure& measure, std::span<const std::int64_t> labels, std::int64_t label, std::uint64_t seed);

/// classes x classes counts; row: true class, column: answer. Labels and answers, one a video, are from 0 to classes
/// - 1.
std::vector<std::int64_t> confusion_counts(std::span<const std::int64_t> labels, std::span<const std::int64_t> answers,
                                           std::int64_t classes);

}  // namespace mcn
