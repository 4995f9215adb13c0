// `mcn train --evaluate-every`: what it writes, which checkpoint it keeps, and that training does not notice.
#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/catch.h"
#include "tests/tools/small_run.h"

namespace mcn {

using test::mcn_command;
using test::read_file;

namespace {

test::CommandResult train(const std::string& data, const std::string& run, std::vector<std::string> more) {
  more.insert(more.end(), {"--report", "no", "--lr", "0.01", "--method", "contrastive"});
  return mcn_command(test::small_training(data, run, more));
}

std::vector<nlohmann::json> lines(const std::string& path) {
  std::vector<nlohmann::json> all;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    all.push_back(nlohmann::json::parse(line));
    all.back().erase("seconds");
  }
  return all;
}

std::vector<int> iterations(const std::vector<nlohmann::json>& evaluations) {
  std::vector<int> all;
  for (const auto& line : evaluations) all.push_back(line["iteration"]);
  return all;
}

}  // namespace

TEST_CASE("evaluation during training is at the start, every so many iterations and at the end, and keeps the best") {
  const test::TemporaryFolder folder;
  const std::string data = test::small_videos(folder, 12), run = folder.file("run"), plain = folder.file("plain");
  const auto result = train(data, run, {"--iterations", "5", "--evaluate-every", "2"});
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  const auto evaluations = lines(run + "/evaluations.jsonl");
  CHECK(iterations(evaluations) == std::vector{0, 2, 4, 5});

  // Two classes of 6 videos: a third of each are queries, and chance is that of equally frequent classes.
  double best = -1;
  int best_iteration = 0;
  for (const auto& line : evaluations) {
    CHECK(line["gallery_videos"] == 8);
    CHECK(line["query_videos"] == 4);
    for (const char* key : {"knn", "linear"}) {
      const auto& measure = line[key];
      CHECK(measure["chance"] == 0.5);
      CHECK(measure["low"].get<double>() <= measure["value"].get<double>());
      CHECK(measure["value"].get<double>() <= measure["high"].get<double>());
    }
    const int iteration = line["iteration"];
    const bool is_best = iteration > 0 && line["knn"]["value"].get<double>() > best;
    CHECK(line["best"] == is_best);
    if (!is_best) continue;
    best = line["knn"]["value"];
    best_iteration = iteration;
  }
  CHECK(result.err.find("before training: k-NN ") != std::string::npos);
  CHECK(result.out.find(fmt::format("best k-NN during training: {:.1f}% after {} iterations, {}/best.safetensors",
                                    100 * best, best_iteration, run)) != std::string::npos);

  // A run that ends there has the same checkpoint, without any evaluation.
  REQUIRE(train(data, plain, {"--iterations", std::to_string(best_iteration)}).exit_code == 0);
  CHECK(read_file(plain + "/last.safetensors") == read_file(run + "/best.safetensors"));
  CHECK(lines(plain + "/evaluations.jsonl").empty());
  CHECK_FALSE(std::filesystem::exists(plain + "/best.safetensors"));
}

TEST_CASE("evaluation during training: a resumed run has the lines and the checkpoints of one that was not stopped") {
  const test::TemporaryFolder folder;
  const std::string data = test::small_videos(folder, 12), whole = folder.file("whole"), parts = folder.file("parts");
  REQUIRE(train(data, whole, {"--iterations", "6", "--evaluate-every", "2"}).exit_code == 0);
  REQUIRE(train(data, parts, {"--iterations", "4", "--evaluate-every", "2"}).exit_code == 0);
  std::filesystem::copy_file(parts + "/last.safetensors", parts + "/at-4.safetensors");
  REQUIRE(train(data, parts, {"--iterations", "8", "--evaluate-every", "2", "--resume", parts + "/last.safetensors"})
              .exit_code == 0);
  // Back to the fourth: what came after is evaluated again.
  REQUIRE(train(data, parts, {"--iterations", "6", "--evaluate-every", "2", "--resume", parts + "/at-4.safetensors"})
              .exit_code == 0);
  CHECK(lines(parts + "/evaluations.jsonl") == lines(whole + "/evaluations.jsonl"));
  CHECK(read_file(parts + "/last.safetensors") == read_file(whole + "/last.safetensors"));
  CHECK(read_file(parts + "/best.safetensors") == read_file(whole + "/best.safetensors"));
}

TEST_CASE("evaluation during training needs labels: an error where it is asked for, a line where a config does") {
  const test::TemporaryFolder folder;
  const std::string data = test::small_videos(folder, 12), run = folder.file("run");
  std::ofstream list(folder.file("train.txt"));
  for (const auto& entry : std::filesystem::recursive_directory_iterator(data))
    if (entry.path().extension() == ".mp4" || entry.path().extension() == ".avi") list << entry.path().string() << '\n';
  list.close();
  const std::vector<std::string> unlabelled{"--iterations",          "1", "--format", "list", "--train-files",
                                            folder.file("train.txt")};
  auto asked = unlabelled;
  asked.insert(asked.end(), {"--evaluate-every", "1"});
  const auto refused = train(data, run, asked);
  CHECK(refused.exit_code == 3);
  CHECK(refused.err.find("[monitor] expected two classes with two training videos or more, got 0") !=
        std::string::npos);
  std::ofstream(folder.file("config.toml")) << "evaluate-every = 1\n";
  auto configured = unlabelled;
  configured.insert(configured.end(), {"--config", folder.file("config.toml")});
  const auto trained = train(data, run, configured);
  INFO(trained.err);
  CHECK(trained.exit_code == 0);
  CHECK(trained.err.find("there is no evaluation during training") != std::string::npos);
}

}  // namespace mcn
