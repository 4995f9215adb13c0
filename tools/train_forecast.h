// The forecast before a run: whether it fits into the memory that there is.
#pragma once

#include "meta/forecast.h"
#include "tools/train_options.h"

namespace mcn {

/// DeviceError unless a run of such a forecast fits into the memory that is there, with a remedy that does.
void expect_memory(const TrainOptions& options, std::int64_t videos, Backend& backend, const MemoryForecast& forecast);

/// Prints the forecast of a run on so many videos, and fails as expect_memory, unless it is forced. Returns the exit
/// code.
int dry_run(const TrainOptions& options, std::int64_t videos, Backend& backend);

}  // namespace mcn
