// Videos and a configuration on which training takes no time.
#pragma once

#include "engine/device.h"
#include "meta/trainer.h"
#include "tests/temporary_folder.h"

namespace mcn::test {

/// What all tests of the program draw from.
inline const ClipSource& videos() {
  static const ClipSource clips = random_clips(12);
  return clips;
}

/// Some seconds of work at most.
inline TrainConfig small_config() {
  TrainConfig c;
  c.model = {{"r2plus1d_10", 0.06, 0}, 16};
  c.loader.batch = 8;
  c.loader.clip = {4, 2};
  c.loader.augment.size = 24;
  c.loader.augment.resize_height = 28;
  c.loader.augment.resize_width = 34;
  c.loader.seed = 3;
  c.bank.size = 6;
  c.iterations = 6;
  return c;
}

/// Parameters and running statistics.
inline std::vector<std::vector<double>> values(const Trainer& trainer) {
  std::vector<std::vector<double>> out;
  for (const Tensor& t : trainer.state().theta) out.push_back(t.to_doubles());
  for (const RunningStatistics& r : trainer.state().running) {
    out.push_back(r.mean.to_doubles());
    out.push_back(r.variance.to_doubles());
  }
  return out;
}

}  // namespace mcn::test
