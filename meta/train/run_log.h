// A run folder as it lies on disk: curves of metrics.jsonl, settings of config.toml, results of evaluations.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace mcn {

/// A figure over iterations: y[i] is of iteration x[i]. x ascends.
struct Curve {
  std::vector<double> x, y;
};

/// A curve of few points: each stands for neighbors of the whole curve, by their means, and the lowest and the highest
/// value among them.
struct ThinnedCurve {
  std::vector<double> x, y, low, high;
};

/// Every point for itself where there are at most `most`; otherwise `most` groups of neighbors, of the same size but
/// for one point.
ThinnedCurve thin(const Curve& curve, std::size_t most);

/// The mean of a curve's last `count` values, or of all where there are fewer; NaN without any.
double mean_of_last(const Curve& curve, std::size_t count);

struct RunLog {
  std::string folder;
  std::map<std::string, Curve, std::less<>> curves;  ///< by key; a number in an object has the key "object.key"
  std::vector<std::pair<std::string, std::string>> settings;  ///< in the file's order, without quotes
  nlohmann::json evaluation, finetuning;  ///< evaluation.json and finetune.json; null where there is none
  std::vector<std::string> problems;      ///< what is missing or cannot be read, a sentence each

  [[nodiscard]] bool empty() const { return curves.empty() && evaluation.is_null() && finetuning.is_null(); }
  /// A setting's value; empty if it is not there.
  [[nodiscard]] std::string setting(const std::string& key) const;
};

/// Reads what there is. Nothing of a run is required, and nothing of it is an error: what is missing, cut off, not
/// finite or no number goes to `problems`.
RunLog read_run(const std::string& folder);

}  // namespace mcn
