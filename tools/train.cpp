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
#include "engine/dry_device.h"
#include "engine/host_memory.h"
#include "engine/range.h"
#include "meta/forecast.h"
#include "tools/command.h"
#include "tools/interrupt.h"
#include "tools/network.h"
#include "tools/progress.h"
#include "tools/run_pictures.h"
#include "tools/run_report.h"
#include "tools/train_options.h"
#include "tools/train_status.h"

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
                      {"embedding_std", m.embedding_std},
                      {"embedding_std_isotropic", m.embedding_std_isotropic},
                      {"tensors_mib", static_cast<double>(m.tensor_bytes) / (1 << 20)},
                      {"seconds", m.seconds},
                      {"wait_ms", m.wait_ms},
                      {"waited_share", 1e-3 * m.wait_ms / m.seconds},
                      {"decode_ms", m.decode_ms},
                      {"clip_decode_ms", m.clip_decode_ms},
                      {"ring_ready", m.ring_ready},
                      {"bad_videos", m.bad_videos},
                      {"shortened_clips", m.shortened_clips}};
  const auto put = [&json](const std::string& set, const Accuracies& a) {
    json["top1_" + set] = a.top1;
    json["top1_chance"] = a.top1_chance;
    if (a.pairs) json["pairs_" + set] = *a.pairs;
  };
  put("query", m.query_accuracies);
  if (m.support_accuracies) put("support", *m.support_accuracies);
  if (m.resident_bytes > 0) json["resident_mib"] = static_cast<double>(m.resident_bytes) / (1 << 20);
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

