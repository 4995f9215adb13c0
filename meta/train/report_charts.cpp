// Which figures a chart shows, and how: several curves of one run, or one of each of several runs.
#include "meta/train/report_charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <set>

#include "meta/train/report.h"

namespace mcn {
namespace {

using nlohmann::json;

constexpr std::size_t points_a_curve = 300, charts_of_unknown_keys = 40;

struct Line {
  std::string key, label;
};

// A horizontal line that curves are compared with: at a number, or at the last value of a key.
struct Level {
  std::string label;
  double value = 0;
  std::string key;
};

struct ChartSpec {
  std::string section, title, note;
  std::vector<Line> lines;
  std::vector<Level> levels;
  bool percent = false;
  int log = 0;         ///< the axis is logarithmic if the highest value is more than so many times the lowest; 0: never
  bool exact = false;  ///< never smoothed
  bool zero = false;   ///< the axis begins at 0
};

std::vector<ChartSpec> known_charts() {
  const auto both = [](const std::string& name) {
    return std::vector<Line>{{name + "_query", "Q"}, {name + "_support", "S"}};
  };
  constexpr int outliers = 1000, wide = 20;
  return {
      {"Accuracy",
       "InfoNCE top-1",
       "how often the other view of a video is found among the negatives",
       both("top1"),
       {{"chance", 0, "top1_chance"}},
       true},
      {"Accuracy",
       "Pair accuracy",
       "how often the meta branch tells pairs of one video from others, balanced",
       both("pairs"),
       {{"chance", 0.5, ""}},
       true},
      {"Accuracy",
       "Evaluation during training",
       "classes of labelled training videos by features of others; the test videos have no part in it",
       {{"evaluation.knn.value", "k-NN"}, {"evaluation.linear.value", "linear probe"}},
       {{"chance", 0, "evaluation.knn.chance"}},
       true,
       0,
       true},
      {"Accuracy",
       "Embedding deviation",
       "mean standard deviation of z's features over a batch; 0: all videos have one embedding, it has collapsed",
       {{"embedding_std", "deviation"}},
       {{"isotropic", 0, "embedding_std_isotropic"}},
       false,
       0,
       false,
       true},
      {"Losses",
       "Loss",
       "InfoNCE + lambda times the meta branch; S at theta, Q after the inner steps",
       both("loss"),
       {},
       false,
       outliers},
      {"Losses", "Contrastive part", "InfoNCE", both("contrastive"), {}, false, outliers},
      {"Losses",
       "Meta part",
       "cross-entropy of pairs; chance is 2 ln 2 (1 - 1/N) with N videos in the set",
       both("meta"),
       {},
       false,
       outliers},
      {"Optimization", "Learning rate", "of the outer update", {{"learning_rate", "alpha2"}}, {}, false, 0, true},
      {"Optimization",
       "Gradient norm",
       "of the outer gradient before it is clipped, and of the gradient on Q",
       {{"gradient_norm", "outer"}, {"query_gradient_norm", "Q"}},
       {},
       false,
       wide},
      {"Inner step",
       "Outer cosine",
       "of the outer gradient on Q with the gradient after the inner steps; 1: no turn",
       {{"outer_cosine", "cosine"}},
       {}},
      {"Inner step",
       "Curvature",
       "top eigenvalue of the Hessian of the loss on S",
       {{"curvature", "eigenvalue"}},
       {},
       false,
       wide},
      {"Inner step",
       "alpha1 times curvature",
       "below 1 the inner step is stable",
       {{"inner_lr_curvature", "product"}},
       {{"stable below", 1, ""}},
       false,
       wide,
       true},
      {"Inner step", "Inner learning rate", "alpha1", {{"inner_lr", "alpha1"}}, {}, false, wide, true},
      {"Inner step",
       "Second-order term",
       "norm of what the inner steps' Hessian adds",
       {{"hessian_term_norm", "norm"}},
       {},
       false,
       wide},
      {"Throughput", "Seconds an iteration", "", {{"seconds", "seconds"}}, {}, false, wide},
      {"Throughput",
       "Waiting for the loader",
       "share of the iteration's time",
       {{"waited_share", "waiting"}},
       {},
       true},
      {"Throughput",
       "Decoding",
       "seconds a clip, in the loader's threads",
       {{"clip_decode_seconds", "decode"}},
       {},
       false,
       wide},
      {"Throughput",
       "Memory",
       "MiB: what the process holds, and the most that its tensors have held",
       {{"resident_mib", "process"}, {"tensors_mib", "tensors, peak"}},
       {},
       false,
       0,
       true},
  };
}

// Those of the known keys that no chart shows: they repeat another one, or are a number of the summary.
bool is_left_out(const std::string& key) {
  static const std::set<std::string> keys{"top1_chance",
                                          "embedding_std_isotropic",
                                          "order",
                                          "wait_seconds",
                                          "decode_seconds",
                                          "epoch",
                                          "clips_per_second",
                                          "ring_ready",
                                          "bad_videos",
                                          "shortened_clips",
                                          "curvature_alignment",
                                          "curvature_seconds",
                                          "loss_query_at_theta"};
  return keys.contains(key) || key.starts_with("evaluation.");
}

// A figure of every group of layers: the groups together for one run, a chart a group for several.
void add_charts_of_groups(const ChartSpec& all, const std::string& prefix, const std::set<std::string>& groups,
                          std::size_t runs, std::vector<ChartSpec>& charts) {
  ChartSpec together = all;
  for (const std::string& group : groups) {
    together.lines.push_back({prefix + group, group});
    if (runs <= 1) continue;
    charts.push_back(all);
    charts.back().title += ", " + group;
    charts.back().lines = {together.lines.back()};
  }
  if (runs == 1) charts.push_back(together);
}

// The known charts, those of groups of layers, then what has no chart yet.
std::vector<ChartSpec> charts_of(std::span<const RunLog> runs) {
  std::vector<ChartSpec> charts = known_charts();
  std::set<std::string> shown, groups, rate_groups, others;
  for (const ChartSpec& chart : charts)
    for (const Line& line : chart.lines) shown.insert(line.key);
  const std::string ratio = "update_ratio.", rate = "alpha1.";
  for (const RunLog& run : runs)
    for (const auto& [key, curve] : run.curves)
      if (key.starts_with(ratio))
        groups.insert(key.substr(ratio.size()));
      else if (key.starts_with(rate))
        rate_groups.insert(key.substr(rate.size()));
      else if (!shown.contains(key) && !is_left_out(key))
        others.insert(key);
  add_charts_of_groups({"Inner learning rates", "alpha1", "by group of layers", {}, {}, false, 20, true}, rate,
                       rate_groups, runs.size(), charts);
  add_charts_of_groups({"Update ratios",
                        "Update to weight",
                        "length of an update by the length of the weights, by group",
                        {},
                        {},
                        false,
                        20},
                       ratio, groups, runs.size(), charts);
  const std::size_t most = charts.size() + charts_of_unknown_keys;
  for (const std::string& key : others)
    if (charts.size() < most) charts.push_back({"Other figures", key, "", {{key, key}}, {}});
  return charts;
}

// Five digits are more than a screen has.
json numbers(const std::vector<double>& values, const char* digits = "{:.5g}") {
  json list = json::array();
  for (const double v : values) list.push_back(std::strtod(fmt::format(fmt::runtime(digits), v).c_str(), nullptr));
  return list;
}

json levels_of(const ChartSpec& chart, std::span<const RunLog> runs) {
  std::set<double> values;
  json levels = json::array();
  for (const Level& level : chart.levels) {
    if (level.key.empty()) {
      levels.push_back({{"y", level.value}, {"label", level.label}});
      continue;
    }
    for (const RunLog& run : runs)
      if (const Curve& curve = curve_of(run, level.key); !curve.y.empty() && values.insert(curve.y.back()).second)
        levels.push_back({{"y", curve.y.back()},
                          {"label", fmt::format("{} {}", level.label, shown(curve.y.back(), chart.percent))}});
  }
  return levels;
}

// A chart's place on the page, the curves as a table, and its numbers for the script.
void add_chart(const ChartSpec& chart, std::span<const RunLog> runs, const std::vector<std::string>& names,
               std::string& html, json& data) {
  json series = json::array();
  std::string rows, spoken, legend;
  for (std::size_t r = 0; r < runs.size(); ++r)
    for (std::size_t l = 0; l < chart.lines.size(); ++l) {
      const Curve& curve = curve_of(runs[r], chart.lines[l].key);
      if (curve.x.empty()) continue;
      const std::string& label = runs.size() == 1 ? chart.lines[l].label : names[r];
      const ThinnedCurve thinned = thin(curve, points_a_curve);
      const std::size_t color = runs.size() == 1 ? l : r;
      json entry{{"label", label},
                 {"run", r},
                 {"color", color},
                 {"x", numbers(thinned.x, "{:.8g}")},
                 {"y", numbers(thinned.y)}};
      if (curve.x.size() > points_a_curve) {
        entry["low"] = numbers(thinned.low);
        entry["high"] = numbers(thinned.high);
      }
      series.push_back(entry);
      const double last = mean_of_last(curve, last_iterations);
      const auto [low, high] = std::ranges::minmax(curve.y);
      rows += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                          html_text(label), shown(curve.y.front(), chart.percent), shown(low, chart.percent),
                          shown(high, chart.percent), shown(last, chart.percent));
      spoken += fmt::format("; {} {}", label, shown(last, chart.percent));
      legend += legend_entry(label, color);
      if (runs.size() > 1) break;
    }
  if (series.empty()) return;
  html += fmt::format(
      "<figure><figcaption>{}<small>{}</small></figcaption>\n<ul class=\"legend\">{}</ul>\n"
      "<div class=\"plot\" role=\"img\" tabindex=\"0\" aria-label=\"{}\"></div>\n"
      "<details><summary>Values</summary><div class=\"scroll\"><table><thead><tr><th>curve</th><th>first</th>"
      "<th>lowest</th><th>highest</th><th>last "
      "{}</th></tr></thead><tbody>\n{}</tbody></table></div></details></figure>\n",
      html_text(chart.title), html_text(chart.note), legend,
      html_text(fmt::format("{} over iterations; mean of the last {}{}", chart.title, last_iterations, spoken)),
      last_iterations, rows);
  data.push_back({{"x", "iteration"},
                  {"percent", chart.percent},
                  {"log", chart.log},
                  {"exact", chart.exact},
                  {"zero", chart.zero},
                  {"levels", levels_of(chart, runs)},
                  {"series", series}});
}

}  // namespace

