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

/// load_dataset; says on stderr if listed videos were left out.
Dataset load(const DatasetConfig& config, Subset subset);

}  // namespace mcn
