// What a run takes of the memory that there is.
#include "tools/train_forecast.h"

#include "engine/device.h"
#include "tools/command.h"
#include "tools/print.h"

namespace mcn {
namespace {

constexpr double gib = std::size_t{1} << 30;

// What a run takes of the memory that free_memory() counts. On the host: also what waits for the device, and what
// decoders and the allocator need beside the tensors (150 MiB were measured with 48 videos of 64 x 86 open).
std::size_t memory_needed(const MemoryForecast& f, bool own_memory) {
  constexpr std::size_t beside = std::size_t{256} << 20;
  return own_memory ? f.peak_with_scratch : f.peak + f.ring + beside;
}

// The options that make one config of another, of those that config_that_fits() changes.
std::string changed_options(const TrainConfig& from, const TrainConfig& to) {
  std::string text;
  const auto add = [&](const std::string& option) { text += (text.empty() ? "" : " ") + option; };
  if (to.maml.inner_tape != from.maml.inner_tape) add("--inner-tape recompute");
  if (to.loader.batch != from.loader.batch) add(fmt::format("--batch {}", to.loader.batch));
  if (to.loader.clip.frames != from.loader.clip.frames) add(fmt::format("--frames {}", to.loader.clip.frames));
  return text;
}

}  // namespace

void expect_memory(const TrainOptions& o, std::int64_t videos, Backend& backend, const MemoryForecast& forecast) {
  const bool own_memory = backend.free_memory().has_value();
  const std::size_t free = free_memory(backend), needed = memory_needed(forecast, own_memory);
  if (needed <= free) return;
  const auto smaller =
      config_that_fits(o.config, videos, [&](const MemoryForecast& f) { return memory_needed(f, own_memory) <= free; });
  fail<DeviceError>("memory", "the run needs {:.2f} GiB and {:.2f} are available on {}; {}; --force runs all the same",
                    static_cast<double>(needed) / gib, static_cast<double>(free) / gib, backend.name(),
                    smaller ? changed_options(o.config, *smaller) + " fits" : "a smaller --size or --width needs less");
}

int dry_run(const TrainOptions& o, std::int64_t videos, Backend& backend) {
  const MemoryForecast f = forecast_memory(o.config, videos);
  const bool own_memory = backend.free_memory().has_value();
  const auto row = [](std::string_view what, std::size_t bytes, std::string_view note = "") {
    print_result("{:<12} {:>10.1f} MiB{}{}\n", what, static_cast<double>(bytes) / (1 << 20), note.empty() ? "" : "  ",
                 note);
  };
  row("weights", f.weights, "parameters and running statistics");
  row("optimiser", f.optimizer, "its moments");
  row("bank", f.bank, "features of past iterations");
  row("clips", f.clips, "S and Q");
  row("tapes", f.tapes, "of the inner steps, for their Hessian products");
  row("peak", own_memory ? f.peak_with_scratch : f.peak,
      own_memory ? "of everything, the kernels' scratch included" : "of all tensors");
  if (!own_memory) row("process", memory_needed(f, false), "all of it, with decoded frames that wait");
  row("available", free_memory(backend), "on device " + backend.name());
  print_result("{:<12} the run forecasts it, when it has measured ten seconds\n", "time");
  if (!o.force) expect_memory(o, videos, backend, f);
  return ok;
}

}  // namespace mcn
