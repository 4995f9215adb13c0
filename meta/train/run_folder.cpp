// Files of a run's folder.
#include "meta/train/run_folder.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <fstream>
#include <string_view>
#include <system_error>

#include "engine/atomic_file.h"
#include "engine/io/json_text.h"
#include "meta/train/run_events.h"

namespace mcn {
namespace {

namespace fs = std::filesystem;

// Coordinated universal time, as in ISO 8601.
std::string time_now() { return fmt::format("{:%FT%TZ}", fmt::gmtime(std::time(nullptr))); }

nlohmann::json to_json(const IterationMetrics& m, std::int64_t videos, std::int64_t batch) {
  nlohmann::json json{{"iteration", m.iteration},
                      {"time", time_now()},
                      {"epoch", static_cast<double>((m.iteration + 1) * batch) / static_cast<double>(videos)},
                      {"clips_per_second", 2 * static_cast<double>(batch) / m.seconds},
                      {"loss_query", m.query_loss},
                      {"contrastive_query", m.query.contrastive},
                      {"meta_query", m.query.meta},
                      {"learning_rate", m.learning_rate},
                      {"gradient_norm", m.gradient_norm},
                      {"embedding_std", m.embedding_std},
                      {"embedding_std_isotropic", m.embedding_std_isotropic},
                      {"tensors_mib", static_cast<double>(m.tensor_bytes) / (1 << 20)},
                      {"seconds", m.seconds},
                      {"wait_seconds", 1e-3 * m.wait_ms},
                      {"waited_share", 1e-3 * m.wait_ms / m.seconds},
                      {"decode_seconds", 1e-3 * m.decode_ms},
                      {"clip_decode_seconds", 1e-3 * m.clip_decode_ms},
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
    for (const InnerRate& rate : m.inner->rates) json["alpha1"][rate.name] = rate.value;
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

nlohmann::json to_json(std::int64_t iteration, const MonitorMeasures& m, bool best) {
  nlohmann::json json{{"iteration", iteration},
                      {"best", best},
                      {"gallery_videos", m.gallery},
                      {"query_videos", m.queries},
                      {"seconds", m.seconds}};
  const auto put = [&json](const std::string& key, const Summary& s) {
    json[key] = {{"value", s.value}, {"low", s.low}, {"high", s.high}, {"chance", s.chance}};
  };
  put("knn", m.knn);
  put("linear", m.linear);
  return json;
}

[[noreturn]] void cannot(const char* what, const fs::path& path) {
  const int code = errno;
  fail_by_errno("train", fmt::format("cannot {} {}", what, path.string()), code);
}

// Of a line of a log; nothing if it has none.
std::optional<std::int64_t> iteration_of(const nlohmann::json& line) {
  if (!line.is_object()) return {};
  const auto found = line.find("iteration");
  if (found == line.end() || !found->is_number_unsigned()) return {};
  const auto iteration = found->get<std::uint64_t>();
  return iteration <= std::uint64_t{1} << 62 ? std::optional(static_cast<std::int64_t>(iteration)) : std::nullopt;
}

// A figure that is not finite is null.
bool is_figure(const nlohmann::json& value) { return value.is_number() || value.is_null(); }

bool is_metrics(const nlohmann::json& line) {
  if (!line.contains("loss_query")) return false;
  for (const auto& [key, value] : line.items()) {
    const bool sound = key == "time" ? value.is_string()
                                     : is_figure(value) || (value.is_object() && std::ranges::all_of(value, is_figure));
    if (!sound) return false;
  }
  return true;
}

bool is_evaluation(const nlohmann::json& line) {
  const auto measured = [&](const char* key) {
    const auto found = line.find(key);
    return found != line.end() && found->is_object() && found->contains("value") && found->at("value").is_number();
  };
  return measured("knn") && measured("linear") && line.contains("best") && line.at("best").is_boolean();
}

bool is_bad_video(const nlohmann::json& line) {
  const auto text = [&](const char* key) { return line.contains(key) && line.at(key).is_string(); };
  return text("video") && text("error");
}

void make_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error || !fs::is_directory(path))
    fail<DataError>("train", "cannot make folder {}: {}", path.string(), error.message());
}

bool lies_in(const fs::path& checkpoint, const fs::path& folder) {
  if (checkpoint.empty()) return false;
  std::error_code error;
  const bool same = fs::equivalent(fs::absolute(checkpoint).parent_path(), folder, error);
  // A system that cannot say is no reason to start the files of a run anew.
  if (error) fail_by_errno("train", fmt::format("cannot look at {}", folder.string()), error.value());
  return same;
}

// What an earlier run left in the folder goes to the first free earlier-N in it, whose path is left in `aside`; it may
// be there from an attempt that failed half-way. A run may be days of work, and its folder's name is easily given
// twice.
void put_aside_earlier_run(const fs::path& out, fs::path& aside) {
  std::vector<std::string> names = event_files(out);
  for (const char* name : {"config.toml", "metrics.jsonl", "evaluations.jsonl", "bad_videos.jsonl", RunFolder::last,
                           RunFolder::best, RunFolder::last_finite, "report.html"})
    names.emplace_back(name);
  for (int i = 1; i < most_kept_checkpoints; ++i) names.push_back(kept_path(RunFolder::last, i));
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
}

}  // namespace

FolderLock::FolderLock(const fs::path& folder)
    : descriptor_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  // Any other error is of a file system that has no locks.
  if (descriptor_ < 0 || ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
  ::close(descriptor_);
  fail<DataError>("train", "{}: expected a folder that no other run writes to, got one that another run has now",
                  folder.string());
}

FolderLock::~FolderLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::string IterationLog::kept_lines(std::int64_t end, const std::function<void(const nlohmann::json&, bool)>& on_line,
                                     const LogFormat& format) {
  errno = 0;
  std::ifstream old(path_, std::ios::binary);
  if (!old) {
    if (errno != ENOENT) cannot("read", path_);
    problems_.push_back(fmt::format("{} is missing: it starts anew with iteration {}", path_.string(), end));
    return {};
  }
  std::vector<std::pair<std::int64_t, std::string>> kept;
  std::set<nlohmann::json> keys;
  std::int64_t damaged = 0, doubled = 0;
  for (std::string line; std::getline(old, line);) {
    const auto json = parse_json(line);
    const auto iteration = iteration_of(json);
    if (!iteration || !json.contains(format.key) || (format.sound != nullptr && !format.sound(json))) {
      // Of a run that was killed the last line may be a piece of one.
      if (!old.eof()) ++damaged;
      continue;
    }
    if (*iteration < end && !keys.insert(json.at(format.key)).second) {
      ++doubled;
      continue;
    }
    if (*iteration < end) kept.emplace_back(*iteration, line);
    if (on_line) on_line(json, *iteration < end);
  }
  if (old.bad()) cannot("read", path_);
  const auto problem = [&](const std::string& text) {
    problems_.push_back(fmt::format("{}: {}", path_.string(), text));
  };
  if (damaged > 0) problem(fmt::format("{} damaged lines are removed", damaged));
  if (doubled > 0) problem(fmt::format("{} lines that stood there twice are removed", doubled));
  const auto iteration = &std::pair<std::int64_t, std::string>::first;
  if (!std::ranges::is_sorted(kept, {}, iteration)) {
    problem("its lines are in order again");
    std::ranges::stable_sort(kept, {}, iteration);
  }
  // A run that began with another folder's checkpoint has no lines of that one's iterations.
  if (format.consecutive) {
    const std::int64_t first = kept.empty() ? end : kept.front().first;
    const std::int64_t missing = kept.empty() ? end : end - first - std::ssize(kept);
    if (missing > 0) problem(fmt::format("{} of the {} iterations before this one have no line", missing, end));
  }
  std::string text;
  for (const auto& [unused, line] : kept) text += line + "\n";
  return text;
}

IterationLog::IterationLog(const fs::path& path, std::int64_t end,
                           const std::function<void(const nlohmann::json&, bool)>& on_line, const LogFormat& format)
    : path_(path) {
  const std::string kept = end > 0 ? kept_lines(end, on_line, format) : std::string();
  // The lines of days of training must outlive a full disk, or being killed here.
  AtomicFile whole("train", path.string());
  whole.write(kept);
  whole.commit();
  descriptor_ = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (descriptor_ < 0) cannot("write", path);
}

IterationLog::~IterationLog() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void IterationLog::write(const nlohmann::json& json) {
  struct stat open {
  }, there{};
  if (::fstat(descriptor_, &open) != 0) cannot("write", path_);
  if (::stat(path_.c_str(), &there) != 0 || there.st_ino != open.st_ino || there.st_dev != open.st_dev)
    fail<DataError>("train", "{}: it, or its folder, was moved, removed or replaced while the run wrote to it",
                    path_.string());
  // A file's name need not be UTF-8.
  const std::string line = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
  for (std::string_view rest = line; !rest.empty();) {
    const ssize_t written = ::write(descriptor_, rest.data(), rest.size());
    if (written < 0 && errno != EINTR) {
      const int code = errno;
      // A piece of a line would be the beginning of the next one. What stays is removed when the run goes on.
      static_cast<void>(::ftruncate(descriptor_, open.st_size) == 0);
      errno = code;
      cannot("write", path_);
    }
    rest.remove_prefix(written < 0 ? 0 : static_cast<std::size_t>(written));
  }
}

// A line counts the iterations before it, so that one of the checkpoint's is kept.
BadVideos::BadVideos(const fs::path& path, const Dataset& dataset, std::int64_t first_iteration)
    : dataset_(dataset),
      log_(path, first_iteration > 0 ? first_iteration + 1 : 0,
           [this](const nlohmann::json& line, bool kept) {
             if (kept) listed_.insert(line.at("video").get<std::string>());
           },
           {"video", false, is_bad_video}) {}

void BadVideos::list(const Trainer& trainer) {
  for (const auto& [index, error] : trainer.bad_videos()) {
    const std::string& name = dataset_.videos[static_cast<std::size_t>(index)].source.name;
    if (listed_.insert(name).second)
      log_.write({{"iteration", trainer.iteration()}, {"video", name}, {"error", error}});
  }
  found_ = std::ssize(trainer.bad_videos());
}

// As of the bad videos.
Evaluations::Evaluations(const fs::path& path, std::int64_t first_iteration) {
  log_.emplace(
      path, first_iteration > 0 ? first_iteration + 1 : 0,
      [this](const nlohmann::json& line, bool kept) { look(line, kept); },
      LogFormat{"iteration", false, is_evaluation});
}

void Evaluations::look(const nlohmann::json& line, bool kept) {
  const Entry entry{line.at("iteration").get<std::int64_t>(), line.at("knn").at("value").get<double>()};
  const bool was_best = line.at("best").get<bool>();
  // The best checkpoint is of an iteration that is trained again.
  if (!kept && was_best) best_.reset();
  if (!kept) return;
  iterations_.insert(entry.iteration);
  if (entry.iteration == 0) start_ = entry;
  if (was_best) best_ = entry;
}

bool Evaluations::is_best(std::int64_t iteration, const MonitorMeasures& measures) const {
  return iteration > 0 && !iterations_.contains(iteration) && (!best_ || measures.knn.value > best_->knn);
}

void Evaluations::write(std::int64_t iteration, const MonitorMeasures& measures) {
  if (iterations_.contains(iteration)) return;
  const bool best = is_best(iteration, measures);
  log_->write(to_json(iteration, measures, best));
  iterations_.insert(iteration);
  const Entry entry{iteration, measures.knn.value};
  if (iteration == 0) start_ = entry;
  if (best) best_ = entry;
}

RunFolder::RunFolder(RunFolderConfig config, const Dataset& dataset)
    : config_(std::move(config)), out_(config_.folder), dataset_(dataset) {
  make_folder(out_);
  goes_on_ = lies_in(config_.resume, out_);
  lock_.emplace(out_);
  remove_left_temporaries(out_.string());
  // That it can be written to is found out before the work.
  const AtomicFile probe("train", (out_ / "config.toml").string());
}

fs::path RunFolder::begin() {
  if (begun()) return {};
  if (!goes_on_ && !made_) put_aside_earlier_run(out_, aside_);
  made_ = true;
  AtomicFile settings("train", (out_ / "config.toml").string());
  settings.write(config_.settings);
  settings.commit();
  // Those of an attempt that failed half-way are made again.
  metrics_.emplace(out_ / "metrics.jsonl", goes_on_ ? config_.first : 0, nullptr,
                   LogFormat{"iteration", true, is_metrics});
  bad_.emplace(out_ / "bad_videos.jsonl", dataset_, goes_on_ ? config_.first : 0);
  evaluations_.emplace(out_ / "evaluations.jsonl", goes_on_ ? config_.first : 0);
  if (config_.events) events_.emplace(open_event_file(out_, config_.first));
  write_evaluation();
  begun_ = true;
  write_line();
  return aside_;
}

bool RunFolder::holds_another_run() const {
  return !begun_ && !goes_on_ && fs::exists(fs::symlink_status(out_ / last));
}

std::vector<std::string> RunFolder::problems() const {
  std::vector<std::string> all = metrics_->problems();
  for (const auto& more : {bad_->problems(), evaluations_->problems()}) all.insert(all.end(), more.begin(), more.end());
  return all;
}

void RunFolder::save(Trainer& trainer) {
  if (saved_ == trainer.iteration()) return;
  write_line();
  const std::string path = file(last);
  if (!last_is_sound_) try {
      last_is_sound_ = read_safetensors(path).checksums;
    } catch (const DataError&) {
    }
  trainer.save(path, last_is_sound_ ? config_.keep : 1);
  last_is_sound_ = true;
  // An earlier part of the run may have kept more.
  if (!saved_)
    for (int i = config_.keep; i < most_kept_checkpoints; ++i) ::unlink(kept_path(path, i).c_str());
  saved_ = trainer.iteration();
}

void RunFolder::write(const IterationMetrics& metrics) {
  line_ = to_json(metrics, std::ssize(dataset_.videos), config_.batch);
  if (begun_) write_line();
}

void RunFolder::write_line() {
  if (!line_) return;
  metrics_->write(*line_);
  const nlohmann::json line = *std::exchange(line_, std::nullopt);
  if (events_) add_metrics(*events_, line);
}

bool RunFolder::is_best(std::int64_t iteration, const MonitorMeasures& measures) const {
  return begun_ && evaluations_->is_best(iteration, measures);
}

void RunFolder::write(std::int64_t iteration, const MonitorMeasures& measures) {
  evaluation_.emplace(iteration, measures);
  if (begun_) write_evaluation();
}

void RunFolder::write_evaluation() {
  if (!evaluation_) return;
  const auto& [iteration, measures] = *evaluation_;
  evaluations_->write(iteration, measures);
  if (events_)
    add_metrics(*events_, {{"iteration", iteration},
                           {"evaluation", {{"knn", measures.knn.value}, {"linear", measures.linear.value}}}});
  evaluation_.reset();
}

}  // namespace mcn
