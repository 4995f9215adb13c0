// Page and event files of a run.
#include "tools/run_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "engine/atomic_file.h"
#include "meta/train/report.h"

namespace mcn {
namespace {

namespace fs = std::filesystem;

constexpr const char* event_prefix = "events.out.tfevents.";

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

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
    fmt::print(stderr, "warning: there is no report: {}\n", error.what());
    return {};
  }
}

std::vector<std::string> event_files(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (std::string name = entry.path().filename().string(); name.starts_with(event_prefix)) names.push_back(name);
  std::ranges::sort(names);
  return names;
}

EventFile open_event_file(const fs::path& folder, std::int64_t first_iteration) {
  const double time = now();
  const std::vector<std::string> before = event_files(folder);
  // TensorBoard reads files in the order of their names, which begin with the time of their start in 10 digits.
  auto seconds = static_cast<std::int64_t>(time);
  std::string name;
  do name = fmt::format("{}{:010}.mcn", event_prefix, seconds++);
  while (!before.empty() && name <= before.back());
  return {(folder / name).string(), time, first_iteration};
}

void add_metrics(EventFile& events, const nlohmann::json& metrics) {
  std::vector<Scalar> scalars;
  for (const auto& [key, value] : metrics.items()) {
    if (key == "iteration") continue;
    if (value.is_number()) scalars.push_back({key, value.get<float>()});
    if (!value.is_object()) continue;
    for (const auto& [inner, number] : value.items())
      if (number.is_number()) scalars.push_back({fmt::format("{}/{}", key, inner), number.get<float>()});
  }
  events.add(now(), metrics.at("iteration").get<std::int64_t>(), scalars);
}

}  // namespace mcn
