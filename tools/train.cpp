// `mcn train`: reads the settings, runs the trainer, keeps the run's folder.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "data/loader.h"
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
  nlohmann::json json{{"iteration", m.iteration},
                      {"loss_query", m.query_loss},
                      {"contrastive_query", m.query.contrastive},
                      {"meta_query", m.query.meta},
                      {"learning_rate", m.learning_rate},
                      {"gradient_norm", m.gradient_norm},
                      {"seconds", m.seconds},
                      {"wait_ms", m.wait_ms},
                      {"waited_share", 1e-3 * m.wait_ms / m.seconds},
                      {"decode_ms", m.decode_ms},
                      {"clip_decode_ms", m.clip_decode_ms},
                      {"ring_ready", m.ring_ready},
                      {"bad_videos", m.bad_videos}};
  const auto put = [&json](const std::string& set, const Accuracies& a) {
    json["top1_" + set] = a.top1;
    json["top1_chance"] = a.top1_chance;
    if (a.pairs) json["pairs_" + set] = *a.pairs;
  };
  put("query", m.query_accuracies);
  if (m.support_accuracies) put("support", *m.support_accuracies);
  for (const GroupUpdate& u : m.updates) json["update_ratio"][u.group] = u.ratio;
  if (m.inner) {
    json["inner_lr"] = m.inner->inner_lr;
    json["order"] = m.inner->order;
    json["query_gradient_norm"] = m.inner->query_gradient_norm;
    json["hessian_term_norm"] = m.inner->hessian_term_norm;
    json["outer_cosine"] = m.inner->cosine;
  }
  if (m.curvature) {
    json["curvature"] = m.curvature->eigenvalue;
    json["curvature_alignment"] = m.curvature->alignment;
    json["inner_lr_curvature"] = m.inner ? m.inner->inner_lr * m.curvature->eigenvalue : 0;
    json["loss_query_at_theta"] = m.curvature->query_loss_at_theta;
    json["curvature_seconds"] = m.curvature->seconds;
  }
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

// Keeps other runs out of the folder: they would move this one's files aside, and write their checkpoints over its own.
// The kernel lets go of the lock however the process ends.
class FolderLock {
 public:
  explicit FolderLock(const fs::path& folder)
      : descriptor_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    // Any other error is of a file system that has no locks.
    if (descriptor_ < 0 || ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
    ::close(descriptor_);
    fail<DataError>("train", "{}: expected a folder that no other run writes to, got one that another run has now",
                    folder.string());
  }
  ~FolderLock() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_;
};

bool lies_in(const fs::path& checkpoint, const fs::path& folder) {
  std::error_code error;
  return !checkpoint.empty() && fs::equivalent(fs::absolute(checkpoint).parent_path(), folder, error);
}

// What an earlier run left in the folder goes to the first free earlier-N in it, which is returned; empty if there was
// nothing. A run may be days of work, and its folder's name is easily given twice.
fs::path put_aside_earlier_run(const fs::path& out) {
  fs::path aside;
  for (const char* name : {"config.toml", "metrics.jsonl", "bad_videos.jsonl", "last.safetensors"}) {
    if (!fs::exists(fs::symlink_status(out / name))) continue;
    for (int i = 1; aside.empty(); ++i)
      if (const fs::path free = out / fmt::format("earlier-{}", i); !fs::exists(fs::symlink_status(free))) aside = free;
    make_folder(aside);
    std::error_code error;
    fs::rename(out / name, aside / name, error);
    if (error)
      fail<DataError>("train", "cannot move {} of an earlier run to {}: {}", name, aside.string(), error.message());
  }
  return aside;
}

// A file with a JSON object a line, each of some iteration. A resumed run keeps the lines of the iterations before it.
class IterationLog {
 public:
  IterationLog(const fs::path& path, std::int64_t first_iteration,
               const std::function<void(const nlohmann::json&)>& on_kept = {})
      : path_(path) {
    std::string kept;
    if (std::ifstream old(path); old && first_iteration > 0)
      for (std::string line; std::getline(old, line);) {
        const auto json = nlohmann::json::parse(line, nullptr, false);
        // Of a run that was killed the last line may be a piece of one.
        if (!json.is_object() || !json.contains("iteration") || !json["iteration"].is_number_integer()) continue;
        if (json["iteration"].get<std::int64_t>() >= first_iteration) continue;
        kept += line + "\n";
        if (on_kept) on_kept(json);
      }
    // The lines of days of training must outlive a full disk, or being killed here.
    AtomicFile whole("train", path.string());
    whole.write(kept);
    whole.commit();
    stream_.open(path, std::ios::app);
    check();
  }
  void write(const nlohmann::json& json) {
    // A file's name need not be UTF-8.
    stream_ << json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n' << std::flush;
    check();
  }
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  void check() const {
    if (!stream_) fail<DataError>("train", "cannot write {}", path_.string());
  }
  fs::path path_;
  std::ofstream stream_;
};

