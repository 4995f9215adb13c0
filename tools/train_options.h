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

/// A part of training: so many iterations, or a share of all of them.
struct IterationsOrShare {
  double amount = 0;
  bool percent = false;

  [[nodiscard]] std::int64_t of(std::int64_t iterations) const;
  [[nodiscard]] std::string text() const;
};

/// "200" or "5%"; nothing for another text, a negative number or a share above 100%.
std::optional<IterationsOrShare> parse_iterations_or_share(const std::string& text);

struct TrainOptions {
  TrainConfig config;
  IterationsOrShare warmup{5, true}, first_order_for;
  std::int64_t epochs = 0;  ///< 0: iterations are given
  DeviceOptions device;
  DatasetConfig dataset;
  std::string config_file, out, resume;
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

/// Settles what depends on the number of videos or on other settings: epochs become iterations, shares of training
/// numbers of iterations. Also in what the command prints and saves, where a share stays one. UsageError for more
/// epochs than can be counted.
void resolve_train_options(CLI::App& command, TrainOptions& options, std::int64_t videos);

}  // namespace mcn
