// `mcn report` and what `mcn train` leaves to look at: report.html and event files.
#include <csignal>
#include <filesystem>

#include "tests/catch.h"
#include "tests/tools/held_file.h"
#include "tests/tools/small_run.h"

namespace mcn {

using test::mcn_command;
using test::one_line_error;
using test::read_file;
using test::write_file;

namespace {

namespace fs = std::filesystem;

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::vector<std::string> event_files(const std::string& folder) {
  std::vector<std::string> paths;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().filename().string().starts_with("events.out.tfevents.")) paths.push_back(entry.path().string());
  return paths;
}

// more: the number of iterations, then other options.
std::vector<std::string> training(const std::string& data, const std::string& run,
                                  const std::vector<std::string>& more) {
  std::vector<std::string> arguments = test::small_training(data, run, {"--iterations"});
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

constexpr const char* jpeg = "src=\"data:image/jpeg;base64,";

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

}  // namespace

TEST_CASE("report shows several runs, says what is wrong, and fails if nothing can be shown") {
  const test::TemporaryFolder folder;
  const std::string good = folder.file("good"), broken = folder.file("bro<ken"), page = folder.file("page.html");
  for (const std::string& run : {good, broken}) fs::create_directory(run);
  write_file(good + "/metrics.jsonl", "{\"iteration\":0,\"loss_query\":2.5}\n{\"iteration\":1,\"loss_query\":1.5}\n");
  write_file(good + "/config.toml", "lr=0.5\n");
  write_file(broken + "/metrics.jsonl", "{\"iteration\":0,\"loss_query\":2.25}\n{\"iterat");
  write_file(broken + "/config.toml", "lr=0.25\n");
  const auto both = mcn_command({"report", good, broken, folder.file("none"), "--out", page});
  INFO(both.err);
  CHECK(both.exit_code == 0);
  CHECK(has(both.err, broken + ": the last line of metrics.jsonl, line 2, is cut off and left out\n"));
  CHECK(has(both.err, folder.file("none") + ": there is no such folder\n"));
  const std::string html = read_file(page);
  CHECK(has(html, "bro&lt;ken"));
  CHECK_FALSE(has(html, "bro<ken"));
  CHECK(has(html, "is cut off and left out"));
  CHECK(has(html, "<td>0.5</td><td>0.25</td>"));
  CHECK(has(html, "</html>"));

  // The page of before stays.
  const auto nothing = mcn_command({"report", folder.file("none"), "--out", page});
  CHECK(nothing.exit_code == 3);
  CHECK(has(nothing.err, "mcn: [report] " + folder.file("none") + ": expected a run's metrics.jsonl"));
  CHECK(read_file(page) == html);
  CHECK(folder.count() == 3);
  const auto nowhere = mcn_command({"report", good, "--out", folder.file("no/page.html")});
  CHECK(nowhere.exit_code == 3);
  CHECK(one_line_error(nowhere, "report", {"no/page.html"}));
  CHECK(mcn_command({"report"}).exit_code == 2);
}

TEST_CASE("train writes a report and event files, and a later run does not mix them up") {
  const test::TemporaryFolder folder;
  const std::string data = test::small_videos(folder), run = folder.file("run");
  const auto train = [&](const std::vector<std::string>& more) {
    const auto result = mcn_command(training(data, run, more));
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
  };
  train({"1", "--report", "no"});
  CHECK_FALSE(fs::exists(run + "/report.html"));
  CHECK(event_files(run).empty());

  train({"2", "--tensorboard", "--resume", run + "/last.safetensors"});
  CHECK(has(read_file(run + "/report.html"), "2 of 2"));
  REQUIRE(event_files(run).size() == 1);
  const std::string events = read_file(event_files(run)[0]);
  CHECK(has(events, "brain.Event:2"));
  CHECK(has(events, "loss_query"));
  CHECK(has(events, "update_ratio/stem"));

  // Resumed: a file beside it. Begun anew: everything of before is out of the way.
  train({"3", "--tensorboard", "--resume", run + "/last.safetensors"});
  CHECK(event_files(run).size() == 2);
  train({"1"});
  CHECK(event_files(run).empty());
  CHECK(event_files(run + "/earlier-1").size() == 2);
  CHECK(has(read_file(run + "/earlier-1/report.html"), "3 of 3"));
  CHECK(has(read_file(run + "/report.html"), "1 of 1"));

  // A report that cannot be written costs the run nothing.
  fs::remove(run + "/report.html");
  fs::create_directory(run + "/report.html");
  train({"2", "--resume", run + "/last.safetensors"});
}

TEST_CASE("a report has pictures, and says what is missing of them and why") {
  const test::TemporaryFolder folder;
  const std::string data = test::small_videos(folder), run = folder.file("run"), page = folder.file("page.html");
  const auto report = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"report", run, "--out", page};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const auto result = mcn_command(arguments);
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    return result;
  };
  // Four training videos in three strips each, and two test videos with their four neighbors.
  constexpr std::size_t views = 4 * 3, gallery = 2 * 5;
  const auto trained = mcn_command(training(data, run, {"1", "--report", "curves"}));
  REQUIRE(trained.exit_code == 0);
  CHECK_FALSE(has(trained.err, "pictures"));
  CHECK(count(read_file(run + "/report.html"), jpeg) == 0);
  REQUIRE(mcn_command(training(data, run, {"3", "--seed", "1"})).exit_code == 0);
  CHECK(count(read_file(run + "/report.html"), jpeg) == views + gallery);

  CHECK(report({}).err.find("missing") == std::string::npos);
  const std::string whole = read_file(page);
  CHECK(count(whole, jpeg) == views + gallery);
  for (const char* part : {"What the network sees", "Nearest neighbors", "Confusion of the k-NN", "Map of the test",
                           "<small>", "Walk as ", "id=\"animate\""})
    CHECK(has(whole, part));
  report({"--threads", "1"});
  CHECK(read_file(page) == whole);
  report({"--pictures", "no"});
  CHECK(count(read_file(page), jpeg) == 0);
  CHECK_FALSE(has(read_file(page), "id=\"animate\""));

  const std::string moved = folder.file("moved");
  fs::rename(data, moved);
  CHECK(has(report({}).err, run + ": the pictures are missing; --data names the data set's folder, if it has moved: "
                                  "[dataset] "));
  CHECK(has(read_file(page), "run: the pictures are missing"));
  CHECK_FALSE(has(report({"--data", moved}).err, "missing"));
  CHECK(count(read_file(page), jpeg) == views + gallery);

  const std::string checkpoint = read_file(run + "/last.safetensors");
  write_file(run + "/last.safetensors", checkpoint.substr(0, checkpoint.size() / 2));
  CHECK(has(report({"--data", moved}).err, run + ": gallery, confusion matrix and map are missing: [safetensors] "));
  CHECK(count(read_file(page), jpeg) == views);
  fs::remove(run + "/last.safetensors");
  CHECK(has(report({"--data", moved}).err, "expected a checkpoint last.safetensors, got none"));

  write_file(run + "/config.toml", "no = \"option\"\n");
  CHECK(has(report({"--data", moved}).err, run + ": the pictures are missing: [config] "));
  CHECK(has(read_file(page), "Summary"));
  fs::remove(run + "/config.toml");
  CHECK(has(report({"--data", moved}).err, run + ": the pictures are missing: "));
}

