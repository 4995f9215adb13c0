// `mcn report`: a page that shows runs, from what they left in their folders.
#include "meta/train/report.h"

#include <algorithm>

#include "engine/atomic_file.h"
#include "tools/choice.h"
#include "tools/command.h"
#include "tools/device_options.h"
#include "tools/print.h"
#include "tools/run_report.h"
#ifdef MCN_HAS_DATA
#include "tools/run_pictures.h"
#endif

namespace mcn {
namespace {

struct Options {
  std::vector<std::string> runs;
  std::string data, out = "report.html";
  bool pictures = true;
  DeviceOptions device;
};

// Of the first runs; each may take a megabyte or two of the page.
std::vector<RunPictures> pictures_of([[maybe_unused]] const Options& o,
                                     [[maybe_unused]] const std::vector<RunLog>& runs) {
  std::vector<RunPictures> pictures;
#ifdef MCN_HAS_DATA
  constexpr std::size_t most_pictured_runs = 3;
  Backend& backend = open(o.device, DType::f32);
  std::size_t pictured = 0;
  for (const RunLog& run : runs) {
    RunPictures& of_run = pictures.emplace_back();
    // A folder of fine-tuning or evaluation alone has nothing that is missing.
    if (run.curves.empty()) continue;
    if (pictured++ < most_pictured_runs)
      of_run = pictures_of_run(run.folder, o.data, backend);
    else
      of_run.problems.push_back(fmt::format("no pictures, which are of the first {} runs alone", most_pictured_runs));
    for (const std::string& problem : of_run.problems) print_note("{}: {}\n", run.folder, problem);
  }
#endif
  return pictures;
}

int report(const Options& o) {
  expect_writable("report", o.out);
  std::vector<RunLog> runs;
  for (const std::string& folder : o.runs) {
    runs.push_back(read_run(folder));
    for (const std::string& problem : runs.back().problems) print_note("{}: {}\n", folder, problem);
  }
  if (std::ranges::all_of(runs, &RunLog::empty))
    fail<DataError>("report",
                    "{}: expected a run's metrics.jsonl, evaluation.json or finetune.json with figures, got "
                    "none",
                    o.runs.size() == 1 ? o.runs[0] : fmt::format("{} folders", o.runs.size()));
  write_page("report", o.out, runs, o.pictures ? pictures_of(o, runs) : std::vector<RunPictures>{});
  print_summary("{}: {} run{}\n", o.out, runs.size(), runs.size() == 1 ? "" : "s");
  return ok;
}

}  // namespace

void add_report(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "report",
      "show runs in one HTML file: curves with chance levels, figures, the settings that differ, the results of\n"
      "evaluation.json and finetune.json, where a run's folder holds them, and pictures of what the network sees and\n"
      "finds. The page needs no network.\n"
      "What is missing or broken in a run is said on the page and on stderr; exit code 3 if nothing can be shown");
  auto o = std::make_shared<Options>();
  command->add_option("RUN", o->runs, "folders of `mcn train` or `mcn finetune`")
      ->type_name(folder_type)
      ->required()
      ->default_str("");
  command->add_option("--out", o->out, "the HTML file; written whole or not at all")->type_name(file_type);
#ifdef MCN_HAS_DATA
  add_choice<bool>(*command, "--pictures", o->pictures, {{"no", false}, {"yes", true}},
                   "of the first three runs: augmented views, nearest neighbors, confusion matrix and map of features, "
                   "by the last checkpoint and up to 400 training and 200 test videos");
  command
      ->add_option("--data", o->data,
                   "folder of the runs' data set, if it is not where their config.toml says; for the pictures")
      ->type_name(folder_type);
  add_device_options(*command, o->device);
#endif
  set_action(*command, [o] { return report(*o); });
}

}  // namespace mcn
