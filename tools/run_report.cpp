// Page and event files of a run.
#include "tools/run_report.h"

#include <fmt/format.h>

#include "engine/atomic_file.h"
#include "meta/train/report.h"
#include "tools/print.h"

namespace mcn {
namespace {

namespace fs = std::filesystem;

}  // namespace

void write_page(const std::string& prefix, const std::string& path, std::span<const RunLog> runs,
                std::span<const RunPictures> pictures) {
  AtomicFile file(prefix, path);
  file.write(report_page(runs, pictures));
  file.commit();
}

std::string write_run_report(const fs::path& folder, const RunPictures& pictures) {
  try {
    const RunLog run = read_run(folder.string());
    if (run.empty()) return {};
    std::string path = (folder / "report.html").string();
    write_page("report", path, {&run, 1}, {&pictures, 1});
    return path;
  } catch (const std::exception& error) {
    print_note("warning: there is no report: {}\n", error.what());
    return {};
  }
}

}  // namespace mcn
