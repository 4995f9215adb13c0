// Too little memory and too few threads: exit code 4, a line, and what a training has learned. None of these runs under
// sanitizers, whose shadow is larger than any limit here.
#include <filesystem>

#include "tests/catch.h"
#include "tests/tools/small_run.h"

namespace mcn {

using test::mcn_command;
using test::one_line_error;
using test::read_file;

namespace {

constexpr std::size_t mib = std::size_t{1} << 20;

}  // namespace

TEST_CASE("a training that runs out of memory ends with 4 and a checkpoint, from which it goes on", "[slow]") {
  const test::TemporaryFolder folder;
  const std::string data = folder.file("data"), run = folder.file("run"), last = run + "/last.safetensors";
  REQUIRE(mcn_command({"synth", "--out", data, "--classes", "2", "--train", "8", "--test", "1", "--frames", "8",
                       "--height", "32", "--width", "32"})
              .exit_code == 0);
  // Each evaluation takes 50 MiB of frames at a time, and gives them back.
  const auto train = [&](const std::string& out, const std::vector<std::string>& more) {
    std::vector<std::string> arguments =
        test::small_training(data, out, {"--resize-height",    "512", "--resize-width", "512", "--iterations",  "60",
                                         "--evaluate-every",   "40",  "--report",       "no",  "--seed",        "3",
                                         "--loader-threads",   "1",   "--threads",      "1",   "--index-cache", "",
                                         "--checkpoint-every", "1000"});
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  };
  test::Command training(train(run, {}));
  REQUIRE(training.wait_for_error_text(" 12/60"));
  training.take_memory_away();
  const auto result = training.wait();
  CAPTURE(result.err);
  CHECK(result.exit_code == 4);
  // Of what there is too little first is for the system to say: memory, or a thread.
  CHECK(result.err.find("\nmcn: [") != std::string::npos);
  CHECK(result.err.find("stopped after 40 iterations; go on with --resume " + last) != std::string::npos);
  REQUIRE(std::filesystem::exists(last));

  CHECK(mcn_command(train(run, {"--resume", last})).exit_code == 0);
  const std::string whole = folder.file("whole");
  REQUIRE(mcn_command(train(whole, {})).exit_code == 0);
  CHECK((read_file(last) == read_file(whole + "/last.safetensors")));
}

TEST_CASE("more threads than the system has room for are an error of the device", "[slow]") {
  const auto result =
      mcn_command({"bench", "train", "--iterations", "1", "--width", "0.1", "--size", "16", "--threads", "1024"}, {},
                  {.address_space = 2048 * mib});
  CAPTURE(result.err);
  CHECK(result.exit_code == 4);
  CHECK(one_line_error(result, "threads", {"expected 1024 of them"}));
}

TEST_CASE("whatever memory there is, a run ends in its result or with 4", "[slow]") {
  int done = 0, refused = 0;
  for (std::size_t limit = 100 * mib; limit <= 400 * mib; limit += 10 * mib) {
    const auto result =
        mcn_command({"bench", "train", "--iterations", "2", "--width", "0.1", "--size", "16", "--threads", "2"}, {},
                    {.address_space = limit});
    if (result.exit_code == 127) continue;  // the libraries did not fit
    CAPTURE(limit / mib, result.err);
    CHECK((result.exit_code == 0 || result.exit_code == 4));
    ++(result.exit_code == 0 ? done : refused);
    if (result.exit_code == 4) CHECK(result.err.starts_with("mcn: ["));
  }
  CHECK(done > 0);
  CHECK(refused > 0);
}

}  // namespace mcn
