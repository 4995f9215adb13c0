// `mcn report`: a page that shows runs, from what they left in their folders.
#include "meta/train/report.h"

#include <algorithm>

#include "engine/atomic_file.h"
#include "tools/command.h"
#include "tools/run_report.h"

namespace mcn {
namespace {

int report(const std::vector<std::string>& folders, const std::string& out) {
  expect_writable("report", out);
  std::vector<RunLog> runs;
  for (const std::string& folder : folders) {
    runs.push_back(read_run(folder));
    for (const std::string& problem : runs.back().problems) fmt::print(stderr, "{}: {}\n", folder, problem);
  }
  if (std::ranges::all_of(runs, &RunLog::empty))
    fail<DataError>("report",
                    "{}: expected a run's metrics.jsonl, evaluation.json or finetune.json with figures, got "
                    "none",
                    folders.size() == 1 ? folders[0] : fmt::format("{} folders", folders.size()));
  write_page("report", out, runs);
  fmt::print("{}: {} run{}\n", out, runs.size(), runs.size() == 1 ? "" : "s");
  return ok;
}

}  // namespace

void add_report(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "report",
      "show runs in one HTML file: curves with chance levels, figures, the settings that differ, and the results of\n"
      "evaluation.json and finetune.json, where a run's folder holds them. The page needs no network.\n"
      "What is missing or broken in a run is said on the page and on stderr; exit code 3 if nothing can be shown");
  struct Options {
    std::vector<std::string> runs;
    std::string out = "report.html";
  };
  auto o = std::make_shared<Options>();
  command->add_option("RUN", o->runs, "folders of `mcn train` or `mcn finetune`")
      ->type_name(folder_type)
      ->required()
      ->default_str("");
  command->add_option("--out", o->out, "the HTML file; written whole or not at all")->type_name(file_type);
  set_action(*command, [o] { return report(o->runs, o->out); });
}

}  // namespace mcn
