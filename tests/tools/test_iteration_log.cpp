// What a run writes of its iterations, and what it keeps when it goes on from an earlier one than the last.
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "meta/train/run_folder.h"
#include "tests/catch.h"
#include "tests/descriptor_limit.h"
#include "tests/meta/small_training.h"
#include "tests/temporary_folder.h"
#include "tests/tools/run_command.h"

namespace mcn {

TEST_CASE("a log that goes on keeps the iterations before, and drops those that are done again") {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("metrics.jsonl");
  const auto line = [](int i) { return "{\"iteration\":" + std::to_string(i) + ",\"x\":1}\n"; };
  // Killed in iteration 4, with a checkpoint of 2 iterations: 2 and 3 are done again.
  test::write_file(path, line(0) + line(1) + line(2) + line(3) + "{\"itera");
  std::vector<std::pair<int, bool>> seen;
  {
    IterationLog log(
        path, 2, [&](const nlohmann::json& json, bool kept) { seen.emplace_back(json["iteration"].get<int>(), kept); });
    CHECK(test::read_file(path) == line(0) + line(1));
    log.write({{"iteration", 2}, {"x", 7}});
  }
  CHECK(test::read_file(path) == line(0) + line(1) + "{\"iteration\":2,\"x\":7}\n");
  CHECK(seen == std::vector<std::pair<int, bool>>{{0, true}, {1, true}, {2, false}, {3, false}});
  // A run from its start keeps nothing.
  const IterationLog fresh(path, 0);
  CHECK(test::read_file(path).empty());
}

TEST_CASE("a log that the system cannot read is not one that is missing") {
  if (!test::descriptors_may_run_out) {
    MCN_SKIPPED("a sanitizer needs descriptors");
    return;
  }
  const test::TemporaryFolder folder;
  const std::string path = folder.file("metrics.jsonl"), line = "{\"iteration\":0}\n";
  test::write_file(path, line);
  {
    const test::DescriptorLimit none(0);
    CHECK_THROWS_AS(IterationLog(path, 1), SystemError);
  }
  CHECK(test::read_file(path) == line);
}

namespace {

/// No file may grow beyond it, for a while.
class FileLimit {
 public:
  explicit FileLimit(rlim_t bytes) : signal_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit lowered{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &lowered);
  }
  ~FileLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, signal_);
  }
  FileLimit(const FileLimit&) = delete;
  FileLimit& operator=(const FileLimit&) = delete;

 private:
  rlimit before_{};
  void (*signal_)(int);
};

}  // namespace

TEST_CASE("a line that finds no room leaves nothing of it behind") {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("metrics.jsonl"), zero = "{\"iteration\":0}\n";
  IterationLog log(path, 0);
  log.write({{"iteration", 0}});
  {
    const FileLimit limit(zero.size() + 5);
    CHECK_THROWS_AS(log.write({{"iteration", 1}}), Error);
  }
  CHECK(test::read_file(path) == zero);
  log.write({{"iteration", 1}});
  CHECK(test::read_file(path) == zero + "{\"iteration\":1}\n");
}

TEST_CASE("no checkpoint is ahead of its log: a line that could not be written comes first") {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("run/metrics.jsonl");
  Trainer trainer(test::small_config(), test::videos(), open_device("cpu"));
  Dataset dataset;
  dataset.videos.resize(12);
  RunFolder run({folder.file("run"), "", "lr=1\n", 0, 8, false}, dataset);
  const IterationMetrics first = trainer.step();
  run.begin();
  {
    const FileLimit limit(10);
    CHECK_THROWS_AS(run.write(first), Error);
    CHECK_THROWS_AS(run.save(trainer), Error);
  }
  CHECK(test::read_file(path).empty());
  CHECK_FALSE(std::filesystem::exists(folder.file("run/last.safetensors")));
  run.save(trainer);
  CHECK(std::filesystem::exists(folder.file("run/last.safetensors")));
  const auto line = nlohmann::json::parse(test::read_file(path));
  CHECK(line.at("iteration") == 0);
  CHECK(line.at("loss_query") == first.query_loss);
}

