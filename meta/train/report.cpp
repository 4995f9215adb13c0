// The parts of a report: which curves a chart shows, and the tables.
#include "meta/train/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string_view>

#include "kernels/error.h"
#include "meta/train/report_results.h"

namespace mcn {

extern const std::string_view report_template;  // of report.html, in the build folder

namespace {

using nlohmann::json;

constexpr std::size_t points_a_curve = 300, last_iterations = 20, charts_of_unknown_keys = 40;

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
  bool percent = false, log = false;
};

std::vector<ChartSpec> known_charts() {
  const auto both = [](const std::string& name) {
    return std::vector<Line>{{name + "_query", "Q"}, {name + "_support", "S"}};
  };
  return {
      {"Accuracy",
       "InfoNCE top-1",
       "how often the other view of a video is found among the negatives",
       both("top1"),
       {{"chance", 0, "top1_chance"}},
       true,
       false},
      {"Accuracy",
       "Pair accuracy",
       "how often the meta branch tells pairs of one video from others, balanced",
       both("pairs"),
       {{"chance", 0.5, ""}},
       true,
       false},
      {"Losses",
       "Loss",
       "InfoNCE + lambda times the meta branch; S at theta, Q after the inner steps",
       both("loss"),
       {},
       false,
       false},
      {"Losses", "Contrastive part", "InfoNCE", both("contrastive"), {}, false, false},
      {"Losses",
       "Meta part",
       "binary cross-entropy of pairs; ln 2 = .693 knows nothing",
       both("meta"),
       {{"ln 2", 0.6931, ""}},
       false,
       false},
      {"Optimization", "Learning rate", "of the outer update", {{"learning_rate", "alpha2"}}, {}, false, false},
      {"Optimization",
       "Gradient norm",
       "of the outer gradient before it is clipped, and of the gradient on Q",
       {{"gradient_norm", "outer"}, {"query_gradient_norm", "Q"}},
       {},
       false,
       true},
      {"Inner step",
       "Outer cosine",
       "of the outer gradient on Q with the gradient after the inner steps; 1: no turn",
       {{"outer_cosine", "cosine"}},
       {{"1", 1, ""}},
       false,
       false},
      {"Inner step",
       "Curvature",
       "top eigenvalue of the Hessian of the loss on S",
       {{"curvature", "eigenvalue"}},
       {},
       false,
       true},
      {"Inner step",
       "alpha1 times curvature",
       "below 1 the inner step is stable",
       {{"inner_lr_curvature", "product"}},
       {{"stable below", 1, ""}},
       false,
       true},
      {"Inner step", "Inner learning rate", "alpha1", {{"inner_lr", "alpha1"}}, {}, false, true},
      {"Inner step",
       "Second-order term",
       "norm of what the inner steps' Hessian adds",
       {{"hessian_term_norm", "norm"}},
       {},
       false,
       true},
      {"Throughput", "Seconds an iteration", "", {{"seconds", "seconds"}}, {}, false, true},
      {"Throughput",
       "Waiting for the loader",
       "share of the iteration's time",
       {{"waited_share", "waiting"}},
       {},
       true,
       false},
      {"Throughput",
       "Decoding",
       "milliseconds a clip, in the loader's threads",
       {{"clip_decode_ms", "decode"}},
       {},
       false,
       true},
  };
}

// Those of the known keys that no chart shows: they repeat another one, or are a number of the summary.
bool is_left_out(const std::string& key) {
  static const std::set<std::string> keys{"top1_chance",       "order",
                                          "wait_ms",           "decode_ms",
                                          "ring_ready",        "bad_videos",
                                          "shortened_clips",   "curvature_alignment",
                                          "curvature_seconds", "loss_query_at_theta"};
  return keys.contains(key);
}

// Update ratios: the groups together for one run, a chart a group for several; then what has no chart yet.
std::vector<ChartSpec> charts_of(std::span<const RunLog> runs) {
  std::vector<ChartSpec> charts = known_charts();
  std::set<std::string> shown, groups, others;
  for (const ChartSpec& chart : charts)
    for (const Line& line : chart.lines) shown.insert(line.key);
  const std::string ratio = "update_ratio.";
  for (const RunLog& run : runs)
    for (const auto& [key, curve] : run.curves)
      if (key.starts_with(ratio))
        groups.insert(key.substr(ratio.size()));
      else if (!shown.contains(key) && !is_left_out(key))
        others.insert(key);
  ChartSpec all{"Update ratios",
                "Update to weight",
                "length of an update by the length of the weights, by group",
                {},
                {},
                false,
                true};
  for (const std::string& group : groups) {
    all.lines.push_back({ratio + group, group});
    if (runs.size() > 1)
      charts.push_back({all.section, all.title + ", " + group, all.note, {all.lines.back()}, {}, false, true});
  }
  if (runs.size() == 1) charts.push_back(all);
  for (const std::string& key : others)
    if (charts.size() < known_charts().size() + groups.size() + charts_of_unknown_keys)
      charts.push_back({"Other figures", key, "", {{key, key}}, {}, false, false});
  return charts;
}

std::vector<std::string> names_of(std::span<const RunLog> runs) {
  std::vector<std::string> names;
  for (const RunLog& run : runs) {
    std::filesystem::path path = std::filesystem::path(run.folder).lexically_normal();
    if (!path.has_filename()) path = path.parent_path();
    names.push_back(path.filename() == "." || path.filename() == ".."
                        ? std::filesystem::absolute(path).lexically_normal().string()
                        : path.filename().string());
  }
  const std::vector<std::string> last = names;
  for (std::size_t i = 0; i < names.size(); ++i)
    if (std::ranges::count(last, last[i]) > 1) names[i] = runs[i].folder;
  return names;
}

std::string shown(double value, bool percent = false) {
  if (!std::isfinite(value)) return "–";
  return percent ? fmt::format("{:.1f}%", 100 * value) : fmt::format("{:.4g}", value);
}

const Curve& curve_of(const RunLog& run, const std::string& key) {
  static const Curve none;
  const auto found = run.curves.find(key);
  return found == run.curves.end() ? none : found->second;
}

double last_of(const RunLog& run, const std::string& key) { return mean_of_last(curve_of(run, key), last_iterations); }

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
  std::size_t lines = 0;
  for (const Line& line : chart.lines)
    lines += std::ranges::any_of(runs, [&](const RunLog& run) { return run.curves.contains(line.key); }) ? 1 : 0;
  for (std::size_t r = 0; r < runs.size(); ++r)
    for (std::size_t l = 0; l < chart.lines.size(); ++l) {
      const Curve& curve = curve_of(runs[r], chart.lines[l].key);
      if (curve.x.empty()) continue;
      const std::string label = runs.size() == 1 ? chart.lines[l].label
                                : lines > 1      ? names[r] + ", " + chart.lines[l].label
                                                 : names[r];
      const ThinnedCurve thinned = thin(curve, points_a_curve);
      const std::size_t color = runs.size() == 1 ? l : r, dash = runs.size() == 1 ? 0 : l;
      json entry{{"label", label},
                 {"color", color},
                 {"dash", dash},
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
      static constexpr const char* dashes[] = {"", "5 3", "1.5 3", "8 3 2 3"};
      legend += fmt::format(
          "<li><svg width=\"22\" height=\"8\" aria-hidden=\"true\"><line x1=\"1\" x2=\"21\" y1=\"4\" y2=\"4\" "
          "stroke=\"var(--c{})\" stroke-width=\"2.5\" stroke-dasharray=\"{}\"/></svg>{}</li>",
          color % 8, dashes[dash % 4], html_text(label));
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
                  {"levels", levels_of(chart, runs)},
                  {"series", series}});
}

