// The options that name a data set, the same in every command that reads one.
#pragma once

#include <CLI/CLI.hpp>

#include "data/dataset.h"

namespace mcn {

/// Values land in `config`, which must outlive the parse.
void add_dataset_options(CLI::App& command, DatasetConfig& config, bool required);

/// Puts the format that is there in the place of "auto", also in what the command prints and saves of its options.
/// DataError as detect_format.
void resolve_format(CLI::App& command, DatasetConfig& config);

/// load_dataset, where up to max_bad_percent of the listed videos may be missing; says on stderr if any were left out.
Dataset load(DatasetConfig config, Subset subset, double max_bad_percent);

}  // namespace mcn