TEST_CASE("a folder whose files could be made only in part is begun again, and nothing is lost or done twice") {
  const test::TemporaryFolder folder;
  const std::string out = folder.file("run");
  std::filesystem::create_directories(out + "/earlier-1/evaluations.jsonl");
  for (const char* name : {"metrics.jsonl", "evaluations.jsonl", "last.safetensors"})
    test::write_file(out + "/" + name, std::string("earlier ") + name);
  Dataset dataset;
  dataset.videos.resize(40);
  RunFolder run({out, "", "lr=1\n", 0, 8, false}, dataset);
  IterationMetrics m;
  m.seconds = 1;
  run.write(m);
  run.write(0, MonitorMeasures{});
  {
    const FileLimit limit(3);  // not even the settings fit
    CHECK_THROWS_AS(run.begin(), Error);
  }
  CHECK_FALSE(run.begun());
  CHECK(run.begin() == out + "/earlier-2");
  CHECK(run.begun());
  for (const char* name : {"metrics.jsonl", "evaluations.jsonl", "last.safetensors"})
    CHECK(test::read_file(out + "/earlier-2/" + name) == std::string("earlier ") + name);
  CHECK_FALSE(std::filesystem::exists(out + "/earlier-3"));
  for (const char* name : {"metrics.jsonl", "evaluations.jsonl"}) {
    const std::string text = test::read_file(out + "/" + name);
    CHECK(std::ranges::count(text, '\n') == 1);
    CHECK(nlohmann::json::parse(text).at("iteration") == 0);
  }
  CHECK(run.begin().empty());
}

TEST_CASE("a line of metrics has every figure of its iteration under its own name, in seconds and MiB") {
  const test::TemporaryFolder folder;
  Dataset dataset;
  dataset.videos.resize(40);
  RunFolder run({folder.file("run"), "", "lr=1\n", 0, 8, false}, dataset);
  run.begin();
  IterationMetrics m;
  m.iteration = 4;
  m.support = BranchLosses{1.5, 2.5};
  m.query = {3.5, 4.5};
  m.support_loss = 5.5;
  m.query_loss = 6.5;
  m.support_accuracies = Accuracies{0.125, 0.25, 0.375};
  m.query_accuracies = {0.5, 0.25, 0.625};
  m.embedding_std = 0.0625;
  m.embedding_std_isotropic = 0.09375;
  m.learning_rate = 0.75;
  m.gradient_norm = 7.5;
  m.inner = InnerStepMetrics{0.01, {{"stem", 0.02}, {"heads", 0.03}}, 2, 8.5, 9.5, 0.875};
  m.curvature = CurvatureMetrics{50, 0.9375, 10.5, 11.5};
  m.updates = {{"stem", 12.5}, {"heads", 13.5}};
  m.tape_bytes = 1;
  m.resident_bytes = 3 << 20;
  m.tensor_bytes = 5 << 20;
  m.seconds = 2;
  m.wait_ms = 500;
  m.decode_ms = 4000;
  m.clip_decode_ms = 250;
  m.ring_ready = 1.25;
  m.bad_videos = 3;
  m.shortened_clips = 6;
  run.write(m);
  nlohmann::json line = nlohmann::json::parse(test::read_file(folder.file("run/metrics.jsonl")));
  CHECK(line["time"].get<std::string>().size() == std::string("2026-01-01T00:00:00Z").size());
  line.erase("time");
  CHECK(line == nlohmann::json{{"iteration", 4},
                               {"epoch", 1.0},             // 5 iterations of 8 videos, of 40
                               {"clips_per_second", 8.0},  // two views of 8 videos in 2 s
                               {"loss_support", 5.5},
                               {"contrastive_support", 1.5},
                               {"meta_support", 2.5},
                               {"loss_query", 6.5},
                               {"contrastive_query", 3.5},
                               {"meta_query", 4.5},
                               {"top1_support", 0.125},
                               {"top1_query", 0.5},
                               {"top1_chance", 0.25},
                               {"pairs_support", 0.375},
                               {"pairs_query", 0.625},
                               {"embedding_std", 0.0625},
                               {"embedding_std_isotropic", 0.09375},
                               {"learning_rate", 0.75},
                               {"gradient_norm", 7.5},
                               {"inner_lr", 0.01},
                               {"alpha1", {{"stem", 0.02}, {"heads", 0.03}}},
                               {"order", 2},
                               {"query_gradient_norm", 8.5},
                               {"hessian_term_norm", 9.5},
                               {"outer_cosine", 0.875},
                               {"curvature", 50.0},
                               {"curvature_alignment", 0.9375},
                               {"inner_lr_curvature", 0.5},
                               {"loss_query_at_theta", 10.5},
                               {"curvature_seconds", 11.5},
                               {"update_ratio", {{"stem", 12.5}, {"heads", 13.5}}},
                               {"resident_mib", 3.0},
                               {"tensors_mib", 5.0},
                               {"seconds", 2.0},
                               {"wait_seconds", 0.5},
                               {"waited_share", 0.25},
                               {"decode_seconds", 4.0},
                               {"clip_decode_seconds", 0.25},
                               {"ring_ready", 1.25},
                               {"bad_videos", 3},
                               {"shortened_clips", 6}});
}

}  // namespace mcn
