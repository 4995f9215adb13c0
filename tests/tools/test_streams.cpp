// Streams that are closed, full or without a reader: no work ends by them, and no exit code turns but that of a command
// whose result was lost.
#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/catch.h"
#include "tests/tools/small_run.h"

namespace mcn {

using test::Circumstances;
using test::mcn_command;
using test::read_file;
using test::Stream;
namespace fs = std::filesystem;

namespace {

using Arguments = std::vector<std::string>;

const std::vector<std::pair<Stream, const char*>> unsound{
    {Stream::closed, "closed"}, {Stream::full, "full"}, {Stream::broken_pipe, "broken pipe"}};

struct Set {
  Set() {
    REQUIRE(mcn_command({"synth", "--out", data, "--classes", "2", "--train", "8", "--test", "4", "--frames", "8",
                         "--height", "32", "--width", "32"})
                .exit_code == 0);
    for (const auto& entry : fs::recursive_directory_iterator(data))
      if (entry.path().extension() == ".mp4") video = entry.path().string();
    REQUIRE(!video.empty());
    REQUIRE(mcn_command(train(folder.file("trained"))).exit_code == 0);
  }
  [[nodiscard]] Arguments train(const std::string& into) const {
    return test::small_training(data, into, {"--iterations", "2", "--index-cache", ""});
  }

  test::TemporaryFolder folder;
  std::string data = folder.file("data"), video, checkpoint = folder.file("trained/last.safetensors");
};

}  // namespace

TEST_CASE("every command ends as it does with sound streams, but where stdout was to have its result", "[slow]") {
  const Set set;
  const std::string out = set.folder.file("out");
  struct Case {
    Arguments arguments;
    bool result_on_stdout;
  };
  const std::string train = set.folder.file("trained");
  const std::vector<Case> cases{
      {{"--help"}, true},
      {{"--version"}, true},
      {{"help", "train"}, true},
      {{"devices"}, true},
      {{"completion", "bash"}, true},
      {{"completion", "zsh"}, true},
      {{"inspect", set.video}, true},
      {{"gradcheck", "--device", "cpu", "--dtype", "f32", "--quick"}, true},
      {{"bench", "decode", set.video, "--skip-bad", "--clips", "1"}, true},
      {{"bench", "train", "--iterations", "1", "--width", "0.07", "--size", "16", "--frames", "2"}, true},
      {{"audit", "--data", set.data, "--frames", "4"}, true},
      {{"evaluate", "--data", set.data, "--checkpoint", set.checkpoint, "--clips", "1"}, true},
      {{"train", "--data", set.data, "--dry-run", "--batch", "4", "--frames", "4", "--size", "16"}, true},
      {set.train(out), false},
      {{"finetune", "--data", set.data, "--checkpoint", set.checkpoint, "--out", out, "--epochs", "1", "--held-out",
        "50", "--clips", "1"},
       false},
      {{"embed", "--data", set.data, "--checkpoint", set.checkpoint, "--out", out + ".npz", "--clips", "1"}, false},
      {{"export", "--checkpoint", set.checkpoint, "--out", out + ".safetensors"}, false},
      {{"frames", set.video, "--at", "0", "--out", out + ".npy"}, false},
      {{"report", train, "--out", out + ".html", "--pictures", "no"}, false},
      {{"synth", "--out", out, "--classes", "2", "--train", "2", "--test", "2", "--frames", "4", "--height", "32",
        "--width", "32"},
       false},
      {{"frobnicate"}, false},
      {{"bench"}, false},
      {{"grad", "--problem", out + ".missing", "--out", out + ".grad"}, false},
      {{"train", "--data", out + ".missing", "--out", out}, false}};
  for (const Case& c : cases) {
    fs::remove_all(out);
    const int sound = mcn_command(c.arguments).exit_code;
    CAPTURE(c.arguments, sound);
    CHECK(sound <= 4);
    const int lost = c.result_on_stdout && sound == 0 ? 3 : sound;
    for (const auto& [stream, name] : unsound) {
      CAPTURE(name);
      fs::remove_all(out);
      CHECK(mcn_command(c.arguments, {}, {.out = stream, .err = stream}).exit_code == lost);
    }
    fs::remove_all(out);
    const auto full = mcn_command(c.arguments, {}, {.out = Stream::full});
    CHECK(full.exit_code == lost);
    CHECK((full.err.find("mcn: [stdout] cannot write: ") != std::string::npos) == c.result_on_stdout);
  }
}

TEST_CASE("a training whose streams are gone leaves what an undisturbed one does", "[slow]") {
  const Set set;
  const std::string truth = read_file(set.checkpoint), run = set.folder.file("run");
  for (const auto& [stream, name] : unsound) {
    CAPTURE(name);
    fs::remove_all(run);
    CHECK(mcn_command(set.train(run), {}, {.out = stream, .err = stream, .in_closed = true}).exit_code == 0);
    CHECK((read_file(run + "/last.safetensors") == truth));
    // Whatever was opened first would have got the number of a stream, and what is printed.
    CHECK(read_file(run + "/bad_videos.jsonl").empty());
    std::istringstream metrics(read_file(run + "/metrics.jsonl"));
    int lines = 0;
    for (std::string line; std::getline(metrics, line); ++lines)
      CHECK(nlohmann::json::parse(line, nullptr, false).is_object());
    CHECK(lines == 2);
  }
}

TEST_CASE("an error keeps its exit code where stderr cannot have its line") {
  for (const auto& [stream, name] : unsound) {
    CAPTURE(name);
    CHECK(mcn_command({"frobnicate"}, {}, {.err = stream}).exit_code == 2);
    CHECK(mcn_command({"inspect", "/nowhere"}, {}, {.err = stream}).exit_code == 3);
    CHECK(mcn_command({"devices"}, {}, {.out = stream, .err = stream}).exit_code == 3);
  }
}

}  // namespace mcn
