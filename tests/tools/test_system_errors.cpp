// The command while the system fails: exit code 4 after a checkpoint, no video blamed, and a resumed run that ends as
// if nothing had happened.
#include <cerrno>
#include <filesystem>

#include "data/batch.h"
#include "data/dataset.h"
#include "tests/catch.h"
#include "tests/tools/small_run.h"

namespace mcn {
namespace {

namespace fs = std::filesystem;
using test::mcn_command;

#ifdef MCN_SANITIZED
constexpr bool sanitized = true;  // whose library wants to be loaded first
#else
constexpr bool sanitized = false;
#endif

struct Training {
  Training() {
    REQUIRE(mcn_command({"synth", "--out", root, "--classes", "2", "--train", "20", "--test", "2", "--frames", "9",
                         "--height", "32", "--width", "48"})
                .exit_code == 0);
  }
  [[nodiscard]] test::CommandResult run(const std::string& out, const test::Environment& environment = {},
                                        const std::string& resume = "") const {
    std::vector<std::string> arguments =
        test::small_training(root, folder.file(out),
                             {"--method", "contrastive", "--frames", "2", "--index-cache", folder.file("ic"),
                              "--iterations", "5", "--checkpoint-every", "1000", "--threads", "1", "--report", "no"});
    if (!resume.empty()) arguments.insert(arguments.end(), {"--resume", resume});
    return mcn_command(arguments, environment);
  }
  [[nodiscard]] std::string weights(const std::string& out) const {
    return test::read_file(folder.file(out) + "/last.safetensors");
  }

  test::TemporaryFolder folder;
  std::string root = folder.file("set");
};

// CALL of tests/data/system_calls.h.
test::Environment failing(int call, int error, int before, int times, const std::string& name) {
  return {{"LD_PRELOAD", MCN_FAILING_CALLS},
          {"MCN_FAILING_CALLS", std::to_string(call) + " " + std::to_string(error) + " " + std::to_string(before) +
                                    " " + std::to_string(times) + " " + name}};
}

}  // namespace

TEST_CASE("training ends with exit code 4 and a checkpoint where the system fails, and goes on from it") {
  if (sanitized) {
    MCN_SKIPPED("a sanitizer's library must be loaded first");
    return;
  }
  const Training training;
  REQUIRE(training.run("whole").exit_code == 0);
  const std::string truth = training.weights("whole");
  REQUIRE_FALSE(truth.empty());
  const Dataset dataset = load_ucf101(training.root, 1, Subset::train);
  const std::string victim =
      fs::path(dataset.videos[static_cast<std::size_t>(batch_videos(20, 4, 0, 2)[1])].source.path).filename().string();
  constexpr int open = 0, pread = 1;
  struct Case {
    int call, error, before;
    const char* text;
  };
  for (const Case& c : {Case{pread, EIO, 1, "Input/output error"}, Case{open, EMFILE, 0, "Too many open files"},
                        Case{pread, ENOMEM, 0, "Cannot allocate memory"}}) {
    CAPTURE(c.text);
    fs::remove_all(training.folder.file("ic"));
    fs::remove_all(training.folder.file("cut"));
    const auto cut = training.run("cut", failing(c.call, c.error, c.before, -1, victim));
    CAPTURE(cut.err);
    CHECK(cut.exit_code == 4);
    CHECK(cut.err.find("mcn: [video] ") != std::string::npos);
    CHECK(cut.err.find(victim) != std::string::npos);
    CHECK(cut.err.find(c.text) != std::string::npos);
    CHECK(cut.err.find("go on with --resume " + training.folder.file("cut") + "/last.safetensors") !=
          std::string::npos);
    CHECK(test::read_file(training.folder.file("cut") + "/bad_videos.jsonl").empty());
    const auto rest = training.run("cut", {}, training.folder.file("cut") + "/last.safetensors");
    CAPTURE(rest.err);
    CHECK(rest.exit_code == 0);
    CHECK(training.weights("cut") == truth);
  }
  // A moment's failure, or as many interruptions as there may be, change nothing.
  for (const auto& [error, times] : {std::pair(EIO, 1), std::pair(EINTR, 30)}) {
    fs::remove_all(training.folder.file("ic"));
    fs::remove_all(training.folder.file("moment"));
    CHECK(training.run("moment", failing(pread, error, 1, times, victim)).exit_code == 0);
    CHECK(training.weights("moment") == truth);
  }
}

TEST_CASE("an audit where the system fails has exit code 4, and finds a wrong index with 3") {
  const test::TemporaryFolder folder;
  const std::string root = folder.file("set"), cache = folder.file("ic");
  REQUIRE(mcn_command({"synth", "--out", root, "--classes", "2", "--train", "4", "--test", "2", "--frames", "16",
                       "--height", "32", "--width", "48"})
              .exit_code == 0);
  const auto sound = mcn_command({"audit", "--data", root, "--index-cache", cache});
  CHECK(sound.exit_code == 0);
  CHECK(sound.last_line().find(", 0 index; ") != std::string::npos);
  if (sanitized) return;
  const auto failed = mcn_command({"audit", "--data", root}, failing(1, EIO, 2, -1, ".avi"));
  CAPTURE(failed.err);
  CHECK(failed.exit_code == 4);
  for (const char* text : {"\nmcn: [video] ", "Input/output error", "no fault of the file's content"})
    CHECK(failed.err.find(text) != std::string::npos);
}

}  // namespace mcn
