// How a run goes on: from which checkpoint, with which settings, and what becomes of damaged files in its folder.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "tests/catch.h"
#include "tests/tools/small_run.h"

namespace mcn {

using Catch::Matchers::ContainsSubstring;
using test::mcn_command;
using test::read_file;
using test::write_file;
namespace fs = std::filesystem;

namespace {

using Arguments = std::vector<std::string>;

// Four videos, and trainings of a second with a constant rate.
struct Runs {
  [[nodiscard]] Arguments arguments(const Arguments& more) const {
    Arguments all = test::small_training(data, run,
                                         {"--method", "contrastive", "--report", "no", "--checkpoint-every", "1",
                                          "--threads", "1", "--loader-threads", "1"});
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  [[nodiscard]] test::CommandResult train(const Arguments& more) const { return mcn_command(arguments(more)); }
  [[nodiscard]] std::string file(const char* name) const { return run + "/" + name; }

  test::TemporaryFolder folder;
  std::string data = test::small_videos(folder), run = folder.file("run"), last = run + "/last.safetensors";
};

std::vector<std::int64_t> iterations_in(const std::string& path) {
  std::istringstream text(read_file(path));
  std::vector<std::int64_t> iterations;
  for (std::string line; std::getline(text, line);)
    iterations.push_back(nlohmann::json::parse(line).at("iteration").get<std::int64_t>());
  return iterations;
}

void flip_a_bit(const std::string& path) {
  std::string bytes = read_file(path);
  bytes[bytes.size() / 2] ^= 1;
  write_file(path, bytes);
}

}  // namespace

TEST_CASE("a damaged checkpoint is named with the one that is used, and no sound one is lost by going on") {
  const Runs runs;
  REQUIRE(runs.train({"--iterations", "3"}).exit_code == 0);
  const std::string truth = read_file(runs.last);
  CHECK(fs::exists(runs.file("last-1.safetensors")));
  CHECK_FALSE(fs::exists(runs.file("last-2.safetensors")));
  REQUIRE(runs.train({"--iterations", "2"}).exit_code == 0);
  const std::string before = read_file(runs.file("last-1.safetensors"));
  CHECK(fs::exists(runs.file("earlier-1/last-1.safetensors")));
  flip_a_bit(runs.last);
  const std::string damaged = read_file(runs.last);

  // Nothing is done, and so nothing changes.
  CHECK(runs.train({"--iterations", "1", "--resume", runs.last}).exit_code == 0);
  CHECK(read_file(runs.last) == damaged);
  const auto resumed = runs.train({"--iterations", "3", "--resume", runs.last, "--checkpoint-every", "100"});
  CAPTURE(resumed.err);
  CHECK(resumed.exit_code == 0);
  CHECK_THAT(resumed.err, ContainsSubstring("warning: [safetensors] " + runs.last + ": ") &&
                              ContainsSubstring(runs.file("last-1.safetensors")) && ContainsSubstring("iterations\n"));
  CHECK(read_file(runs.last) == truth);
  // The damaged file has not taken the sound one's place.
  CHECK(read_file(runs.file("last-1.safetensors")) == before);

  flip_a_bit(runs.last);
  flip_a_bit(runs.file("last-1.safetensors"));
  const auto refused = runs.train({"--iterations", "4", "--resume", runs.last});
  CHECK(refused.exit_code == 3);
  CHECK(one_line_error(refused, "safetensors", {runs.last}));
}

TEST_CASE("the option --keep says how many checkpoints stay") {
  const Runs runs;
  REQUIRE(runs.train({"--iterations", "5", "--keep", "4"}).exit_code == 0);
  CHECK(fs::exists(runs.file("last-3.safetensors")));
  CHECK_FALSE(fs::exists(runs.file("last-4.safetensors")));
  REQUIRE(runs.train({"--iterations", "6", "--keep", "1", "--resume", runs.last}).exit_code == 0);
  for (const char* name : {"last-1.safetensors", "last-2.safetensors", "last-3.safetensors"})
    CHECK_FALSE(fs::exists(runs.file(name)));
  for (const char* keep : {"0", "100", "x"})
    CHECK(runs.train({"--iterations", "7", "--keep", keep, "--resume", runs.last}).exit_code == 2);
}

TEST_CASE("a run killed at any time leaves a sound checkpoint, and what it left is gone after the next one") {
  const Runs runs;
  for (int kill = 0; kill < 4; ++kill) {
    Arguments more{"--iterations", "1000000", "--keep", "3"};
    if (fs::exists(runs.last)) more.insert(more.end(), {"--resume", runs.last});
    test::Command run(runs.arguments(more));
    REQUIRE(run.wait_for_error_text("train:"));
    std::this_thread::sleep_for(std::chrono::milliseconds(20 + 37 * kill));
    run.send(SIGKILL);
    CHECK(run.wait().exit_code == 128 + SIGKILL);
  }
  const pid_t gone = ::fork();
  if (gone == 0) ::_exit(0);
  REQUIRE(::waitpid(gone, nullptr, 0) == gone);
  const std::string left = runs.last + ".tmp-" + std::to_string(gone) + "-7";
  const std::string living = runs.last + ".tmp-" + std::to_string(::getpid()) + "-7";
  for (const std::string& path : {left, living}) write_file(path, "part of a checkpoint");
  Arguments more{"--iterations", "1000000"};
  if (fs::exists(runs.last)) more.insert(more.end(), {"--resume", runs.last});
  test::Command run(runs.arguments(more));
  REQUIRE(run.wait_for_error_text("train:"));
  run.send(SIGTERM);
  const auto stopped = run.wait();
  CHECK(stopped.err.find("damaged") == std::string::npos);
  int temporaries = 0;
  for (const auto& entry : fs::directory_iterator(runs.run))
    temporaries += entry.path().string().find(".tmp-") != std::string::npos ? 1 : 0;
  CHECK(temporaries == 1);
  CHECK(fs::exists(living));
}

TEST_CASE("a run that would go on as something else is refused with the names, and allowed by them") {
  const Runs runs;
  REQUIRE(runs.train({"--iterations", "1"}).exit_code == 0);
  const std::string before = read_file(runs.last);
  const Arguments changes{"--iterations", "2", "--resume", runs.last, "--lr", "0.5", "--batch", "2"};
  const auto refused = runs.train(changes);
  CAPTURE(refused.err);
  CHECK(refused.exit_code == 3);
  CHECK(one_line_error(refused, "checkpoint",
                       {runs.last, "batch 4 -> 2, lr ", " -> 0.5; --allow-change batch,lr goes on all the same",
                        "--init " + runs.last + " starts a new run"}));
  CHECK(read_file(runs.last) == before);
  Arguments one = changes;
  one.insert(one.end(), {"--allow-change", "lr"});
  CHECK_THAT(runs.train(one).err, ContainsSubstring("--allow-change batch goes on"));
  Arguments both = changes;
  both.insert(both.end(), {"--allow-change", "batch,lr"});
  const auto allowed = runs.train(both);
  CAPTURE(allowed.err);
  CHECK(allowed.exit_code == 0);
  CHECK_THAT(allowed.err, ContainsSubstring("changed since the checkpoint: batch 4 -> 2\n") &&
                              ContainsSubstring("changed since the checkpoint: lr "));
  // The settings are the run's from now on.
  CHECK(runs.train({"--iterations", "3", "--resume", runs.last, "--lr", "0.5", "--batch", "2"}).exit_code == 0);
  CHECK(read_file(runs.file("config.toml")).find("allow-change") == std::string::npos);

  const auto unknown = runs.train({"--resume", runs.last, "--allow-change", "rate"});
  CHECK(unknown.exit_code == 2);
  CHECK(one_line_error(unknown, "usage", {"--allow-change", "weight-decay", "got rate"}));
  const auto network = runs.train({"--resume", runs.last, "--feature-size", "64", "--allow-change", "all"});
  CHECK(network.exit_code == 3);
  CHECK(one_line_error(network, "checkpoint", {"another network: feature-size 128 -> 64"}));
  CHECK(network.err.find("--allow-change") == std::string::npos);
}

TEST_CASE("a data set in another order is another one, and one that was moved is the same") {
  const Runs runs;
  REQUIRE(runs.train({"--iterations", "1"}).exit_code == 0);
  const std::string moved = runs.folder.file("moved");
  fs::rename(runs.data, moved);
  CHECK(runs.train({"--iterations", "2", "--resume", runs.last, "--data", moved}).exit_code == 0);
  const std::string list = moved + "/ucfTrainTestlist/trainlist01.txt";
  const std::string lines = read_file(list);
  const std::size_t first = lines.find('\n') + 1;
  write_file(list, lines.substr(first) + lines.substr(0, first));
  const auto refused = runs.train({"--iterations", "3", "--resume", runs.last, "--data", moved});
  CAPTURE(refused.err);
  CHECK(refused.exit_code == 3);
  CHECK(one_line_error(refused, "checkpoint", {"data 4 videos, ", " -> 4 videos, ", "--allow-change data"}));
}

TEST_CASE("an empty name of a checkpoint or of weights is a mistake, and nothing is moved aside") {
  const Runs runs;
  REQUIRE(runs.train({"--iterations", "1"}).exit_code == 0);
  for (const char* option : {"--resume", "--init"}) {
    const auto refused = runs.train({"--iterations", "2", option, ""});
    INFO(option << ": " << refused.err);
    CHECK(refused.exit_code == 2);
    CHECK(one_line_error(refused, "train", {option, "empty"}));
  }
  CHECK_FALSE(fs::exists(runs.file("earlier-1")));
}

TEST_CASE("sizes that no clip or network can have are refused before anything is made") {
  const Runs runs;
  for (const Arguments& more : std::vector<Arguments>{{"--feature-size", "2305843009213693951"},
                                                      {"--feature-size", "1"},
                                                      {"--width", "1e9"},
                                                      {"--resize-height", "1073741824"},
                                                      {"--size", "0"},
                                                      {"--frames", "1000000000"}}) {
    const auto refused = runs.train(more);
    INFO(more[0] << " " << more[1] << ": " << refused.err);
    CHECK(refused.exit_code == 2);
    CHECK(one_line_error(refused, "usage", {more[0]}));
  }
  CHECK_FALSE(fs::exists(runs.run));
}

TEST_CASE("damaged lines of a run's files are mended when it goes on, with a line for each mending") {
  const Runs runs;
  REQUIRE(runs.train({"--iterations", "4"}).exit_code == 0);
  const std::string metrics = runs.file("metrics.jsonl"), good = read_file(metrics);
  std::vector<std::string> lines;
  std::istringstream text(good);
  for (std::string line; std::getline(text, line);) lines.push_back(line + "\n");
  REQUIRE(lines.size() == 4);
  const auto negative = [](std::string line) { return line.replace(line.find("\"iteration\":") + 12, 1, "-5"); };
  const std::string wrong_type = "{\"iteration\":2,\"loss_query\":\"low\"}\n";
  write_file(metrics,
             lines[1] + lines[0] + lines[1] + negative(lines[0]) + wrong_type + "{}\n" + lines[3] + R"({"iteration":)");
  write_file(runs.file("bad_videos.jsonl"), R"({"iteration":1,"video":5})"
                                            "\n");
  fs::remove(runs.file("evaluations.jsonl"));
  const auto resumed = runs.train({"--iterations", "5", "--resume", runs.last});
  CAPTURE(resumed.err);
  CHECK(resumed.exit_code == 0);
  CHECK_THAT(resumed.err, ContainsSubstring("warning: " + metrics + ": 3 damaged lines are removed\n") &&
                              ContainsSubstring("warning: " + metrics + ": 1 lines that stood there twice") &&
                              ContainsSubstring("warning: " + metrics + ": its lines are in order again\n") &&
                              ContainsSubstring("warning: " + metrics + ": 1 of the 4 iterations before this one") &&
                              ContainsSubstring(runs.file("bad_videos.jsonl") + ": 1 damaged lines") &&
                              ContainsSubstring(runs.file("evaluations.jsonl") + " is missing"));
  CHECK(iterations_in(metrics) == std::vector<std::int64_t>{0, 1, 3, 4});
  CHECK(read_file(metrics).starts_with(lines[0] + lines[1] + lines[3]));
  CHECK(read_file(runs.file("bad_videos.jsonl")).empty());
  // From then on there is nothing to say but that a line is missing.
  const auto again = runs.train({"--iterations", "6", "--resume", runs.last});
  CHECK(again.err.find("damaged") == std::string::npos);
  CHECK(iterations_in(metrics) == std::vector<std::int64_t>{0, 1, 3, 4, 5});
}

TEST_CASE("a run whose folder is removed or moved says so at its next line, and ends") {
  const Runs runs;
  const bool removed = GENERATE(true, false);
  test::Command run(runs.arguments({"--iterations", "1000000", "--checkpoint-every", "1000000"}));
  REQUIRE(run.wait_for_error_text("train:"));
  const std::string metrics = runs.file("metrics.jsonl");
  for (int i = 0; i < 6000 && read_file(metrics).empty(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  REQUIRE_FALSE(read_file(metrics).empty());
  fs::rename(runs.run, runs.folder.file("away"));
  if (removed) fs::remove_all(runs.folder.file("away"));
  const auto result = run.wait();
  CAPTURE(result.err);
  CHECK(result.exit_code == 3);
  CHECK_THAT(result.err, ContainsSubstring("mcn: [train] " + metrics + ": it, or its folder, was moved, removed or "));
}

}  // namespace mcn
