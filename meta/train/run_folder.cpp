// Files of a run's folder.
#include "meta/train/run_folder.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

#include "engine/atomic_file.h"
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

void make_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error || !fs::is_directory(path))
    fail<DataError>("train", "cannot make folder {}: {}", path.string(), error.message());
}

bool lies_in(const fs::path& checkpoint, const fs::path& folder) {
  std::error_code error;
  return !checkpoint.empty() && fs::equivalent(fs::absolute(checkpoint).parent_path(), folder, error);
}

// What an earlier run left in the folder goes to the first free earlier-N in it, which is returned; empty if there was
// nothing. A run may be days of work, and its folder's name is easily given twice.
fs::path put_aside_earlier_run(const fs::path& out) {
  fs::path aside;
  std::vector<std::string> names = event_files(out);
  for (const char* name : {"config.toml", "metrics.jsonl", "evaluations.jsonl", "bad_videos.jsonl", RunFolder::last,
                           RunFolder::best, RunFolder::last_finite, "report.html"})
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

IterationLog::IterationLog(const fs::path& path, std::int64_t end,
                           const std::function<void(const nlohmann::json&, bool)>& on_line)
    : path_(path) {
  std::string kept;
  if (std::ifstream old(path); old && end > 0)
    for (std::string line; std::getline(old, line);) {
      const auto json = nlohmann::json::parse(line, nullptr, false);
      // Of a run that was killed the last line may be a piece of one.
      if (!json.is_object() || !json.contains("iteration") || !json["iteration"].is_number_integer()) continue;
      const bool keep = json["iteration"].get<std::int64_t>() < end;
      if (keep) kept += line + "\n";
      if (on_line) on_line(json, keep);
    }
  // The lines of days of training must outlive a full disk, or being killed here.
  AtomicFile whole("train", path.string());
  whole.write(kept);
  whole.commit();
  stream_.open(path, std::ios::app);
  check();
}

void IterationLog::write(const nlohmann::json& json) {
  // A file's name need not be UTF-8.
  stream_ << json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n' << std::flush;
  check();
}

void IterationLog::check() const {
  if (!stream_) fail<DataError>("train", "cannot write {}", path_.string());
}

BadVideos::BadVideos(const fs::path& path, const Dataset& dataset, std::int64_t first_iteration)
    : dataset_(dataset), log_(path, first_iteration, [this](const nlohmann::json& line, bool kept) {
        if (kept) listed_.insert(line.value("video", ""));
      }) {}

void BadVideos::list(const Trainer& trainer) {
  for (const auto& [index, error] : trainer.bad_videos()) {
    const std::string& name = dataset_.videos[static_cast<std::size_t>(index)].source.name;
    if (listed_.insert(name).second)
      log_.write({{"iteration", trainer.iteration()}, {"video", name}, {"error", error}});
  }
  found_ = std::ssize(trainer.bad_videos());
}

// A line of evaluations counts the iterations before it, so that one of the checkpoint's is kept.
Evaluations::Evaluations(const fs::path& path, std::int64_t first_iteration) {
  log_.emplace(path, first_iteration > 0 ? first_iteration + 1 : 0,
               [this](const nlohmann::json& line, bool kept) { look(line, kept); });
}

void Evaluations::look(const nlohmann::json& line, bool kept) {
  const auto knn = line.find("knn");
  if (knn == line.end() || !knn->is_object() || !knn->contains("value") || !(*knn)["value"].is_number()) return;
  const Entry entry{line["iteration"].get<std::int64_t>(), (*knn)["value"].get<double>()};
  const bool was_best = line.contains("best") && line["best"] == true;
  // The best checkpoint is of an iteration that is trained again.
  if (!kept && was_best) best_.reset();
  if (!kept) return;
  iterations_.insert(entry.iteration);
  if (entry.iteration == 0) start_ = entry;
  if (was_best) best_ = entry;
}

bool Evaluations::write(std::int64_t iteration, const MonitorMeasures& measures) {
  if (!iterations_.insert(iteration).second) return false;
  const Entry entry{iteration, measures.knn.value};
  if (iteration == 0) start_ = entry;
  const bool is_best = iteration > 0 && (!best_ || entry.knn > best_->knn);
  if (is_best) best_ = entry;
  log_->write(to_json(iteration, measures, is_best));
  return is_best;
}

RunFolder::RunFolder(RunFolderConfig config, const Dataset& dataset)
    : config_(std::move(config)), out_(config_.folder), dataset_(dataset) {
  make_folder(out_);
  lock_.emplace(out_);
  // That it can be written to is found out before the work.
  const AtomicFile probe("train", (out_ / "config.toml").string());
}

fs::path RunFolder::begin() {
  if (begun()) return {};
  fs::path aside;
  if (!goes_on()) aside = put_aside_earlier_run(out_);
  AtomicFile settings("train", (out_ / "config.toml").string());
  settings.write(config_.settings);
  settings.commit();
  metrics_.emplace(out_ / "metrics.jsonl", config_.first);
  bad_.emplace(out_ / "bad_videos.jsonl", dataset_, config_.first);
  evaluations_.emplace(out_ / "evaluations.jsonl", config_.first);
  if (config_.events) events_.emplace(open_event_file(out_, config_.first));
  if (waiting_) write(waiting_->first, waiting_->second);
  return aside;
}

bool RunFolder::goes_on() const { return lies_in(config_.resume, out_); }

bool RunFolder::holds_another_run() const {
  return !metrics_ && !goes_on() && fs::exists(fs::symlink_status(out_ / last));
}

void RunFolder::write(const IterationMetrics& metrics) {
  const nlohmann::json json = to_json(metrics, std::ssize(dataset_.videos), config_.batch);
  metrics_->write(json);
  if (events_) add_metrics(*events_, json);
}

bool RunFolder::write(std::int64_t iteration, const MonitorMeasures& measures) {
  if (!evaluations_) {
    waiting_.emplace(iteration, measures);
    return false;
  }
  const bool is_best = evaluations_->write(iteration, measures);
  if (events_)
    add_metrics(*events_, {{"iteration", iteration},
                           {"evaluation", {{"knn", measures.knn.value}, {"linear", measures.linear.value}}}});
  return is_best;
}

}  // namespace mcn
