// `mcn report` and what `mcn train` leaves to look at: report.html and event files.
#include <filesystem>

#include "tests/catch.h"
#include "tests/tools/run_command.h"

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
  const std::string data = folder.file("data"), run = folder.file("run");
  REQUIRE(mcn_command({"synth", "--out", data, "--classes", "2", "--train", "4", "--test", "1", "--frames", "8",
                       "--height", "32", "--width", "32"})
              .exit_code == 0);
  const auto train = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"train",       "--data",         data,   "--out",    run,    "--arch",
                                       "r2plus1d_10", "--width",        "0.07", "--size",   "16",   "--batch",
                                       "4",           "--frames",       "4",    "--stride", "1",    "--resize-height",
                                       "18",          "--resize-width", "24",   "--bank",   "none", "--iterations"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const auto result = mcn_command(arguments);
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

}  // namespace mcn
