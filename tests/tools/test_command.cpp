// The command as a whole: help, versions, exit codes, and errors of one line.
#include <algorithm>
#include <sstream>

#include "engine/device.h"
#include "tests/catch.h"
#include "tests/tools/run_command.h"
#include "tools/command.h"

namespace mcn {

using test::mcn_command;
using test::one_line_error;

TEST_CASE("help and version are results") {
  const auto help = mcn_command({"--help"});
  CHECK(help.exit_code == 0);
  CHECK(help.err.empty());
  for (const char* word :
       {"train", "evaluate", "finetune", "embed", "export", "synth", "audit", "report", "gradcheck", "grad", "bench",
        "frames", "inspect", "devices", "completion", "help", "Exit codes", "seconds", "pixels"}) {
    CAPTURE(word);
    CHECK(help.out.find(word) != std::string::npos);
  }
  const auto version = mcn_command({"--version"});
  CHECK(version.exit_code == 0);
  CHECK(version.out.starts_with("mcn "));
  for (const char* word : {"compiler ", "devices ", "cpu (", "ref (", "simt (", "FFmpeg ", "libavcodec ", "NVTX "}) {
    CAPTURE(word);
    CHECK(version.out.find(word) != std::string::npos);
  }
}

TEST_CASE("every command has help with its defaults") {
  const std::string name =
      GENERATE(as<std::string>{}, "train", "evaluate", "finetune", "embed", "export", "synth", "audit", "report",
               "gradcheck", "grad", "bench", "frames", "inspect", "devices", "completion", "help");
  CAPTURE(name);
  const auto help = mcn_command({name, "--help"});
  CHECK(help.exit_code == 0);
  CHECK(help.err.empty());
  CHECK(help.out.find("\nUsage: mcn " + name + " [OPTIONS]") != std::string::npos);
  const auto same = mcn_command({"help", name});
  CHECK(same.exit_code == 0);
  CHECK(same.out == help.out);
}

TEST_CASE("a command without the one that it needs shows those that there are, and help shows the same as a result") {
  for (const std::vector<std::string>& command : {std::vector<std::string>{}, std::vector<std::string>{"bench"}}) {
    const auto alone = mcn_command(command);
    CAPTURE(command);
    CHECK(alone.exit_code == 2);
    CHECK(alone.out.empty());
    std::vector<std::string> help{"help"};
    help.insert(help.end(), command.begin(), command.end());
    const auto helped = mcn_command(help);
    CHECK(helped.exit_code == 0);
    CHECK(helped.out == alone.err);
    CHECK(helped.out.find("\nSubcommands:\n") != std::string::npos);
    std::vector<std::string> option = command;
    option.emplace_back("--help");
    CHECK(mcn_command(option).out == helped.out);
  }
  CHECK(mcn_command({"help", "bench", "step"}).out == mcn_command({"bench", "step", "--help"}).out);
}

TEST_CASE("help is as wide as it is told to be, has its groups, its defaults and examples") {
  const auto help = [](const char* columns) { return mcn_command({"train", "--help"}, {{"COLUMNS", columns}}).out; };
  const auto longest = [](const std::string& text) {
    std::size_t most = 0;
    std::istringstream lines(text);
    // Examples are lines to copy; a word, or a name with what it takes, has no place to break.
    for (std::string line; std::getline(lines, line) && line != "Examples:";) {
      const bool breaks = line.find(' ', line.find_first_not_of(' ')) != std::string::npos;
      if (breaks && !line.starts_with("  --")) most = std::max(most, line.size());
    }
    return most;
  };
  CHECK(longest(help("60")) <= 60);
  CHECK(longest(help("60")) > 50);
  CHECK(longest(help("90")) <= 90);
  CHECK(longest(help("90")) > 80);
  CHECK(longest(help("1000")) <= 120);
  CHECK(longest(help("1")) <= 60);
  CHECK(help("wide") == help("100"));
  const std::string text = help("100");
  std::size_t at = 0;
  for (const char* part : {"\nUsage: mcn train [OPTIONS]\n",
                           "\nOptions:\n",
                           "--help",
                           "\nData:\n",
                           "--data FOLDER",
                           "\nRun:\n",
                           "--resume",
                           "\nDevice, threads and files:\n",
                           "--device",
                           "\nModel:\n",
                           "--arch",
                           "r2plus1d_18",
                           "\nMethod:\n",
                           "--temperature",
                           "\nOptimizer and length of training:\n",
                           "--epochs",
                           "\nBatches and clips:\n",
                           "--stride",
                           "\nAugmentation:\n",
                           "--flip",
                           "\nExamples:\n  mcn train --data "}) {
    CAPTURE(part);
    const std::size_t found = text.find(part, at);
    REQUIRE(found != std::string::npos);
    at = found;
  }
}

TEST_CASE("usage errors exit with 2 and one line") {
  struct Case {
    std::vector<std::string> arguments;
    std::vector<std::string> texts;
  };
  const auto c = GENERATE(
      values<Case>({{{"frobnicate"}, {"mcn has no command \"frobnicate\"; it has train, evaluate, "}},
                    {{"trian"}, {"mcn has no command \"trian\"; did you mean train?"}},
                    {{"bench", "stp"}, {"mcn bench has no command \"stp\"; did you mean step?"}},
                    {{"bench", "walk"}, {"mcn bench has no command \"walk\"; it has decode, step, "}},
                    {{"help", "trian"}, {"mcn has no command \"trian\"; did you mean train?"}},
                    {{"help", "bench", "stp"}, {"mcn bench has no command \"stp\"; did you mean step?"}},
                    {{"help", "train", "step"}, {"mcn train has no command \"step\""}},
                    {{"--frobnicate"}, {"unknown", "--frobnicate"}},
                    {{"devices", "--frobnicate"}, {"--frobnicate"}},
                    {{"devices", "more"}, {"more"}},
                    {{"grad", "--out", "x"}, {"--problem"}},
                    {{"grad", "--problem", "x"}, {"--out"}},
                    {{"grad", "--problem", "x", "--out", "y", "--order", "3"}, {"--order", "3"}},
                    {{"grad", "--problem", "x", "--out", "y", "--dtype", "f16"}, {"f16"}},
                    {{"grad", "--problem", "x", "--out", "y", "--model", "vgg"}, {"vgg"}},
                    {{"grad", "--problem", "x", "--out", "y", "--inner-steps", "-1"}, {"-1"}},
                    {{"grad", "--problem", "x", "--out", "y", "--inner-lr", "fast"}, {"fast"}},
                    {{"grad", "--problem", "x", "--out", "y", "--inner-tape", "rip"}, {"rip"}},
                    {{"bench", "step", "--batch", "1"}, {"--batch"}},
                    {{"bench", "step", "--size", "0"}, {"--size: expected a number above 0, got 0"}},
                    {{"bench", "meta", "--way", "1"}, {"--way"}},
                    {{"frames", "x.mp4", "--out", "y"}, {"--at"}},
                    {{"synth", "--out", "x", "--threads", "0"}, {"--threads"}},
                    {{"synth", "--out", "x", "--seed", "-1"}, {"--seed"}},
                    {{"synth", "--out", "x", "--scene", "sticks"}, {"--scene", "sticks"}},
                    {{"audit", "--data", "x", "--decode-timeout", "inf"},
                     {"--decode-timeout: expected a number of at least 0, got inf"}},
                    {{"completion"}, {"shell"}},
                    {{"completion", "fish"}, {"fish"}},
                    {{"gradcheck", "--seed", "-1"}, {"--seed"}},
                    {{"train", "--data", "x", "--out", "y", "--seed", "-1"}, {"--seed", "at least 0", "-1"}},
                    {{"train", "--data", "x", "--out", "y", "--iterations", "99999999999999999999"},
                     {"--iterations: expected an integer of 64 bits, got 99999999999999999999"}},
                    {{"train", "--data", "x", "--out", "y", "--milestones", "1,9223372036854775808"},
                     {"--milestones", "9223372036854775808"}},
                    {{"evaluate", "--data", "x", "--seed", "18446744073709551616"}, {"--seed", "18446744073709551616"}},
                    {{"bench", "train", "--iterations", "-9223372036854775809"}, {"-9223372036854775809"}}}));
  CAPTURE(c.arguments);
  const auto result = mcn_command(c.arguments);
  CAPTURE(result.err);
  CHECK(result.exit_code == 2);
  CHECK(one_line_error(result, "usage", c.texts));
}

TEST_CASE("an unknown device exits with 2 and names those that there are") {
  const auto arguments = GENERATE(values<std::vector<std::string>>({
      {"gradcheck", "--device", "abacus"},
      {"bench", "step", "--device", "abacus"},
      {"bench", "meta", "--device", "abacus"},
      {"grad", "--problem", "x", "--out", "y", "--device", "abacus"},
  }));
  const auto result = mcn_command(arguments);
  CAPTURE(arguments, result.err);
  CHECK(result.exit_code == 2);
  CHECK(one_line_error(result, "device", {"abacus", "cpu", "ref"}));
}

TEST_CASE("missing files exit with 3 and are named") {
  struct Case {
    std::vector<std::string> arguments;
    const char* prefix;
  };
  const test::TemporaryFolder folder;
  const std::string missing = folder.file("missing");
  const std::string out = folder.file("out");
  const std::vector<Case> cases{
      {{"grad", "--problem", missing, "--out", out}, "safetensors"},
      {{"frames", missing, "--at", "0", "--out", out + ".npy"}, "video"},
      {{"inspect", missing}, "video"},
      {{"train", "--data", missing, "--out", out}, "dataset"},
      {{"audit", "--data", missing}, "dataset"},
      {{"train", "--config", missing, "--data", missing, "--out", out}, "config"},
      {{"embed", "--checkpoint", missing, "--data", missing, "--out", out + ".npz"}, "safetensors"},
      {{"evaluate", "--checkpoint", missing, "--data", missing}, "safetensors"}};
  for (const Case& c : cases) {
    const auto result = mcn_command(c.arguments);
    CAPTURE(c.arguments, result.err);
    CHECK(result.exit_code == 3);
    CHECK(one_line_error(result, c.prefix, {missing}));
  }
  CHECK(folder.count() == 0);
}

TEST_CASE("a config key that does not exist exits with 2 and is named") {
  test::TemporaryFolder folder;
  test::write_file(folder.file("c.toml"), "batch = 8\nbatches = 9\n");
  const auto result = mcn_command(
      {"train", "--config", folder.file("c.toml"), "--data", folder.file("d"), "--out", folder.file("run")});
  CAPTURE(result.err);
  CHECK(result.exit_code == 2);
  CHECK(one_line_error(result, "config", {"batches"}));
}

TEST_CASE("an integer beyond 64 bits in a settings file is refused") {
  const test::TemporaryFolder folder;
  test::write_file(folder.file("c.toml"), "iterations = 99999999999999999999\n");
  const auto result = mcn_command(
      {"train", "--config", folder.file("c.toml"), "--data", folder.file("d"), "--out", folder.file("run")});
  CAPTURE(result.err);
  CHECK(result.exit_code == 2);
  CHECK(one_line_error(result, "config", {"c.toml:1", "iterations", "99999999999999999999"}));
}

TEST_CASE("settings have an end, and may come from a pipe") {
  const auto result = mcn_command({"train", "--config", "/dev/zero", "--data", "d", "--out", "run"});
  CAPTURE(result.err);
  CHECK(result.exit_code == 3);
  CHECK(one_line_error(result, "config", {"/dev/zero", "expected at most 1048576 bytes"}));
  const test::TemporaryFolder folder;
  const std::string line =
      MCN_BINARY_DIR "/mcn train --config <(echo 'batches = 9') --data d --out run 2>" + folder.file("err");
  CHECK(std::system(("bash -c \"" + line + "\"").c_str()) == 2 << 8);
  CHECK(test::read_file(folder.file("err")).find("batches") != std::string::npos);
}

TEST_CASE("results that cannot be written are no success") {
  const int status = std::system(MCN_BINARY_DIR "/mcn devices >/dev/full 2>/dev/null");
  CHECK(status == 3 << 8);
}

TEST_CASE("devices are listed with a line each") {
  const auto result = mcn_command({"devices"});
  CHECK(result.exit_code == 0);
  for (const std::string& name : device_names()) CHECK(result.out.find(name + " ") != std::string::npos);
  CHECK(result.out.find(open_device("cpu").detail()) != std::string::npos);
}

TEST_CASE("gradcheck prints a table and passes") {
  const auto result = mcn_command({"gradcheck", "--device", "cpu", "--dtype", "f32", "--seed", "3"});
  CAPTURE(result.out, result.err);
  CHECK(result.exit_code == 0);
  for (const char* word : {"operator", "rule", "error", "tolerance", "conv3d", "batch_norm", "vjp_dot = ref"}) {
    CAPTURE(word);
    CHECK(result.out.find(word) != std::string::npos);
  }
  CHECK(result.last_line().ends_with(" checks passed on cpu, f32"));
  CHECK(result.out.find("MISS") == std::string::npos);
}

TEST_CASE("bench prints one JSON object in its last line", "[slow]") {
  const auto step = mcn_command({"bench", "step", "--batch", "2", "--frames", "2", "--size", "16", "--runs", "1"});
  CAPTURE(step.err);
  CHECK(step.exit_code == 0);
  for (const char* key : {"seconds_min", "seconds_median", "peak_rss_gib", "threads", "device", "gflops"}) {
    CAPTURE(key);
    CHECK(step.last_line().find(fmt::format("\"{}\":", key)) != std::string::npos);
  }
}

TEST_CASE("too little memory is an error with what to do about it, another fault of a device is not") {
  CHECK(device_message(MemoryError("[memory] cuda: out of memory: asked for 4.0 MiB")) ==
        "[memory] cuda: out of memory: asked for 4.0 MiB; a smaller --batch, --ring, --frames or --size, or "
        "--inner-tape recompute, needs less");
  CHECK(device_message(DeviceError("[cuda] no GPU is found")) == "[cuda] no GPU is found");
}

}  // namespace mcn
