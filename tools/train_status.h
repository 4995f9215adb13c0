// What a training run says of itself on its line, and what it warns of.
#pragma once

#include <deque>
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

/// One line with what is wrong and what to change.
std::string text_of(const TrainingWarning& warning);

}  // namespace mcn
