// The dry iterations.
#include "meta/forecast.h"

#include <numeric>

#include "engine/dry_device.h"

namespace mcn {

MemoryForecast forecast_memory(const TrainConfig& config, std::int64_t videos) {
  DryDevice device;
  MemoryForecast forecast;
  {
    // The first of the two iterations below measures the curvature in any case; the second has the moments beside it.
    TrainConfig every = config;
    if (every.curvature.every > 0) every.curvature.every = 1;
    every.curvature.products = 1;
    every.first_order_iterations = 0;
    Trainer trainer(every, {.videos = videos, .open = nullptr}, device.backend());
    const LoaderConfig& loader = config.loader;
    Batch batch;
    batch.videos.resize(static_cast<std::size_t>(loader.batch));
    std::iota(batch.videos.begin(), batch.videos.end(), 0);
    batch.labels.resize(batch.videos.size());
    HostRing ring(device.backend(), view_bytes(loader), 2 * batch.videos.size());
    batch.view_b.residual = loader.residual_view;
    for (BatchView* view : {&batch.view_a, &batch.view_b}) {
      for (std::int64_t i = 0; i < loader.batch; ++i) view->frames.push_back(ring.take());
      view->augmentation.resize(batch.videos.size());
    }
    // The moments come with the first step, so the second holds most; a graph is captured in it.
    IterationMetrics metrics;
    for (int i = 0; i < 2; ++i) metrics = trainer.step(batch);
    const Trainer::Holdings held = trainer.holdings();
    forecast.weights = held.weights;
    forecast.optimizer = held.optimizer;
    forecast.bank = held.bank;
    forecast.clips = 2 * size_of(config.dtype) *
                     static_cast<std::size_t>(
                         Shape{loader.batch, loader.clip.frames, loader.augment.size, loader.augment.size, 3}.numel());
    forecast.tapes = metrics.tape_bytes;
    forecast.peak = device.backend().memory().peak;
    forecast.peak_with_scratch = device.peak();
  }
  forecast.ring = most_views(config.loader) * view_bytes(config.loader);
  return forecast;
}

std::optional<TrainConfig> config_that_fits(const TrainConfig& config, std::int64_t videos,
                                            const std::function<bool(const MemoryForecast&)>& fits) {
  constexpr std::int64_t least_batch = 4;
  constexpr int least_frames = 4;
  const bool keeps_tapes =
      config.method == Method::mcn && config.maml.second_order && config.maml.inner_tape == InnerTape::keep;
  TrainConfig smaller = config;
  for (;;) {
    // Which tapes take less depends on the number of inner steps: of one step, a Hessian product's tangents outweigh
    // it.
    smaller.maml.inner_tape = config.maml.inner_tape;
    if (fits(forecast_memory(smaller, videos))) return smaller;
    smaller.maml.inner_tape = InnerTape::recompute;
    if (keeps_tapes && fits(forecast_memory(smaller, videos))) return smaller;
    if (smaller.loader.batch / 2 >= least_batch)
      smaller.loader.batch /= 2;
    else if (smaller.loader.clip.frames / 2 >= least_frames)
      smaller.loader.clip.frames /= 2;
    else
      return {};
  }
}

}  // namespace mcn