TEST_CASE("a run that has seen fewer clips than its pictures take leaves the features out") {
  const test::TemporaryFolder folder;
  const std::string data = test::small_videos(folder, 8), run = folder.file("run");
  REQUIRE(mcn_command(training(data, run, {"1"})).exit_code == 0);
  const std::string page = read_file(run + "/report.html");
  CHECK(has(page, "the run has seen 8 clips, the features take 30; mcn report " + run + " makes them"));
  CHECK(count(page, jpeg) == 12);
}

TEST_CASE("Ctrl-C while pictures are made leaves a whole run and its curves", "[slow]") {
  const test::TemporaryFolder folder;
  const std::string data = test::small_videos(folder), run = folder.file("run");
  std::string video;
  for (const auto& entry : fs::directory_iterator(data + "/Walk"))
    if (read_file(data + "/ucfTrainTestlist/testlist01.txt").find(entry.path().filename().string()) !=
        std::string::npos)
      video = entry.path().string();
  const test::HeldFile held(video);
  if (!held.held()) {
    WARN("no leases on this file system");
    return;
  }
  test::Command stuck(training(data, run, {"3", "--decode-timeout", "0"}));
  REQUIRE(held.wait_for_a_victim());
  stuck.send(SIGINT);
  const auto result = stuck.wait();
  CAPTURE(result.err);
  CHECK(result.exit_code == 130);
  CHECK(held.still_held());
  CHECK(has(result.out, "next: mcn evaluate"));
  CHECK(fs::exists(run + "/last.safetensors"));
  CHECK(has(read_file(run + "/report.html"), "3 of 3"));
  CHECK(count(read_file(run + "/report.html"), jpeg) == 0);
}

}  // namespace mcn