std::string duration(double seconds) {
  const auto s = static_cast<std::int64_t>(std::llround(seconds));
  return s >= 3600 ? fmt::format("{} h {:02} min", s / 3600, s / 60 % 60)
         : s >= 60 ? fmt::format("{} min {:02} s", s / 60, s % 60)
                   : fmt::format("{:.3g} s", seconds);
}

std::string summary_table(std::span<const RunLog> runs, const std::vector<std::string>& names) {
  std::string rows;
  for (std::size_t r = 0; r < runs.size(); ++r) {
    const RunLog& run = runs[r];
    const Curve& seconds = curve_of(run, "seconds");
    double total = 0, last = 0;
    for (const double s : seconds.y) total += s;
    for (const auto& [key, curve] : run.curves) last = std::max(last, curve.x.back() + 1);
    const double batch = std::strtod(run.setting("batch").c_str(), nullptr);
    const double pace = 2 * batch / last_of(run, "seconds");
    const double chance = curve_of(run, "top1_chance").y.empty() ? NAN : curve_of(run, "top1_chance").y.back();
    const Curve& bad = curve_of(run, "bad_videos");
    const std::string planned = run.setting("iterations");
    rows += fmt::format(
        "<tr><th "
        "scope=\"row\">{}</th><td>{}</td><td>{:.0f}{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>"
        "<td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
        html_text(names[r]), html_text(run.setting("method")), last, planned.empty() ? "" : " of " + html_text(planned),
        seconds.y.empty() ? "–" : duration(total), shown(last_of(run, "top1_query"), true), shown(chance, true),
        shown(last_of(run, "pairs_query"), true), shown(last_of(run, "loss_query")),
        shown(last_of(run, "gradient_norm")), shown(last_of(run, "outer_cosine")), batch > 0 ? shown(pace) : "–",
        shown(last_of(run, "waited_share"), true), bad.y.empty() ? "–" : fmt::format("{:.0f}", bad.y.back()));
  }
  return fmt::format(
      "<h2>Summary</h2><div class=\"card\"><div class=\"scroll\" tabindex=\"0\" role=\"region\" "
      "aria-label=\"Summary\"><table><thead><tr><th>run</th>"
      "<th>method</th><th>iterations</th><th>time</th><th>top-1, Q</th><th>chance</th><th>pairs, Q (50%)</th>"
      "<th>loss, Q</th><th>gradient</th><th>cosine</th><th>clips/s</th><th>waiting</th><th>bad videos</th></tr></thead>"
      "<tbody>\n{}</tbody></table></div>\n<p class=\"soft\">Figures are means of the last {} iterations.</p></div>\n",
      rows, last_iterations);
}

