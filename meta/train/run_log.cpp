// Reads the files of a run, and thins curves.
#include "meta/train/run_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <numeric>
#include <optional>

#include "engine/io/json_text.h"

namespace mcn {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* iteration_key = "iteration";

bool missing(const fs::path& path) {
  std::error_code error;
  return !fs::is_regular_file(path, error);
}

void sort_by_x(Curve& curve) {
  if (std::ranges::is_sorted(curve.x)) return;
  std::vector<std::size_t> order(curve.x.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return curve.x[i]; });
  Curve sorted;
  for (const std::size_t i : order) {
    sorted.x.push_back(curve.x[i]);
    sorted.y.push_back(curve.y[i]);
  }
  curve = std::move(sorted);
}

// One reading of metrics.jsonl or evaluations.jsonl, with what it could not use.
class LineReader {
 public:
  /// prefix: of the keys of the curves.
  LineReader(RunLog& run, std::string name, std::string prefix)
      : run_(run), name_(std::move(name)), prefix_(std::move(prefix)) {}

  void read(const fs::path& folder) {
    std::ifstream stream(folder / name_, std::ios::binary);
    if (!stream) return problem(name_ + " cannot be read");
    for (std::string line; std::getline(stream, line);) {
      ++lines_;
      const bool whole = !stream.eof();
      if (take(line)) continue;
      if (!whole)
        problem(fmt::format("the last line of {}, line {}, is cut off and left out", name_, lines_));
      else if (bad_lines_++ == 0)
        first_bad_line_ = lines_;
    }
    for (auto& [key, curve] : run_.curves) sort_by_x(curve);
    say();
  }

 private:
  void problem(std::string text) { run_.problems.push_back(std::move(text)); }

  bool take(const std::string& line) {
    const json object = parse_json(line);
    if (!object.is_object()) return false;
    const auto iteration = object.find(iteration_key);
    if (iteration == object.end() || !iteration->is_number()) {
      ++without_iteration_;
      return true;
    }
    const auto x = iteration->get<double>();
    for (const auto& [key, value] : object.items()) {
      if (key == iteration_key) continue;
      if (!value.is_object()) {
        add(prefix_ + key, x, value);
        continue;
      }
      for (const auto& [inner, number] : value.items()) add(fmt::format("{}{}.{}", prefix_, key, inner), x, number);
    }
    return true;
  }

  void add(const std::string& key, double x, const json& value) {
    // A value that is not finite was written as null.
    const bool finite = value.is_number() && std::isfinite(value.get<double>());
    if (!finite) {
      if (value.is_number() || value.is_null()) ++not_finite_[key];
      return;
    }
    Curve& curve = run_.curves[key];
    curve.x.push_back(x);
    curve.y.push_back(value.get<double>());
  }

  void say() {
    const bool is_metrics = prefix_.empty();
    if (lines_ == 0 && is_metrics) problem("metrics.jsonl is empty: the run ended before its first iteration");
    if (bad_lines_ > 0)
      problem(fmt::format("{} of {} lines of {} are no JSON objects and are left out, line {} first", bad_lines_,
                          lines_, name_, first_bad_line_));
    if (without_iteration_ > 0)
      problem(fmt::format("{} of {} lines of {} have no number \"iteration\" and are left out", without_iteration_,
                          lines_, name_));
    for (const auto& [key, count] : not_finite_)
      problem(fmt::format("{} of {} values of {} are not finite and are left out", count, lines_, key));
    const bool known = std::ranges::any_of(run_.curves, [](const auto& c) { return c.first.starts_with("loss_"); });
    if (is_metrics && !run_.curves.empty() && !known)
      problem("metrics.jsonl has no loss: its keys are not those of `mcn train`, and are shown by their names");
  }

  RunLog& run_;
  std::string name_, prefix_;
  std::size_t lines_ = 0, bad_lines_ = 0, first_bad_line_ = 0, without_iteration_ = 0;
  std::map<std::string, std::size_t> not_finite_;
};

