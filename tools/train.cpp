// `mcn train`: reads the settings, runs the trainer, keeps the run's folder.
#include <fmt/ranges.h>

#include <filesystem>
#include <functional>
#include <optional>

#include "data/loader.h"
#include "engine/device.h"
#include "engine/dry_device.h"
#include "engine/host_memory.h"
#include "kernels/range.h"
#include "meta/forecast.h"
#include "meta/train/run_folder.h"
#include "meta/train/settings.h"
#include "tools/command.h"
#include "tools/help.h"
#include "tools/interrupt.h"
#include "tools/network.h"
#include "tools/print.h"
#include "tools/progress.h"
#include "tools/run_pictures.h"
#include "tools/run_report.h"
#include "tools/train_forecast.h"
#include "tools/train_options.h"
#include "tools/train_status.h"

namespace mcn {
namespace {

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

Trainer make_trainer(const TrainOptions& o, const Dataset& dataset, Backend& backend) try {
  return Trainer(o.config, clips_of(dataset), backend, o.resume, o.allowed_changes);
} catch (const ChangedSettingsError& error) {
  throw DataError(fmt::format(
      "{}; {}--init {} starts a new run from its weights", error.what(),
      error.names().empty() ? ""
                            : fmt::format("--allow-change {} goes on all the same, ", fmt::join(error.names(), ",")),
      o.resume));
}

void start_from(Trainer& trainer, const TrainOptions& o) {
  const WeightsReport report = trainer.initialize(read_weights(o.init), o.strict);
  print_note("starts from {}{}\n", o.init,
             report.heads ? "" : ", which has no heads: fc_feat, fcm and fc_meta start at random");
  print_report(o.init, report);
}

// A value that is not finite ends the run; the state before it is kept beside the last checkpoint.
[[noreturn]] void not_finite(const NonFiniteError& error, Trainer& trainer, const std::string& path,
                             bool worth_keeping) {
  std::string kept;
  if (worth_keeping) try {
      trainer.save(path);
      kept = fmt::format("; the state before it is in {}", path);
    } catch (const NonFiniteError&) {
      kept = "; the state itself is not finite";
    }
  const std::string message = fmt::format(
      "{}; a lower --lr or --inner-lr, a longer --warmup or --clip-grad keeps steps shorter{}", error.what(), kept);
  throw NonFiniteError(message);
}

void begin(RunFolder& folder) {
  if (folder.begun()) return;
  if (const auto aside = folder.begin(); !aside.empty())
    print_note("{} holds an earlier run; its files are in {} now\n", folder.path(), aside.string());
  for (const std::string& problem : folder.problems()) print_note("warning: {}\n", problem);
}

// An error ends the run: keeps what was learned until then, if that can still be done.
void keep_state(Trainer& trainer, RunFolder& folder, std::int64_t first, Progress& progress) {
  if (trainer.iteration() == first) return;
  const std::string last = folder.file(RunFolder::last);
  if (!trainer.whole())
    return progress.note(
        fmt::format("the state of {} iterations was being changed; {} has that of an earlier one, if it is there",
                    trainer.iteration(), last));
  try {
    begin(folder);
    folder.save(trainer);
    progress.note(fmt::format("stopped after {} iterations; go on with --resume {}", trainer.iteration(), last));
  } catch (const std::exception& error) {
    progress.note(fmt::format("the state of {} iterations could not be kept: {}", trainer.iteration(), error.what()));
  }
}

// Writes the page of the run so far, if one is wanted; its path, empty without it.
std::string report(const TrainOptions& o, const RunFolder& folder) {
  return o.report != ReportContent::none && folder.begun() ? write_run_report(folder.path()) : std::string();
}

// What --evaluate-every asks for, at the start, every so many iterations and at the end.
class RunEvaluator {
 public:
  RunEvaluator(const TrainOptions& o, const Dataset& dataset, Backend& backend, std::int64_t every, std::int64_t first)
      : monitor_(dataset, config_of(o)),
        backend_(backend),
        every_(every),
        iterations_(o.config.iterations),
        first_(first) {}

  void look(Trainer& trainer, RunFolder& folder, Progress& progress, const InterruptGuard& interrupt) {
    const std::int64_t n = trainer.iteration();
    if (n % every_ != 0 && n != iterations_) return;
    // In another folder than the checkpoint's the first result is an iteration.
    if (n == first_ && first_ > 0 && !folder.goes_on()) return;
    const MonitorMeasures m = monitor_.measure(trainer.description(), trainer.model(), trainer.state(), backend_,
                                               [&] { interrupt.throw_if_requested(); });
    seconds_ += m.seconds;
    ++done_;
    if (n > 0) begin(folder);
    const bool best = folder.is_best(n, m);
    if (best) trainer.save(folder.file(RunFolder::best));
    folder.write(n, m);
    progress.note(fmt::format("{}: k-NN {}, linear probe {}, chance {:.4g}%{}",
                              n == 0 ? "before training" : fmt::format("after {} iterations", n), text_of(m.knn),
                              text_of(m.linear), 100 * m.knn.chance,
                              best ? fmt::format("; the best k-NN so far, kept in {}", RunFolder::best) : ""));
  }
  [[nodiscard]] double seconds() const { return seconds_; }
  /// Those of this run that are still to come count as those that were; 0 if there was none.
  [[nodiscard]] double seconds_in_all() const {
    const std::int64_t after = (iterations_ - 1) / every_ - first_ / every_ + 1;
    return done_ == 0 ? 0 : seconds_ / static_cast<double>(done_) * static_cast<double>(after + (first_ == 0 ? 1 : 0));
  }

