// The settings of `mcn train`: one command-line option, with the same name in a TOML file, for each.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "meta/trainer.h"
#include "tools/dataset_options.h"
#include "tools/device_options.h"

namespace mcn {

/// Iterations [first, last) that a profiler records.
struct ProfileSteps {
  std::int64_t first = 0, last = 0;
};

struct TrainOptions {
  TrainConfig config;
  DeviceOptions device;
  DatasetConfig dataset;
  std::string config_file, out, resume, init;
  bool strict = true;  ///< whether `init` must have just what the network needs
  std::int64_t checkpoint_every = 100;
  std::optional<ProfileSteps> profile;
  bool dry_run = false;
};

/// Adds every option to a command; values land in `options`, which must outlive the parse.
void add_train_options(CLI::App& command, TrainOptions& options);

/// Sets the options that the command line left alone from the TOML file that --config names, checks that nothing
/// required is missing, and puts the data set's format in the place of "auto". DataError for a file that cannot be
/// read, and as detect_format; UsageError, naming file and key, for a key that is no option or a value that the option
/// refuses, or that could not be read again from the settings that a run saves.
void complete_train_options(CLI::App& command, TrainOptions& options);

}  // namespace mcn
