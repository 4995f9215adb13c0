// A run's folder that is given twice: the earlier run is put aside, and a resumed one goes on in its place.
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/catch.h"
#include "tests/tools/small_run.h"

namespace mcn {

using test::mcn_command;
using test::read_file;
using test::small_training;
using test::small_videos;

TEST_CASE("a second run in the same folder puts the first one aside, a resumed one does not") {
  namespace fs = std::filesystem;
  const test::TemporaryFolder folder;
  const std::string data = small_videos(folder), run = folder.file("run");
  const auto train = [&](const std::vector<std::string>& more) {
    const auto result = mcn_command(small_training(data, run, more));
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    return result.err;
  };
  const std::vector<std::string> names{"config.toml", "metrics.jsonl", "bad_videos.jsonl", "last.safetensors"};
  const auto contents = [&](const std::string& of) {
    std::vector<std::string> all;
    for (const std::string& name : names) all.push_back(read_file(of + "/" + name));
    return all;
  };

  CHECK(train({"--iterations", "1", "--seed", "1"}).find("earlier") == std::string::npos);
  const auto first = contents(run);
  CHECK(train({"--iterations", "2", "--seed", "1", "--resume", run + "/last.safetensors"}).find("earlier") ==
        std::string::npos);
  CHECK_FALSE(fs::exists(run + "/earlier-1"));
  const auto second = contents(run);
  CHECK(second[1].substr(0, first[1].size()) == first[1]);

  CHECK(train({"--iterations", "1", "--seed", "2"})
            .find(run + " holds an earlier run; its files are in " + run + "/earlier-1 now\n") != std::string::npos);
  CHECK(contents(run + "/earlier-1") == second);
  CHECK(contents(run) != second);
  train({"--iterations", "1", "--seed", "3"});
  CHECK(contents(run + "/earlier-1") == second);
  CHECK(fs::exists(run + "/earlier-2/last.safetensors"));
  // Going on from an earlier one, with the latest in its place.
  const auto third = contents(run);
  train({"--iterations", "3", "--seed", "1", "--resume", run + "/earlier-1/last.safetensors"});
  CHECK(contents(run + "/earlier-1") == second);
  CHECK(contents(run + "/earlier-3") == third);
  fs::current_path(run);
  CHECK(train({"--iterations", "4", "--seed", "1", "--resume", "last.safetensors"}).find("earlier") ==
        std::string::npos);
  fs::current_path("/");
}

TEST_CASE("a run that fails before its first result leaves the earlier one where it is") {
  const test::TemporaryFolder folder;
  const std::string data = small_videos(folder), run = folder.file("run");
  REQUIRE(mcn_command(small_training(data, run, {"--iterations", "1"})).exit_code == 0);
  const std::string saved = read_file(run + "/last.safetensors");
  CHECK(mcn_command(small_training(data, run, {"--frames", "64"})).exit_code == 3);  // the videos are shorter
  CHECK(mcn_command(small_training(data, run, {"--inner-lr", "1e300"})).exit_code == 5);
  CHECK(read_file(run + "/last.safetensors") == saved);
  CHECK_FALSE(std::filesystem::exists(run + "/earlier-1"));
}

TEST_CASE("a run that learns inner rates writes them into its metrics and its report, and goes on with them") {
  const test::TemporaryFolder folder;
  const std::string data = small_videos(folder), run = folder.file("run"), other = folder.file("other");
  const auto train = [&](const std::string& out, const std::vector<std::string>& more) {
    std::vector<std::string> arguments =
        small_training(data, out, {"--learn-inner-lr", "--inner-lr-lr", "1000", "--first-order-for", "1"});
    arguments.insert(arguments.end(), more.begin(), more.end());
    return mcn_command(arguments);
  };
  const auto whole = train(run, {"--iterations", "4"});
  INFO(whole.err);
  REQUIRE(whole.exit_code == 0);
  CHECK(whole.out.find("alpha1 of each group: stem ") != std::string::npos);
  std::vector<nlohmann::json> lines;
  std::istringstream stream(read_file(run + "/metrics.jsonl"));
  for (std::string line; std::getline(stream, line);) lines.push_back(nlohmann::json::parse(line));
  REQUIRE(lines.size() == 4);
  CHECK(lines[0].at("alpha1").at("layer2") == lines[0].at("inner_lr"));
  CHECK(lines[3].at("alpha1").size() == 6);
  CHECK(lines[3].at("alpha1").at("layer2") != lines[0].at("alpha1").at("layer2"));
  CHECK(read_file(run + "/report.html").find("Inner learning rates") != std::string::npos);

  REQUIRE(train(other, {"--iterations", "2"}).exit_code == 0);
  REQUIRE(train(other, {"--iterations", "4", "--resume", other + "/last.safetensors"}).exit_code == 0);
  const bool same = read_file(other + "/last.safetensors") == read_file(run + "/last.safetensors");
  CHECK(same);

  const auto unknown = train(other, {"--iterations", "4", "--inner-lr-factors", "layer9=2"});
  CHECK(unknown.exit_code == 2);
  CHECK(one_line_error(unknown, "train", {"layer9", "stem, layer1"}));
  const auto negative = train(other, {"--iterations", "4", "--inner-lr", "-0.1"});
  CHECK(negative.exit_code == 2);
  CHECK(one_line_error(negative, "train", {"above 0", "-0.1"}));
}

TEST_CASE("a run that cannot fit into memory is refused before any work, and writes nothing") {
  const test::TemporaryFolder folder;
  const std::string data = small_videos(folder), run = folder.file("run");
  const auto refused = mcn_command({"train", "--data", data, "--out", run, "--preset", "tiny", "--size", "4000",
                                    "--batch", "4", "--inner-steps", "3"});
  INFO(refused.err);
  CHECK(refused.exit_code == 4);
  CHECK(one_line_error(refused, "memory", {"GiB", "available", "--force"}));
  CHECK_FALSE(std::filesystem::exists(run));
}

TEST_CASE("a run goes on in another folder, and is refused on other data") {
  const test::TemporaryFolder folder;
  const std::string data = small_videos(folder), run = folder.file("run"), last = run + "/last.safetensors";
  REQUIRE(mcn_command(small_training(data, run, {"--iterations", "1"})).exit_code == 0);
  const auto resume = [&](const std::string& set, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = small_training(set, folder.file("other"), more);
    arguments.insert(arguments.end(), {"--resume", last});
    return mcn_command(arguments);
  };
  CHECK(resume(data, {"--iterations", "2"}).err.find("changed") == std::string::npos);
  const auto changed = resume(data, {"--iterations", "2", "--method", "contrastive", "--optimizer", "sgd",
                                     "--allow-change", "method,optimizer"});
  CAPTURE(changed.err);
  CHECK(changed.exit_code == 0);
  CHECK(changed.err.find("changed since the checkpoint: method mcn -> contrastive\n") != std::string::npos);
  CHECK(changed.err.find("changed since the checkpoint: optimizer adamw -> sgd (its moments start at zero)\n") !=
        std::string::npos);
  const std::string more = folder.file("more");
  REQUIRE(mcn_command({"synth", "--out", more, "--classes", "2", "--train", "6", "--test", "1", "--frames", "8",
                       "--height", "32", "--width", "32"})
              .exit_code == 0);
  const auto refused = resume(more, {"--iterations", "2"});
  CAPTURE(refused.err);
  CHECK(refused.exit_code == 3);
  CHECK(one_line_error(refused, "checkpoint",
                       {last, "data 4 videos, ", " -> 6 videos, ", "--init " + last + " starts a new run"}));
}

TEST_CASE("the first interrupt is answered at once, and the run goes on from its checkpoint") {
  const test::TemporaryFolder folder;
  const std::string data = small_videos(folder), run = folder.file("run");
  test::Command training_run(small_training(data, run, {"--iterations", "1000000"}));
  REQUIRE(training_run.wait_for_error_text("train:"));
  training_run.send(SIGINT);
  const auto result = training_run.wait();
  CHECK(result.exit_code == 130);
  CHECK(result.err.find("stopping after this iteration (about ") != std::string::npos);
  CHECK(result.err.find("go on with --resume " + run + "/last.safetensors") != std::string::npos);
  // It may have come before the first iteration's end.
  CHECK(std::filesystem::exists(run + "/report.html") != read_file(run + "/metrics.jsonl").empty());
}

TEST_CASE("a resumed run keeps the whole lines of the metrics before it, and replaces the file at once") {
  const test::TemporaryFolder folder;
  const std::string data = small_videos(folder), run = folder.file("run"), metrics = run + "/metrics.jsonl";
  REQUIRE(mcn_command(small_training(data, run, {"--iterations", "2"})).exit_code == 0);
  const std::string lines = read_file(metrics);
  test::write_file(metrics, lines + "\n[0]\n{}\n{\"iteration\":\"0\"}\n{\"iteration\":0.5}\n{\"iteration\":1,\"con");
  const std::string torn = read_file(metrics);
  // A second name of the file shows whether it is ever shorter, as it would be left by a full disk.
  std::filesystem::create_hard_link(metrics, folder.file("before"));
  const auto resume = [&](const std::string& iterations) {
    return mcn_command(small_training(data, run, {"--resume", run + "/last.safetensors", "--iterations", iterations}));
  };
  const auto further = resume("3");
  INFO(further.err);
  CHECK(further.exit_code == 0);
  CHECK(read_file(folder.file("before")) == torn);
  const std::string now = read_file(metrics);
  CHECK(now.starts_with(lines));
  CHECK(std::ranges::count(now, '\n') == 3);

  const auto none = resume("1");
  CHECK(none.exit_code == 0);
  CHECK(none.err.find("nothing was left to train") != std::string::npos);
  CHECK(read_file(metrics) == now);
}

TEST_CASE("a folder that a run writes to is refused to another, also to resume it, until the run ends") {
  const test::TemporaryFolder folder;
  const std::string data = small_videos(folder), run = folder.file("run");
  REQUIRE(mcn_command(small_training(data, run, {"--iterations", "1"})).exit_code == 0);
  const auto resumed = [&](const std::string& iterations) {
    return std::vector<std::string>{"--resume", run + "/last.safetensors", "--iterations", iterations};
  };
  test::Command first(small_training(data, run, resumed("1000000")));
  REQUIRE(first.wait_for_error_text("train:"));
  const std::string config = read_file(run + "/config.toml");
  for (const auto& more : {std::vector<std::string>{"--iterations", "1"}, resumed("1")}) {
    const auto second = mcn_command(small_training(data, run, more));
    INFO(second.err);
    CHECK(second.exit_code == 3);
    CHECK(one_line_error(second, "train", {run, "another run"}));
  }
  CHECK(read_file(run + "/config.toml") == config);
  CHECK_FALSE(std::filesystem::exists(run + "/earlier-1"));
  first.send(SIGTERM);
  CHECK(first.wait().exit_code == 143);
  CHECK(mcn_command(small_training(data, run, {"--iterations", "1"})).exit_code == 0);
}

}  // namespace mcn
