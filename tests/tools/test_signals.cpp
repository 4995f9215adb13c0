// Signals that ask a training to stop: those of terminals and schedulers too, each with its exit code.
#include <csignal>
#include <filesystem>

#include "tests/catch.h"
#include "tests/tools/small_run.h"

namespace mcn {

namespace {

struct Run {
  [[nodiscard]] std::vector<std::string> arguments() const {
    return test::small_training(data, out, {"--iterations", "1000000"});
  }

  test::TemporaryFolder folder;
  std::string data = test::small_videos(folder), out = folder.file("run");
};

}  // namespace

TEST_CASE("each signal that asks for an end gets a checkpoint and 128 + its number") {
  const auto [signal, code] =
      GENERATE(table<int, int>({{SIGINT, 130}, {SIGTERM, 143}, {SIGHUP, 129}, {SIGUSR1, 138}, {SIGXCPU, 152}}));
  CAPTURE(signal);
  const Run run;
  test::Command training(run.arguments());
  REQUIRE(training.wait_for_error_text("train:"));
  training.send(signal);
  const auto result = training.wait();
  CAPTURE(result.err);
  CHECK(result.exit_code == code);
  CHECK(result.err.find("go on with --resume " + run.out + "/last.safetensors") != std::string::npos);
  CHECK(std::filesystem::exists(run.out + "/last.safetensors"));
}

TEST_CASE("a closing terminal's signals, and the kernel's on processor time, may come again before the checkpoint") {
  const int signal = GENERATE(SIGHUP, SIGXCPU);
  const Run run;
  test::Command training(run.arguments());
  REQUIRE(training.wait_for_error_text("train:"));
  for (int i = 0; i < 20; ++i) training.send(signal);
  const auto result = training.wait();
  CAPTURE(result.err);
  CHECK(result.exit_code == 128 + signal);
  CHECK(result.err.find("go on with --resume ") != std::string::npos);
}

TEST_CASE("a signal that the process was told to ignore stays ignored") {
  const Run run;
  test::Command training(run.arguments(), {}, {.ignored_signals = {SIGINT, SIGHUP, SIGUSR1}});
  REQUIRE(training.wait_for_error_text("train:"));
  for (const int signal : {SIGINT, SIGHUP, SIGUSR1}) training.send(signal);
  // It goes on, and answers the one that it was not told to ignore.
  REQUIRE(training.wait_for_error_text("about "));
  training.send(SIGTERM);
  const auto result = training.wait();
  CAPTURE(result.err);
  CHECK(result.exit_code == 143);
  CHECK(result.err.find("go on with --resume ") != std::string::npos);
}

TEST_CASE("work that has nothing to save names the signal that stops it") {
  const test::TemporaryFolder folder;
  test::Command synth({"synth", "--out", folder.file("videos"), "--train", "4000", "--test", "1000"});
  REQUIRE(synth.wait_for_error_text("synth:"));
  synth.send(SIGTERM);
  const auto result = synth.wait();
  CAPTURE(result.err);
  CHECK(result.exit_code == 143);
  CHECK(result.err.ends_with("mcn: [interrupt] stopped by SIGTERM\n"));
}

}  // namespace mcn