 private:
  static MonitorConfig config_of(const TrainOptions& o) {
    MonitorConfig config;
    config.videos = o.evaluate_videos;
    config.embed.threads = o.config.loader.threads;
    config.embed.max_bad_percent = o.config.loader.max_bad_percent;
    config.embed.files = o.config.loader.files;
    config.seed = o.config.loader.seed;
    return config;
  }
  static std::string text_of(const Summary& s) {
    return fmt::format("{:.1f}% ({:.1f} to {:.1f})", 100 * s.value, 100 * s.low, 100 * s.high);
  }

  Monitor monitor_;
  Backend& backend_;
  std::int64_t every_, iterations_, first_;
  std::int64_t done_ = 0;
  double seconds_ = 0;
};

// The next iteration. Where videos that cannot be used end it, they are listed, and the error says where; known_bad:
// those of an earlier part of the run.
IterationMetrics next_iteration(Trainer& trainer, RunFolder& folder, std::int64_t first, std::size_t known_bad,
                                const InterruptGuard& interrupt) try {
  return trainer.step([&] { interrupt.throw_if_requested(); });
} catch (const DataError& error) {
  const bool none_here = trainer.bad_videos().size() == known_bad || folder.holds_another_run();
  if (trainer.bad_videos().empty() || (trainer.iteration() == first && none_here)) throw;
  begin(folder);
  folder.bad().list(trainer);
  const std::string message = fmt::format("{}; all of them: {}", error.what(), folder.bad().path());
  throw DataError(message);
}

// Without labels there is nothing to evaluate: an error where the user asked for it, and else a line.
std::optional<RunEvaluator> open_evaluator(const TrainOptions& o, const Dataset& dataset, Backend& backend,
                                           std::int64_t first) {
  const std::int64_t every = o.evaluate_every.of(o.config.iterations);
  if (every == 0 || every > o.config.iterations) return {};
  try {
    return RunEvaluator(o, dataset, backend, every, first);
  } catch (const DataError& error) {
    if (o.chosen.contains("--evaluate-every")) throw;
    print_note("{}; there is no evaluation during training\n", error.what());
    return {};
  }
}

std::string text_of_start(const Evaluations& evaluations) {
  const auto& start = evaluations.start();
  return start ? fmt::format("; {:.1f}% before training", 100 * start->knn) : "";
}

// Adds pictures to the page of a run that is complete. False if Ctrl-C stops it, which leaves the page without them.
bool add_pictures(const TrainOptions& o, const Dataset& dataset, const Trainer& trainer, Backend& backend,
                  const InterruptGuard& interrupt) {
  try {
    interrupt.throw_if_requested();
    write_run_report(o.out, pictures_of_training(o, dataset, trainer, backend, interrupt));
    return true;
  } catch (const Interrupted&) {
    print_note("stopped: the report has no pictures; mcn report {} makes them\n", o.out);
    return false;
  }
}

int train(CLI::App& command, TrainOptions& o) {
  const Dataset dataset = load(o.dataset, Subset::train, o.config.loader.max_bad_percent);
  Backend& backend = open(o.device, o.config.dtype);
  o.config.model.backbone.precision = o.device.precision;
  const auto videos = std::ssize(dataset.videos);
  const auto own_memory = backend.free_memory();
  resolve_train_options(command, o, {videos, own_memory.value_or(host_memory().total), own_memory.has_value()});
  if (o.dry_run) return dry_run(o, videos, backend);
  const std::string resolved = saved_settings(command);
  const std::vector<std::string> doubts = doubtful_settings(command, o);
  if (!o.force && DryDevice::in_this_build()) expect_memory(o, videos, backend, forecast_memory(o.config, videos));
  Trainer trainer = make_trainer(o, dataset, backend);
  // A run that goes on may have its settings, --init among them, from its own config.toml.
  if (!o.init.empty() && o.resume.empty()) start_from(trainer, o);
  const std::int64_t first = trainer.iteration();
  const std::size_t known_bad = trainer.bad_videos().size();
  if (const std::string& damage = trainer.damaged_checkpoint(); !damage.empty())
    print_note("warning: {}, after {} iterations\n", damage, first);
  std::optional<RunEvaluator> evaluator = open_evaluator(o, dataset, backend, first);
  RunFolder folder({o.out, o.resume, resolved, first, o.config.loader.batch, o.tensorboard, o.keep}, dataset);
  if (first >= o.config.iterations && !o.resume.empty()) {
    print_note("nothing was left to train: {} has {} iterations, --iterations says {}\n", o.resume, first,
               o.config.iterations);
    return ok;
  }
  for (const std::string& changed : trainer.changed_since_checkpoint())
    print_note("changed since the checkpoint: {}\n", changed);
  const std::string last = folder.file(RunFolder::last);
  print_summary("{}\n", wrapped(fmt::format("settings that are not defaults (all: {}): {}", folder.file("config.toml"),
                                            chosen_settings(command)),
                                help_width(), 2));
  print_summary("{} videos{}, preset {}, device {}{}, {} parameters\n", videos,
                dataset.classes.empty() ? "" : fmt::format(" of {} classes", dataset.classes.size()), o.preset,
                backend.name(), backend.detail().empty() ? "" : " (" + backend.detail() + ")", [&] {
                  std::int64_t n = 0;
                  for (const Tensor& t : trainer.state().theta) n += t.numel();
                  return n;
                }());
  flush_results();  // before the progress, also where stdout is a file
  for (const std::string& doubt : doubts) print_note("warning: {}\n", doubt);

  Progress progress("train", o.config.iterations, first);
  const InterruptGuard interrupt;
  ProfileWindow profiler(backend, o.profile);
  TrainStatus status(videos, o.config.loader.batch);
  TimeForecast time_forecast(o.config, first);
  TrainingWatch watch;
  // A checkpoint has up to four tensors for each weight, and one at a time is made of doubles.
  const Trainer::Holdings held = trainer.holdings();
  MemoryReserve reserve(8 * held.weights + 2 * held.bank + (std::size_t{8} << 20));
  double longest = 0, curvature_seconds = 0, seconds = 0;
  bool shortened = false;
  try {
    while (true) {
      interrupt.throw_if_requested();
      if (evaluator) evaluator->look(trainer, folder, progress, interrupt);
      if (trainer.iteration() == o.config.iterations) break;
      if (longest > 0) interrupt.step_takes(longest);
      profiler.before(trainer.iteration());
      const IterationMetrics now = next_iteration(trainer, folder, first, known_bad, interrupt);
      folder.write(now);
      begin(folder);
      if (memory_has_run_out()) fail<MemoryError>("memory", "out of memory after {} iterations", trainer.iteration());
      if (now.bad_videos > folder.bad().found()) folder.bad().list(trainer);
      status.add(now);
      time_forecast.add(now);
      if (const auto line = time_forecast.line(evaluator ? evaluator->seconds_in_all() : 0)) progress.note(*line);
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
      if (trainer.iteration() % o.checkpoint_every == 0) folder.save(trainer);
    }
    profiler.stop();
    progress.finish();
    folder.save(trainer);
  } catch (const Interrupted&) {
    reserve.release();
    begin(folder);
    folder.save(trainer);
    progress.finish();
    report(o, folder);
    print_note("interrupted after {} iterations; go on with --resume {}\n", trainer.iteration(), last);
    end_soon();
    return exit_code_of_signal();
  } catch (const NonFiniteError& error) {
    report(o, folder);
    not_finite(error, trainer, folder.file(RunFolder::last_finite), trainer.iteration() > first);
  } catch (const std::exception&) {
    reserve.release();
    keep_state(trainer, folder, first, progress);
    throw;
  }
  const std::string page = report(o, folder);
  if (folder.bad().found() > 0)
    print_note("{} of {} videos cannot be used, and others took their places; {} lists them\n", folder.bad().found(),
               videos, folder.bad().path());
  print_summary("{} iterations, {:.4g} epochs in {}: {}\n", trainer.iteration(),
                static_cast<double>(trainer.iteration() * o.config.loader.batch) / static_cast<double>(videos),
                clock_time(seconds + (evaluator ? evaluator->seconds() : 0)), status.learned());
  if (const auto& best = folder.evaluations().best())
    print_summary("best k-NN during training: {:.1f}% after {} iterations, {}{}\n", 100 * best->knn, best->iteration,
                  folder.file(RunFolder::best), text_of_start(folder.evaluations()));
  if (curvature_seconds > 0)
    print_summary("curvature: {:.3g}% of the time, every {} iterations; alpha1 is {:.4g} now\n",
                  100 * curvature_seconds / seconds, o.config.curvature.every, trainer.inner_lr());
  if (const std::vector<InnerRate> rates = trainer.inner_rates(); !rates.empty())
    print_summary("alpha1 of each group: {}\n", text_of(rates));
  print_summary("checkpoint {}{}\n", last, page.empty() ? "" : "; report " + page);
  print_summary("next: mcn evaluate --data {} --checkpoint {}\n", o.dataset.root, last);
  // Last, so that Ctrl-C costs nothing but pictures.
  flush_results();
  if (page.empty() || o.report != ReportContent::all) return ok;
  return add_pictures(o, dataset, trainer, backend, interrupt) ? ok : exit_code_of_signal();
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
