// What a training run says of itself on its line, and what it warns of.
#pragma once

#include <deque>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "meta/train/watch.h"

namespace mcn {

/// Means over the last iterations, in words.
class TrainStatus {
 public:
  /// videos: of the data set; batch: videos an iteration.
  TrainStatus(std::int64_t videos, std::int64_t batch) : videos_(videos), batch_(batch) {}

  void add(const IterationMetrics& metrics);
  /// "top-1 24.1% (chance 4.167%)  pairs 71% (50%)  loss 3.12  lr 0.003  gradient 4.03  12.3 clips/s  epoch 3.2": what
  /// varies much from batch to batch is the mean of the last 20 iterations.
  [[nodiscard]] std::string line() const;
  /// "InfoNCE top-1 24.1% (chance 4.167%), pairs 71% (chance 50%)"
  [[nodiscard]] std::string learned() const;

 private:
  [[nodiscard]] double mean(double (*value)(const IterationMetrics&)) const;

  std::int64_t videos_, batch_;
  std::deque<IterationMetrics> last_;
};

/// "stem 0.002, layer1 0.0018, heads 0.004"
std::string text_of(std::span<const InnerRate> rates);

/// How long a whole run takes, from its first iterations: those of the second order that are still to come count by
/// their arithmetic, measurements of the curvature by their products.
class TimeForecast {
 public:
  /// first: the run's first iteration.
  TimeForecast(const TrainConfig& config, std::int64_t first) : config_(config), next_(first) {}

  void add(const IterationMetrics& metrics);
  /// Seconds from the run's begin to its end. Nothing before three iterations of ten seconds together; the run's first
  /// one, which also waits for files to be opened, is not among them.
  /// beside: that the run takes for other things than iterations.
  [[nodiscard]] std::optional<double> seconds(double beside = 0) const;
  /// "about 12 min for 1000 iterations, by the first 14; those from 500 on are of second order and count 2.0
  /// times"; once, when it is known.
  [[nodiscard]] std::optional<std::string> line(double beside = 0);

 private:
  [[nodiscard]] double cost(std::int64_t iteration) const;

  TrainConfig config_;
  std::int64_t next_, measured_ = 0;
  double elapsed_ = 0, seconds_ = 0, costs_ = 0;  // the latter two without the run's first iteration
  double product_seconds_ = 0;                    // of a Hessian product of a measurement
  bool said_ = false;
};

/// "40 s", "12 min", "3 h 20 min", "2 d 4 h"
std::string duration(double seconds);

/// One line with what is wrong and what to change.
std::string text_of(const TrainingWarning& warning);

}  // namespace mcn
