// A data set and a configuration on which training takes no time.
#pragma once

#include "data/synth.h"
#include "engine/device.h"
#include "meta/trainer.h"
#include "tests/temporary_folder.h"

namespace mcn::test {

/// One data set for all tests of the program.
inline const Dataset& videos() {
  static const TemporaryFolder folder;
  static const Dataset dataset = [] {
    SynthConfig config;
    config.out = folder.file("videos");
    config.classes = 3;
    config.train = 12;
    config.test = 6;
    config.frames = 12;
    config.height = 40;
    config.width = 48;
    write_synthetic_dataset(config);
    return load_ucf101(config.out, 1, Subset::train);
  }();
  return dataset;
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

}  // namespace mcn::test