// The list of the videos that cannot be used, in the order in which training came upon them.
class BadVideos {
 public:
  BadVideos(const fs::path& path, const Dataset& dataset, std::int64_t first_iteration)
      : dataset_(dataset),
        log_(path, first_iteration, [this](const nlohmann::json& line) { listed_.insert(line.value("video", "")); }) {}
  void list(const Trainer& trainer) {
    for (const auto& [index, error] : trainer.bad_videos()) {
      const std::string& name = dataset_.videos[static_cast<std::size_t>(index)].source.name;
      if (listed_.insert(name).second)
        log_.write({{"iteration", trainer.iteration()}, {"video", name}, {"error", error}});
    }
    found_ = std::ssize(trainer.bad_videos());
  }
  [[nodiscard]] std::int64_t found() const { return found_; }
  [[nodiscard]] std::string path() const { return log_.path(); }

 private:
  const Dataset& dataset_;
  std::set<std::string> listed_;  // before the log, which fills it
  IterationLog log_;
  std::int64_t found_ = 0;
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
  const MemoryForecast f = forecast_memory(o.config, std::ssize(dataset.videos));
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

int train(CLI::App& command, TrainOptions& o) {
  const Dataset dataset = load(o.dataset, Subset::train);
  resolve_train_options(command, o, std::ssize(dataset.videos));
  const std::string resolved = command.config_to_str(true, false);
  Backend& backend = open(o.device, o.config.dtype);
  if (o.dry_run) return dry_run(o, dataset, backend);
  Trainer trainer(o.config, clips_of(dataset), backend, o.resume);
  const fs::path out(o.out);
  make_folder(out);
  const FolderLock lock(out);
  if (!lies_in(o.resume, out))
    if (const fs::path aside = put_aside_earlier_run(out); !aside.empty())
      fmt::print(stderr, "{} holds an earlier run; its files are in {} now\n", out.string(), aside.string());
  const std::string last = (out / "last.safetensors").string();
  AtomicFile saved_config("train", (out / "config.toml").string());
  saved_config.write(resolved);
  saved_config.commit();
  const std::int64_t first = trainer.iteration();
  IterationLog metrics(out / "metrics.jsonl", first);
  BadVideos bad(out / "bad_videos.jsonl", dataset, first);
  fmt::print("{}\n", resolved);
  fmt::print("{} videos of {} classes, device {}{}, {} parameters\n", dataset.videos.size(), dataset.classes.size(),
             backend.name(), backend.detail().empty() ? "" : " (" + backend.detail() + ")", [&] {
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
    try {
      interrupt.throw_if_requested();
      profiler.before(trainer.iteration());
      latest = trainer.step([&] { interrupt.throw_if_requested(); });
    } catch (const Interrupted&) {
      trainer.save(last);
      progress.finish();
      fmt::print(stderr, "interrupted after {} iterations; go on with --resume {}\n", trainer.iteration(), last);
      end_soon();
      return interrupted;
    } catch (const DataError& error) {
      bad.list(trainer);
      if (trainer.iteration() > first) trainer.save(last);
      if (bad.found() == 0) throw;
      progress.finish();
      const std::string message = fmt::format("{}; all of them: {}", error.what(), bad.path());
      throw DataError(message);
    }
    metrics.write(to_json(*latest));
    if (latest->bad_videos > bad.found()) bad.list(trainer);
    progress.update(trainer.iteration(), losses(*latest));
    if (trainer.iteration() % o.checkpoint_every == 0) trainer.save(last);
  }
  profiler.stop();
  progress.finish();
  trainer.save(last);
  if (bad.found() > 0)
    fmt::print(stderr, "{} of {} videos cannot be used, and others took their places; {} lists them\n", bad.found(),
               dataset.videos.size(), bad.path());
  if (latest)
    fmt::print("{} iterations: {}\n", trainer.iteration(), losses(*latest));
  else
    fmt::print(stderr, "nothing was left to train: {} has {} iterations, --iterations says {}\n", o.resume,
               trainer.iteration(), o.config.iterations);
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
    return train(*command, *options);
  });
}

}  // namespace mcn
