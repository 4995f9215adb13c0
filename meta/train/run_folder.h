// The folder of a training run: what it holds, and what becomes of an earlier run's files in it.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "data/dataset.h"
#include "engine/io/event_file.h"
#include "meta/evaluate/monitor.h"
#include "meta/trainer.h"

namespace mcn {

/// Keeps other runs out of a folder: they would move this one's files aside, and write their checkpoints over its own.
/// The kernel lets go of the lock however the process ends. DataError if another run has it.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_;
};

/// What the lines of a file are like.
struct LogFormat {
  std::string key = "iteration";                        ///< whose value no two lines share
  bool consecutive = false;                             ///< whether there is a line for every iteration
  bool (*sound)(const nlohmann::json& line) = nullptr;  ///< of an object with an "iteration"; null: any is
};

/// A file with a JSON object a line, each with its "iteration". A resumed run keeps the lines before `end` that are
/// sound, each key's first, in the order of their iterations; on_line is called with each of them, and with the later
/// ones. What was wrong is told in problems(). DataError if the file cannot be written, or has been removed or
/// replaced.
class IterationLog {
 public:
  IterationLog(const std::filesystem::path& path, std::int64_t end,
               const std::function<void(const nlohmann::json& line, bool kept)>& on_line = {},
               const LogFormat& format = {});
  ~IterationLog();
  IterationLog(const IterationLog&) = delete;
  IterationLog& operator=(const IterationLog&) = delete;

  void write(const nlohmann::json& json);
  [[nodiscard]] std::string path() const { return path_.string(); }
  /// A line each; the last line of a run that was killed is no problem, whatever is missing of it.
  [[nodiscard]] const std::vector<std::string>& problems() const { return problems_; }

 private:
  std::string kept_lines(std::int64_t end, const std::function<void(const nlohmann::json& line, bool kept)>& on_line,
                         const LogFormat& format);

  std::filesystem::path path_;
  std::vector<std::string> problems_;
  int descriptor_ = -1;
};

/// The list of the videos that cannot be used, in the order in which training came upon them.
class BadVideos {
 public:
  BadVideos(const std::filesystem::path& path, const Dataset& dataset, std::int64_t first_iteration);
  void list(const Trainer& trainer);
  [[nodiscard]] std::int64_t found() const { return found_; }
  [[nodiscard]] std::string path() const { return log_.path(); }
  [[nodiscard]] const std::vector<std::string>& problems() const { return log_.problems(); }

 private:
  const Dataset& dataset_;
  std::set<std::string> listed_;  // before the log, which fills it
  IterationLog log_;
  std::int64_t found_ = 0;
};

/// The evaluations during a run, and the best of them.
class Evaluations {
 public:
  Evaluations(const std::filesystem::path& path, std::int64_t first_iteration);
  /// Whether the k-NN is better than that of all before it, of which one before the first iteration is none. False
  /// where a resumed run has the line already.
  [[nodiscard]] bool is_best(std::int64_t iteration, const MonitorMeasures& measures) const;
  /// Nothing happens where a resumed run has the line already.
  void write(std::int64_t iteration, const MonitorMeasures& measures);

  struct Entry {
    std::int64_t iteration = 0;
    double knn = 0;  ///< share of queries
  };
  /// Nothing before the first, or where the folder's best checkpoint is not of a line that a resumed run keeps.
  [[nodiscard]] const std::optional<Entry>& best() const { return best_; }
  /// The evaluation before the first iteration.
  [[nodiscard]] const std::optional<Entry>& start() const { return start_; }
  [[nodiscard]] const std::vector<std::string>& problems() const { return log_->problems(); }

 private:
  void look(const nlohmann::json& line, bool kept);

  std::set<std::int64_t> iterations_;
  std::optional<Entry> best_, start_;
  std::optional<IterationLog> log_;
};

struct RunFolderConfig {
  std::string folder, resume;  ///< resume: checkpoint that the run goes on from, or empty
  std::string settings;        ///< as the run saves them
  std::int64_t first = 0;      ///< iterations before this run
  std::int64_t batch = 0;      ///< videos an iteration
  bool events = false;         ///< write an event file of TensorBoard, too
  int keep = 2;                ///< checkpoints, the last one included
};

/// The files of a run. They appear with its first result, and only then are those of an earlier run put aside: a run
/// that fails before has harmed nothing. DataError "[train] ..." for what cannot be read or written.
class RunFolder {
 public:
  static constexpr const char* last = "last.safetensors";
  static constexpr const char* last_finite = "last-finite.safetensors";
  static constexpr const char* best = "best.safetensors";

  /// The data set must outlive this. Temporary files of processes that were killed are removed.
  RunFolder(RunFolderConfig config, const Dataset& dataset);

  /// Only the first call that does not throw does something, and one that threw may be repeated. Returns where the
  /// files of an earlier run are now; empty if there were none.
  std::filesystem::path begin();
  [[nodiscard]] bool begun() const { return begun_; }
  /// One that begin() would put aside, and a run that has come to nothing should not.
  [[nodiscard]] bool holds_another_run() const;
  /// After begin(): what was wrong with the files of the run that goes on, and has been mended.
  [[nodiscard]] std::vector<std::string> problems() const;
  /// Writes the last checkpoint, unless it is there, and keeps those before it. One that is damaged takes no sound
  /// one's place. A line that write() could not write is written first: no checkpoint is ahead of its log.
  void save(Trainer& trainer);
  /// Before begin(), which writes it then, once.
  void write(const IterationMetrics& metrics);
  /// As of Evaluations; before begin() none is best. The best checkpoint is to be there before its line.
  [[nodiscard]] bool is_best(std::int64_t iteration, const MonitorMeasures& measures) const;
  /// Before begin(), which writes it then, once.
  void write(std::int64_t iteration, const MonitorMeasures& measures);
  /// Whether the checkpoint that the run goes on from is in the folder.
  [[nodiscard]] bool goes_on() const { return goes_on_; }
  [[nodiscard]] BadVideos& bad() { return *bad_; }
  [[nodiscard]] const Evaluations& evaluations() const { return *evaluations_; }
  [[nodiscard]] std::string path() const { return out_.string(); }
  [[nodiscard]] std::string file(const char* name) const { return (out_ / name).string(); }

 private:
  void write_line();
  void write_evaluation();

  RunFolderConfig config_;
  std::filesystem::path out_, aside_;
  bool goes_on_ = false, made_ = false, begun_ = false;
  const Dataset& dataset_;
  std::optional<FolderLock> lock_;
  std::optional<IterationLog> metrics_;
  std::optional<BadVideos> bad_;
  std::optional<Evaluations> evaluations_;
  std::optional<std::pair<std::int64_t, MonitorMeasures>> evaluation_;  // for begin()
  std::optional<nlohmann::json> line_;                                  // of metrics, not written yet
  std::optional<EventFile> events_;
  bool last_is_sound_ = false;         // this run has written it, or read all of it
  std::optional<std::int64_t> saved_;  // iterations in the last checkpoint of this run
};

}  // namespace mcn
