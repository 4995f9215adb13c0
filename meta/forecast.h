// What a training run will hold on its device, found by an iteration on a device on which nothing runs.
#pragma once

#include <functional>
#include <optional>

#include "meta/trainer.h"

namespace mcn {

/// Bytes.
struct MemoryForecast {
  std::size_t weights = 0;            ///< parameters and running statistics
  std::size_t optimizer = 0;          ///< its moments
  std::size_t bank = 0;               ///< features of past iterations
  std::size_t clips = 0;              ///< S and Q
  std::size_t tapes = 0;              ///< the most that inner steps' tapes hold for their Hessian products
  std::size_t peak = 0;               ///< all tensors at the worst moment
  std::size_t peak_with_scratch = 0;  ///< on a GPU: with what kernels take for themselves
  std::size_t ring = 0;               ///< of the host, beside all that: decoded frames that wait for their batch
};

/// For a run on a data set of that many videos. UsageError for a config that makes no sense.
MemoryForecast forecast_memory(const TrainConfig& config, std::int64_t videos);

/// The config nearest to this one that fits, by forecasts of some: itself; with tapes recorded again; with half the
/// batch, a quarter and so on; with half the frames and so on too. None if even the smallest does not fit.
std::optional<TrainConfig> config_that_fits(const TrainConfig& config, std::int64_t videos,
                                            const std::function<bool(const MemoryForecast&)>& fits);

}  // namespace mcn
