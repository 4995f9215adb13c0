// The settings of `mcn train`: one command-line option, with the same name in a TOML file, for each.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

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

/// What the page that a run leaves holds.
enum class ReportContent : std::uint8_t { none, curves, all };

struct TrainOptions {
  TrainConfig config;
  IterationsOrShare warmup{5, true}, first_order_for, evaluate_every;
  std::int64_t epochs = 0;  ///< 0: iterations are given
  DeviceOptions device;
  DatasetConfig dataset;
  std::string config_file, out, resume, init, preset = "auto";
  std::set<std::string> allowed_changes;  ///< since the checkpoint of `resume`
  int keep = 2;                           ///< checkpoints, the last one included
  bool strict = true;                     ///< whether `init` must have just what the network needs
  std::int64_t checkpoint_every = 100, evaluate_videos = 400;
  std::set<std::string> chosen;  ///< options of the command line
  std::optional<ProfileSteps> profile;
  bool dry_run = false, force = false;
  ReportContent report = ReportContent::all;
  bool tensorboard = false;
};

/// What settings are chosen by.
struct RunFacts {
  std::int64_t videos = 0;  ///< of the training set
  std::size_t memory = 0;   ///< bytes, of the device; without a GPU of the machine
  bool gpu = false;
};

/// Adds every option to a command; values land in `options`, which must outlive the parse.
void add_train_options(CLI::App& command, TrainOptions& options);

/// Sets the options that the command line left alone from the TOML file that --config names, checks that nothing
/// required is missing, and puts the data set's format in the place of "auto". DataError for a file that cannot be
/// read, and as detect_format; UsageError, naming file and key, for a key that is no option or a value that the option
/// refuses, or that could not be read again from the settings that a run saves.
void complete_train_options(CLI::App& command, TrainOptions& options);

/// The settings in effect as a run saves them: without the checkpoint that it went on from and without the folder of
/// frame indices, which are this run's and this machine's.
std::string saved_settings(CLI::App& command);

/// "lr 0.003, batch 48": what the command line, its file, the preset or resolve_train_options has set.
std::string chosen_settings(const CLI::App& command);
/// The options that a run's config.toml holds, for what is done with the run afterwards. data, if not empty: in the
/// place of its --data. Errors as complete_train_options.
TrainOptions saved_options(const std::string& folder, const std::string& data);

/// A line for each setting that has no effect, or hardly the one that was meant, where the user chose it.
std::vector<std::string> doubtful_settings(const CLI::App& command, const TrainOptions& options);

/// Settles what depends on the data set, the machine or other settings, also in what the command prints and saves: the
/// preset's settings for what is not set; epochs become iterations, and shares of training numbers of iterations (where
/// they stay shares); the resize follows the crop; a preset's batch and the bank's draw are no more than there are
/// videos. UsageError for more epochs than can be counted.
void resolve_train_options(CLI::App& command, TrainOptions& options, const RunFacts& facts);

}  // namespace mcn