// "key=value" lines, as `mcn train` saves them.
void read_settings(const fs::path& path, RunLog& run) {
  std::ifstream stream(path);
  for (std::string line; std::getline(stream, line);) {
    const std::size_t equals = line.find('=');
    if (equals == std::string::npos || line.starts_with('#')) continue;
    const auto trimmed = [](std::string text) {
      text.erase(0, text.find_first_not_of(" \t"));
      text.erase(text.find_last_not_of(" \t\r") + 1);
      return text;
    };
    std::string value = trimmed(line.substr(equals + 1));
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
    run.settings.emplace_back(trimmed(line.substr(0, equals)), value);
  }
}

json read_result(const fs::path& path, RunLog& run) {
  if (missing(path)) return {};
  std::ifstream stream(path);
  const std::string text((std::istreambuf_iterator<char>(stream)), {});
  json result = parse_json(text);
  if (result.is_object()) return result;
  run.problems.push_back(fmt::format("{} is no JSON object and is left out", path.filename().string()));
  return {};
}

// The iterations that the run was to have, if it tells.
std::optional<double> planned(const RunLog& run) {
  const std::string text = run.setting("iterations");
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  return text.empty() || *end != '\0' ? std::nullopt : std::optional(value);
}

}  // namespace

ThinnedCurve thin(const Curve& curve, std::size_t most) {
  const std::size_t points = curve.x.size();
  if (points <= most) return {curve.x, curve.y, curve.y, curve.y};
  ThinnedCurve thinned;
  for (std::size_t group = 0; group < most; ++group) {
    const auto begin = static_cast<std::ptrdiff_t>(group * points / most);
    const auto end = static_cast<std::ptrdiff_t>((group + 1) * points / most);
    const auto mean = [&](const std::vector<double>& values) {
      return std::accumulate(values.begin() + begin, values.begin() + end, 0.0) / static_cast<double>(end - begin);
    };
    const auto [low, high] = std::minmax_element(curve.y.begin() + begin, curve.y.begin() + end);
    thinned.x.push_back(mean(curve.x));
    thinned.y.push_back(mean(curve.y));
    thinned.low.push_back(*low);
    thinned.high.push_back(*high);
  }
  return thinned;
}

double mean_of_last(const Curve& curve, std::size_t count) {
  const std::size_t n = std::min(count, curve.y.size());
  if (n == 0) return std::numeric_limits<double>::quiet_NaN();
  return std::accumulate(curve.y.end() - static_cast<std::ptrdiff_t>(n), curve.y.end(), 0.0) / static_cast<double>(n);
}

std::string RunLog::setting(const std::string& key) const {
  for (const auto& [name, value] : settings)
    if (name == key) return value;
  return {};
}

RunLog read_run(const std::string& folder) {
  RunLog run{.folder = folder, .curves = {}, .settings = {}, .evaluation = {}, .finetuning = {}, .problems = {}};
  const fs::path path(folder);
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    run.problems.emplace_back("there is no such folder");
    return run;
  }
  run.evaluation = read_result(path / "evaluation.json", run);
  run.finetuning = read_result(path / "finetune.json", run);
  if (!missing(path / "config.toml")) read_settings(path / "config.toml", run);
  if (!missing(path / "metrics.jsonl")) {
    LineReader(run, "metrics.jsonl", "").read(path);
    if (run.settings.empty()) run.problems.emplace_back("config.toml is missing or empty: the settings are unknown");
  } else if (run.evaluation.is_null() && run.finetuning.is_null()) {
    run.problems.emplace_back("there is no metrics.jsonl: no iteration was finished, or this is no run's folder");
  }
  double done = 0;
  for (const auto& [key, curve] : run.curves) done = std::max(done, curve.x.back() + 1);
  if (const auto iterations = planned(run); iterations && !run.curves.empty() && done < *iterations)
    run.problems.push_back(fmt::format("unfinished: {:.0f} of {:.0f} iterations", done, *iterations));
  // After it is known how far the run came: these count the iterations before them.
  if (!missing(path / "evaluations.jsonl")) LineReader(run, "evaluations.jsonl", "evaluation.").read(path);
  return run;
}

}  // namespace mcn
