// The dry iterations.
#include "meta/forecast.h"

#include <numeric>

#include "engine/dry_device.h"

namespace mcn {

MemoryForecast forecast_memory(const TrainConfig& config, const Dataset& dataset) {
  DryDevice device;
  MemoryForecast forecast;
  {
    Trainer trainer(config, dataset, device.backend());
    Batch batch;
    batch.videos.resize(static_cast<std::size_t>(config.loader.batch));
    std::iota(batch.videos.begin(), batch.videos.end(), 0);
    batch.labels.resize(batch.videos.size());
    const std::size_t floats = batch.videos.size() * clip_floats(config.loader.clip.frames, config.loader.augment);
    batch.view_a.resize(floats);
    batch.view_b.resize(floats);
    // The moments come with the first step, so the second holds most; a graph is captured in it.
    IterationMetrics metrics;
    for (int i = 0; i < 2; ++i) metrics = trainer.step(batch);
    const Trainer::Holdings held = trainer.holdings();
    forecast.weights = held.weights;
    forecast.optimizer = held.optimizer;
    forecast.bank = held.bank;
    forecast.clips = 2 * floats * size_of(config.dtype);
    forecast.tapes = metrics.tape_bytes;
    forecast.peak = device.backend().memory().peak;
    forecast.peak_with_scratch = device.peak();
  }
  return forecast;
}

}  // namespace mcn