constexpr const char* last_finite = "last-finite.safetensors";

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
  std::vector<std::string> names = event_files(out);
  for (const char* name :
       {"config.toml", "metrics.jsonl", "bad_videos.jsonl", "last.safetensors", last_finite, "report.html"})
    names.emplace_back(name);
  for (const std::string& name : names) {
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

// DeviceError unless a run of such a forecast fits into the memory that is there, with a remedy that does.
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
    fmt::print("{:<12} {:>10.1f} MiB{}{}\n", what, static_cast<double>(bytes) / (1 << 20), note.empty() ? "" : "  ",
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
  if (!o.force) expect_memory(o, videos, backend, f);
  return ok;
}

void start_from(Trainer& trainer, const TrainOptions& o) {
  const WeightsReport report = trainer.initialize(read_weights(o.init), o.strict);
  fmt::print(stderr, "starts from {}{}\n", o.init,
             report.heads ? "" : ", which has no heads: fc_feat, fcm and fc_meta start at random");
  print_report(o.init, report);
}

// The files of a run. They appear with its first result, and only then are those of an earlier run put aside: a run
// that fails before has harmed nothing.
class RunFolder {
 public:
  RunFolder(const TrainOptions& o, std::string resolved, const Dataset& dataset, std::int64_t first)
      : out_(o.out),
        resume_(o.resume),
        resolved_(std::move(resolved)),
        dataset_(dataset),
        first_(first),
        report_(o.report),
        tensorboard_(o.tensorboard) {
    make_folder(out_);
    lock_.emplace(out_);
    // That it can be written to is found out before the work.
    const AtomicFile probe("train", (out_ / "config.toml").string());
  }

  void begin() {
    if (metrics_) return;
    if (!lies_in(resume_, out_))
      if (const fs::path aside = put_aside_earlier_run(out_); !aside.empty())
        fmt::print(stderr, "{} holds an earlier run; its files are in {} now\n", out_.string(), aside.string());
    AtomicFile config("train", (out_ / "config.toml").string());
    config.write(resolved_);
    config.commit();
    metrics_.emplace(out_ / "metrics.jsonl", first_);
    bad_.emplace(out_ / "bad_videos.jsonl", dataset_, first_);
    if (tensorboard_) events_.emplace(open_event_file(out_, first_));
  }
  /// One that begin() would put aside, and a run that has come to nothing should not.
  [[nodiscard]] bool holds_another_run() const {
    return !metrics_ && !lies_in(resume_, out_) && fs::exists(fs::symlink_status(out_ / "last.safetensors"));
  }
  /// After begin().
  void write(const IterationMetrics& metrics) {
    const nlohmann::json json = to_json(metrics);
    metrics_->write(json);
    if (events_) add_metrics(*events_, json);
  }
  /// Writes the page of the run so far, if one is wanted; its path, empty without it.
  std::string report() { return report_ != ReportContent::none && metrics_ ? write_run_report(out_) : std::string(); }
  [[nodiscard]] BadVideos& bad() { return *bad_; }
  [[nodiscard]] std::string file(const char* name) const { return (out_ / name).string(); }

 private:
  fs::path out_, resume_;
  std::string resolved_;
  const Dataset& dataset_;
  std::int64_t first_;
  ReportContent report_;
  bool tensorboard_;
  std::optional<FolderLock> lock_;
  std::optional<IterationLog> metrics_;
  std::optional<BadVideos> bad_;
  std::optional<EventFile> events_;
};

// A value that is not finite ends the run; the state before it is kept beside the last checkpoint.
[[noreturn]] void not_finite(const NonFiniteError& error, Trainer& trainer, const std::string& path,
                             bool worth_keeping) {
  std::string kept;
  if (worth_keeping) try {
      trainer.save(path);
      kept = fmt::format("; the state before it is in {}", path);
    } catch (const NonFiniteError&) {
      kept = "; the parameters themselves are not finite";
    }
  const std::string message = fmt::format(
      "{}; a lower --lr or --inner-lr, a longer --warmup or --clip-grad keeps steps shorter{}", error.what(), kept);
  throw NonFiniteError(message);
}

// Adds pictures to the page of a run that is complete. False if Ctrl-C stops it, which leaves the page without them.
bool add_pictures(const TrainOptions& o, const Dataset& dataset, const Trainer& trainer, Backend& backend,
                  const InterruptGuard& interrupt) {
  try {
    interrupt.throw_if_requested();
    write_run_report(o.out, pictures_of_training(o, dataset, trainer, backend));
    return true;
  } catch (const Interrupted&) {
    fmt::print(stderr, "stopped: the report has no pictures; mcn report {} makes them\n", o.out);
    return false;
  }
}

int train(CLI::App& command, TrainOptions& o) {
  const Dataset dataset = load(o.dataset, Subset::train);
  Backend& backend = open(o.device, o.config.dtype);
  const auto videos = std::ssize(dataset.videos);
  const auto own_memory = backend.free_memory();
  resolve_train_options(command, o, {videos, own_memory.value_or(host_memory().total), own_memory.has_value()});
  if (o.dry_run) return dry_run(o, videos, backend);
  const std::string resolved = saved_settings(command);
  const std::vector<std::string> doubts = doubtful_settings(command, o);
  if (!o.force && DryDevice::in_this_build()) expect_memory(o, videos, backend, forecast_memory(o.config, videos));
  Trainer trainer(o.config, clips_of(dataset), backend, o.resume);
  // A run that goes on may have its settings, --init among them, from its own config.toml.
  if (!o.init.empty() && o.resume.empty()) start_from(trainer, o);
  const std::int64_t first = trainer.iteration();
  RunFolder folder(o, resolved, dataset, first);
  if (first >= o.config.iterations && !o.resume.empty()) {
    fmt::print(stderr, "nothing was left to train: {} has {} iterations, --iterations says {}\n", o.resume, first,
               o.config.iterations);
    return ok;
  }
  const std::string last = folder.file("last.safetensors");
  fmt::print("{}\n", resolved);
  fmt::print("{} videos{}, preset {}, device {}{}, {} parameters\n", videos,
             dataset.classes.empty() ? "" : fmt::format(" of {} classes", dataset.classes.size()), o.preset,
             backend.name(), backend.detail().empty() ? "" : " (" + backend.detail() + ")", [&] {
               std::int64_t n = 0;
               for (const Tensor& t : trainer.state().theta) n += t.numel();
               return n;
             }());
  std::fflush(stdout);  // before the progress, also where stdout is a file
  for (const std::string& doubt : doubts) fmt::print(stderr, "warning: {}\n", doubt);

  Progress progress("train", o.config.iterations, first);
  const InterruptGuard interrupt;
  ProfileWindow profiler(backend, o.profile);
  TrainStatus status(videos, o.config.loader.batch);
  TrainingWatch watch;
  double longest = 0, curvature_seconds = 0, seconds = 0;
  bool shortened = false;
  while (trainer.iteration() < o.config.iterations) {
    IterationMetrics now;
    try {
      interrupt.throw_if_requested();
      if (longest > 0) interrupt.step_takes(longest);
      profiler.before(trainer.iteration());
      now = trainer.step([&] { interrupt.throw_if_requested(); });
    } catch (const Interrupted&) {
      folder.begin();
      trainer.save(last);
      progress.finish();
      folder.report();
      fmt::print(stderr, "interrupted after {} iterations; go on with --resume {}\n", trainer.iteration(), last);
      end_soon();
      return interrupted;
    } catch (const NonFiniteError& error) {
      folder.report();
      not_finite(error, trainer, folder.file(last_finite), trainer.iteration() > first);
    } catch (const DataError& error) {
      if (trainer.iteration() == first && (trainer.bad_videos().empty() || folder.holds_another_run())) throw;
      folder.begin();
      folder.bad().list(trainer);
      if (trainer.iteration() > first) trainer.save(last);
      if (folder.bad().found() == 0) throw;
      progress.finish();
      const std::string message = fmt::format("{}; all of them: {}", error.what(), folder.bad().path());
      throw DataError(message);
    }
    folder.begin();
    folder.write(now);
    if (now.bad_videos > folder.bad().found()) folder.bad().list(trainer);
    status.add(now);
    seconds += now.seconds;
    longest = longest == 0 ? now.seconds : std::max(now.seconds, 0.9 * longest);
    interrupt.step_takes(longest);  // also for a signal that comes before the next one begins
    if (now.curvature) curvature_seconds += now.curvature->seconds;
    for (const TrainingWarning& warning : watch.look(now)) progress.note(text_of(warning));
    if (now.shortened_clips > 0 && !shortened)
      progress.note(
          fmt::format("warning: {} of {} clips of iteration {} have a smaller stride than {}, as their videos are "
                      "short; the speed that a clip shows depends on its video's length then",
                      now.shortened_clips, 2 * o.config.loader.batch, now.iteration, o.config.loader.clip.stride));
    shortened = shortened || now.shortened_clips > 0;
    progress.update(trainer.iteration(), status.line());
    if (trainer.iteration() % o.checkpoint_every == 0) trainer.save(last);
  }
  profiler.stop();
  progress.finish();
  trainer.save(last);
  const std::string report = folder.report();
  if (folder.bad().found() > 0)
    fmt::print(stderr, "{} of {} videos cannot be used, and others took their places; {} lists them\n",
               folder.bad().found(), videos, folder.bad().path());
  fmt::print("{} iterations, {:.4g} epochs in {}: {}\n", trainer.iteration(),
             static_cast<double>(trainer.iteration() * o.config.loader.batch) / static_cast<double>(videos),
             clock_time(seconds), status.learned());
  if (curvature_seconds > 0)
    fmt::print("curvature: {:.3g}% of the time, every {} iterations; alpha1 is {:.4g} now\n",
               100 * curvature_seconds / seconds, o.config.curvature.every, trainer.inner_lr());
  fmt::print("{} kernels ran on {}; checkpoint {}{}\n", backend.kernel_calls(), backend.name(), last,
             report.empty() ? "" : "; report " + report);
  fmt::print("next: mcn evaluate --data {} --checkpoint {}\n", o.dataset.root, last);
  // Last, so that Ctrl-C costs nothing but pictures.
  std::fflush(stdout);
  if (report.empty() || o.report != ReportContent::all) return ok;
  return add_pictures(o, dataset, trainer, backend, interrupt) ? ok : interrupted;
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
