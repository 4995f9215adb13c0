// Pictures of runs for their reports: where data set and network come from, and what is missing.
#pragma once

#include <string>

#include "meta/train/run_pictures.h"
#include "tools/interrupt.h"
#include "tools/train_options.h"

namespace mcn {

/// Of the run in a folder, from its config.toml, its data set and its last checkpoint. data, if not empty: the data
/// set's folder now. A part that cannot be made is a line of problems, and said nowhere else. Interrupted on Ctrl-C.
RunPictures pictures_of_run(const std::string& folder, const std::string& data, Backend& backend);

/// Of a run that has just ended, which has its training videos and its network at hand. The features are left out where
/// they would take more clips than the run has seen.
RunPictures pictures_of_training(const TrainOptions& options, const Dataset& train, const Trainer& trainer,
                                 Backend& backend, const InterruptGuard& interrupt);

}  // namespace mcn
