// What goes wrong in a training run, told from the figures of its iterations.
#pragma once

#include <deque>
#include <set>
#include <string>
#include <vector>

#include "meta/trainer.h"

namespace mcn {

struct TrainingWarning {
  enum class Kind : std::uint8_t {
    long_update,           ///< an update was longer than the weights of its group; value: the ratio
    inner_step_harms,      ///< L_Q(theta_K) - L_Q(theta) is above 0 on average; value: the mean difference
    outer_gradient_turned  ///< InnerStepMetrics::cosine is below .5 on average; value: the mean
  };
  Kind kind = Kind::long_update;
  std::string group;  ///< of long_update
  std::int64_t iteration = 0;
  double value = 0;
};

class TrainingWatch {
 public:
  /// What is wrong in this iteration and was not in the last one. A warning stands until it clears: an update of the
  /// group that is not too long; a mean difference, or a cosine, on the good side. Means are over the last 10
  /// iterations, or measurements of curvature, from the fifth on; a difference counts as above 0 beyond two standard
  /// errors. A value that is
  /// not a number is on no side.
  std::vector<TrainingWarning> look(const IterationMetrics& metrics);

 private:
  /// True if it is new.
  bool raise(const std::string& key, bool wrong);

  std::set<std::string> standing_;
  std::deque<double> differences_, cosines_;
};

}  // namespace mcn