const Curve& curve_of(const RunLog& run, std::string_view key) {
  static const Curve none;
  const auto found = run.curves.find(key);
  return found == run.curves.end() ? none : found->second;
}

std::string shown(double value, bool percent) {
  if (!std::isfinite(value)) return "–";
  return percent ? fmt::format("{:.1f}%", 100 * value) : fmt::format("{:.4g}", value);
}

std::string legend_entry(const std::string& label, std::size_t color) {
  static constexpr std::array dashes{"", "5 3", "1.5 3", "8 3 2 3"};
  return fmt::format(
      "<li><svg width=\"22\" height=\"8\" aria-hidden=\"true\"><line x1=\"1\" x2=\"21\" y1=\"4\" y2=\"4\" "
      "stroke=\"var(--c{})\" stroke-width=\"2.5\" stroke-dasharray=\"{}\"/></svg>{}</li>",
      color % 8, dashes[color / 8 % dashes.size()], html_text(label));
}

std::string charts_section(std::span<const RunLog> runs, const std::vector<std::string>& names, json& data) {
  std::string html, section;
  for (const ChartSpec& chart : charts_of(runs)) {
    std::string figure;
    add_chart(chart, runs, names, figure, data);
    if (figure.empty()) continue;
    if (chart.section != section)
      html += fmt::format("{}<h2>{}</h2><div class=\"charts\">\n", section.empty() ? "" : "</div>\n", chart.section);
    section = chart.section;
    html += figure;
  }
  return section.empty() ? html : html + "</div>\n";
}

}  // namespace mcn
