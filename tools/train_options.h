// The settings of `mcn train`: one command-line option, with the same name in a TOML file, for each.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "meta/trainer.h"

namespace mcn {

struct TrainOptions {
  TrainConfig config;
  std::string data, splits, out, resume, device = "cpu";
  int split = 1, threads = 0;
  std::int64_t checkpoint_every = 100, log_every = 1;
};

/// Adds every option to a command; values land in `options`, which must outlive the parse.
void add_train_options(CLI::App& command, TrainOptions& options);

}  // namespace mcn