// With several runs those that differ, and in any case all of them, folded.
std::string settings_table(std::span<const RunLog> runs, const std::vector<std::string>& names, bool differing) {
  std::vector<std::string> keys;
  for (const RunLog& run : runs)
    for (const auto& [key, value] : run.settings)
      if (std::ranges::find(keys, key) == keys.end()) keys.push_back(key);
  std::string rows;
  for (const std::string& key : keys) {
    const bool same =
        std::ranges::all_of(runs, [&](const RunLog& r) { return r.setting(key) == runs[0].setting(key); });
    if (differing && (same || key == "out")) continue;
    rows += fmt::format("<tr><th scope=\"row\">{}</th>", html_text(key));
    for (const RunLog& run : runs) rows += fmt::format("<td>{}</td>", html_text(run.setting(key)));
    rows += "</tr>\n";
  }
  if (rows.empty()) return {};
  std::string head;
  for (const std::string& name : names) head += fmt::format("<th scope=\"col\">{}</th>", html_text(name));
  return fmt::format(
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Settings\"><table "
      "class=\"wide\"><thead><tr><th>setting</th>{}</tr></thead><tbody>\n{}</tbody>"
      "</table></div>\n",
      head, rows);
}

std::string settings_section(std::span<const RunLog> runs, const std::vector<std::string>& names) {
  const std::string all = settings_table(runs, names, false);
  if (all.empty()) return {};
  std::string html = "<h2>Settings</h2><div class=\"card\">";
  if (runs.size() > 1) {
    const std::string differing = settings_table(runs, names, true);
    html += differing.empty() ? "<p>The runs have the same settings.</p>" : "<p>Those that differ:</p>" + differing;
  }
  return html + fmt::format("<details><summary>All settings</summary>{}</details></div>\n", all);
}

