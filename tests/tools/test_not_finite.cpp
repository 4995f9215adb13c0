// What the command does when training leaves the numbers: an exit code, one line, and a checkpoint to go back to.
#include "tests/catch.h"
#include "tests/tools/run_command.h"

namespace mcn {

using test::mcn_command;
using test::read_file;

TEST_CASE("a value that is not finite under bf16 exits with 5 and leaves the last checkpoint as it was", "[slow]") {
  const test::TemporaryFolder folder;
  const std::string data = folder.file("data"), run = folder.file("run"), last = folder.file("run/last.safetensors");
  REQUIRE(mcn_command({"synth", "--out", data, "--classes", "2", "--train", "4", "--test", "1", "--frames", "8",
                       "--height", "32", "--width", "32"})
              .exit_code == 0);
  const auto train = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"train", "--data",         data,          "--out",
                                       run,     "--device",       "simt",        "--precision",
                                       "bf16",  "--arch",         "r2plus1d_10", "--width",
                                       "0.07",  "--size",         "16",          "--resize-height",
                                       "18",    "--resize-width", "24",          "--batch",
                                       "4",     "--frames",       "4",           "--stride",
                                       "1",     "--bank",         "none",        "--checkpoint-every",
                                       "1",     "--schedule",     "constant",    "--warmup",
                                       "0"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return mcn_command(arguments);
  };
  const auto good = train({"--iterations", "1"});
  INFO(good.err);
  REQUIRE(good.exit_code == 0);
  const std::string saved = read_file(last);
  const auto diverged = train({"--iterations", "9", "--resume", last, "--inner-lr", "1e30", "--allow-change", "all"});
  INFO(diverged.err);
  CHECK(diverged.exit_code == 5);
  CHECK(diverged.err.find("mcn: [train] iteration 1: ") != std::string::npos);
  CHECK(diverged.err.find("not finite") != std::string::npos);
  CHECK(read_file(last) == saved);
  CHECK(train({"--iterations", "2", "--resume", last}).exit_code == 0);
}

TEST_CASE("steps that are too long are warned of by group, and the last finite state is kept beside a hint") {
  const test::TemporaryFolder folder;
  const std::string data = folder.file("data"), run = folder.file("run"), kept = run + "/last-finite.safetensors";
  REQUIRE(mcn_command({"synth", "--out", data, "--classes", "2", "--train", "4", "--test", "1", "--frames", "8",
                       "--height", "32", "--width", "32"})
              .exit_code == 0);
  const std::vector<std::string> small{"train", "--data",   data, "--width",  "0.07", "--size",      "16", "--batch",
                                       "4",     "--frames", "4",  "--stride", "1",    "--optimizer", "sgd"};
  const auto train = [&](const std::string& out, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = small;
    arguments.insert(arguments.end(), {"--out", out});
    arguments.insert(arguments.end(), more.begin(), more.end());
    return mcn_command(arguments);
  };
  const auto diverged = train(run, {"--lr", "1e6", "--inner-lr", "1e6", "--warmup", "0", "--iterations", "50"});
  INFO(diverged.err);
  CHECK(diverged.exit_code == 5);
  CHECK(diverged.err.find("warning: iteration 0 moved stem by ") != std::string::npos);
  CHECK(diverged.err.find("a lower --lr") != std::string::npos);
  CHECK(test::read_file(run + "/report.html").find(" of 50 iterations") != std::string::npos);
  CHECK(diverged.err.find("the state before it is in " + kept) != std::string::npos);
  const auto again = train(folder.file("again"),
                           {"--resume", kept, "--inner-lr", "auto", "--iterations", "1", "--allow-change", "all"});
  CHECK(again.err.find("nothing was left to train") != std::string::npos);  // it can be read
}

}  // namespace mcn
