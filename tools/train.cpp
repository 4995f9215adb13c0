// `mcn train`: reads the settings, runs the trainer, keeps the run's folder.
#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/atomic_file.h"
#include "engine/device.h"
#include "engine/range.h"
#include "meta/forecast.h"
#include "tools/command.h"
#include "tools/interrupt.h"
#include "tools/progress.h"
#include "tools/train_options.h"

namespace mcn {
namespace {

namespace fs = std::filesystem;

nlohmann::json to_json(const IterationMetrics& m) {
  nlohmann::json json{
      {"iteration", m.iteration},   {"loss_query", m.query_loss},       {"contrastive_query", m.query.contrastive},
      {"meta_query", m.query.meta}, {"learning_rate", m.learning_rate}, {"gradient_norm", m.gradient_norm},
      {"seconds", m.seconds},       {"wait_seconds", m.wait_seconds},   {"decode_ms", m.decode_ms}};
  if (m.support) {
    json["loss_support"] = m.support_loss;
    json["contrastive_support"] = m.support->contrastive;
    json["meta_support"] = m.support->meta;
  }
  return json;
}

std::string losses(const IterationMetrics& m) {
  return m.support ? fmt::format("L_S {:.4f}  L_Q {:.4f}", m.support_loss, m.query_loss)
                   : fmt::format("loss {:.4f}", m.query_loss);
}

void make_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error || !fs::is_directory(path))
    fail<DataError>("train", "cannot make folder {}: {}", path.string(), error.message());
}

// The run's metrics. A resumed run keeps the lines of the iterations before it.
class MetricsFile {
 public:
  MetricsFile(const fs::path& path, std::int64_t first_iteration) : path_(path) {
    std::string kept;
    if (std::ifstream old(path); old && first_iteration > 0)
      for (std::string line; std::getline(old, line);) {
        const auto json = nlohmann::json::parse(line, nullptr, false);
        if (json.is_object() && json.value("iteration", first_iteration) < first_iteration) kept += line + "\n";
      }
    stream_.open(path, std::ios::trunc);
    stream_ << kept;
    check();
  }
  void write(const IterationMetrics& metrics) {
    stream_ << to_json(metrics).dump() << '\n' << std::flush;
    check();
  }

 private:
  void check() const {
    if (!stream_) fail<DataError>("train", "cannot write {}", path_.string());
  }
  fs::path path_;
  std::ofstream stream_;
};

// Opens the device's profiler window, and a range round it, for the iterations that --profile-steps names.
class ProfileWindow {
 public:
  ProfileWindow(Backend& backend, const std::optional<ProfileSteps>& steps) : backend_(backend), steps_(steps) {}

  void before(std::int64_t iteration) {
    if (!steps_) return;
    if (iteration == steps_->last) stop();
    if (iteration != steps_->first) return;
    backend_.profile(true);
    range_.emplace("profiled steps");
  }
  void stop() {
    if (!range_) return;
    range_.reset();
    backend_.profile(false);
  }

 private:
  Backend& backend_;
  std::optional<ProfileSteps> steps_;
  std::optional<Range> range_;
};

int dry_run(const TrainOptions& o, const Dataset& dataset, Backend& backend) {
  const MemoryForecast f = forecast_memory(o.config, dataset);
  const bool own_memory = backend.free_memory().has_value();
  const std::size_t needed = own_memory ? f.peak_with_scratch : f.peak;
  const std::size_t free = free_memory(backend);
  const auto row = [](std::string_view what, std::size_t bytes, std::string_view note = "") {
    fmt::print("{:<12} {:>10.1f} MiB{}{}\n", what, static_cast<double>(bytes) / (1 << 20), note.empty() ? "" : "  ",
               note);
  };
  row("weights", f.weights, "parameters and running statistics");
  row("optimiser", f.optimizer, "its moments");
  row("bank", f.bank, "features of past iterations");
  row("clips", f.clips, "S and Q");
  row("tapes", f.tapes, "of the inner steps, for their Hessian products");
  row("peak", needed, own_memory ? "of everything, the kernels' scratch included" : "of all tensors");
  row("available", free, "on device " + backend.name());
  if (needed <= free) return ok;
  fail<DeviceError>(
      "memory",
      "the run needs {:.1f} GiB and {:.1f} are available; a smaller --batch, --frames, --size or --width, "
      "or --inner-tape recompute, needs less",
      static_cast<double>(needed) / (1 << 30), static_cast<double>(free) / (1 << 30));
}

int train(const TrainOptions& o, const std::string& resolved) {
  const Dataset dataset = load(o.dataset, Subset::train);
  Backend& backend = open(o.device, o.config.dtype);
  if (o.dry_run) return dry_run(o, dataset, backend);
  Trainer trainer(o.config, dataset, backend, o.resume);
  const fs::path out(o.out);
  make_folder(out);
  const std::string last = (out / "last.safetensors").string();
  AtomicFile saved_config("train", (out / "config.toml").string());
  saved_config.write(resolved);
  saved_config.commit();
  MetricsFile metrics_file(out / "metrics.jsonl", trainer.iteration());
  fmt::print("{}\n", resolved);
  fmt::print("{} videos of {} classes, device {}, {} parameters\n", dataset.videos.size(), dataset.classes.size(),
             backend.name(), [&] {
               std::int64_t n = 0;
               for (const Tensor& t : trainer.state().theta) n += t.numel();
               return n;
             }());
  std::fflush(stdout);  // before the progress, also where stdout is a file

  Progress progress("train", o.config.iterations, trainer.iteration());
  const InterruptGuard interrupt;
  ProfileWindow profiler(backend, o.profile);
  std::optional<IterationMetrics> latest;
  while (trainer.iteration() < o.config.iterations) {
    if (interrupt.requested()) {
      trainer.save(last);
      progress.finish();
      fmt::print(stderr, "interrupted after {} iterations; go on with --resume {}\n", trainer.iteration(), last);
      return 130;
    }
    profiler.before(trainer.iteration());
    latest = trainer.step();
    metrics_file.write(*latest);
    progress.update(trainer.iteration(), losses(*latest));
    if (trainer.iteration() % o.checkpoint_every == 0) trainer.save(last);
  }
  profiler.stop();
  progress.finish();
  trainer.save(last);
  if (latest) fmt::print("{} iterations: {}\n", trainer.iteration(), losses(*latest));
  fmt::print("{} kernels ran on {}; checkpoint {}\n", backend.kernel_calls(), backend.name(), last);
  return 0;
}

}  // namespace

void add_train(CLI::App& app) {
  CLI::App* command = app.add_subcommand("train", "train MCN on a data set");
  auto options = std::make_shared<TrainOptions>();
  add_train_options(*command, *options);
  set_action(*command, [command, options] {
    complete_train_options(*command, *options);
    return train(*options, command->config_to_str(true, false));
  });
}

}  // namespace mcn