std::string notes(std::span<const RunLog> runs, const std::vector<std::string>& names) {
  std::string items;
  for (std::size_t r = 0; r < runs.size(); ++r)
    for (const std::string& problem : runs[r].problems)
      items += fmt::format("<li>{}: {}</li>\n", html_text(names[r]), html_text(problem));
  return items.empty()
             ? items
             : fmt::format("<div class=\"card notes\" role=\"note\"><strong>To know</strong><ul>\n{}</ul></div>\n",
                           items);
}

// The template with each {{name}} replaced once, in its order: a text that holds such a name stays as it is.
std::string fill(std::string_view page, const std::vector<std::pair<std::string, std::string>>& values) {
  std::string filled;
  for (const auto& [name, text] : values) {
    const std::size_t place = page.find("{{" + name + "}}");
    if (place == std::string_view::npos) fail("report", "the template has no {}", name);
    filled += page.substr(0, place);
    filled += text;
    page.remove_prefix(place + name.size() + 4);
  }
  return filled.append(page);
}

}  // namespace

std::string html_text(const std::string& text) {
  // A pass through JSON leaves nothing but UTF-8.
  const std::string dumped = json(text).dump(-1, ' ', false, json::error_handler_t::replace);
  std::string html;
  for (const char c : json::parse(dumped).get<std::string>()) switch (c) {
      case '&':
        html += "&amp;";
        break;
      case '<':
        html += "&lt;";
        break;
      case '>':
        html += "&gt;";
        break;
      case '"':
        html += "&quot;";
        break;
      case '\'':
        html += "&#39;";
        break;
      default:
        html += c;
    }
  return html;
}

std::string report_page(std::span<const RunLog> runs) {
  if (runs.empty()) fail("report", "expected a run, got none");
  const std::vector<std::string> names = names_of(runs);
  json data = json::array();
  std::string sections, section;
  for (const ChartSpec& chart : charts_of(runs)) {
    std::string figure;
    add_chart(chart, runs, names, figure, data);
    if (figure.empty()) continue;
    if (chart.section != section)
      sections +=
          fmt::format("{}<h2>{}</h2><div class=\"charts\">\n", section.empty() ? "" : "</div>\n", chart.section);
    section = chart.section;
    sections += figure;
  }
  if (!section.empty()) sections += "</div>\n";
  std::string results;
  for (std::size_t r = 0; r < runs.size(); ++r) results += results_section(runs[r], names[r], data);

  const std::string title = runs.size() == 1 ? "Run " + names[0] : fmt::format("{} runs", runs.size());
  std::string body = fmt::format("<header><h1>{}</h1></header>\n<main>\n{}", html_text(title), notes(runs, names));
  body += summary_table(runs, names);
  // Charts of results come first in the page's order as they do in the script's.
  if (!data.empty())
    body +=
        "<div class=\"controls\" hidden><label for=\"smoothing\">Smoothing <input id=\"smoothing\" type=\"range\" "
        "min=\"0\" "
        "max=\"0.98\" step=\"0.02\" value=\"0.8\"></label><output id=\"smoothing-value\" "
        "for=\"smoothing\">0.80</output>"
        "</div>\n<noscript><p class=\"soft\">The curves need JavaScript; their values are in the "
        "tables.</p></noscript>\n";
  body += sections + results + settings_section(runs, names) + "</main>\n";
  // Nothing in the numbers' texts can end their element.
  std::string numbers_text = data.dump(-1, ' ', false, json::error_handler_t::replace), safe;
  for (const char c : numbers_text) {
    if (c == '<')
      safe += "\\u003c";
    else
      safe += c;
  }
  return fill(report_template, {{"title", html_text(title)}, {"body", body}, {"data", safe}});
}

}  // namespace mcn
