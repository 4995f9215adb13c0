// The parts of a report: summary, settings, notes, and the template that they fill.
#include "meta/train/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string_view>

#include "kernels/error.h"
#include "meta/train/report_charts.h"
#include "meta/train/report_pictures.h"
#include "meta/train/report_results.h"

namespace mcn {

extern const std::string_view report_template;  // of report.html, in the build folder

namespace {

using nlohmann::json;

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

double last_of(const RunLog& run, const std::string& key) { return mean_of_last(curve_of(run, key), last_iterations); }

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
        "scope=\"row\">{}</th><td>{}</td><td>{}{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>"
        "<td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
        html_text(names[r]), html_text(run.setting("method")), run.curves.empty() ? "–" : fmt::format("{:.0f}", last),
        planned.empty() ? "" : " of " + html_text(planned), seconds.y.empty() ? "–" : duration(total),
        shown(last_of(run, "top1_query"), true), shown(chance, true), shown(last_of(run, "pairs_query"), true),
        shown(last_of(run, "loss_query")), shown(last_of(run, "gradient_norm")), shown(last_of(run, "outer_cosine")),
        batch > 0 ? shown(pace) : "–", shown(last_of(run, "waited_share"), true),
        bad.y.empty() ? "–" : fmt::format("{:.0f}", bad.y.back()));
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

std::string notes(std::span<const RunLog> runs, std::span<const RunPictures> pictures,
                  const std::vector<std::string>& names) {
  std::string items;
  const auto add = [&](std::size_t run, const std::string& problem) {
    items += fmt::format("<li>{}: {}</li>\n", html_text(names[run]), html_text(problem));
  };
  for (std::size_t r = 0; r < runs.size(); ++r) {
    for (const std::string& problem : runs[r].problems) add(r, problem);
    if (r < pictures.size())
      for (const std::string& problem : pictures[r].problems) add(r, problem);
  }
  return items.empty()
             ? items
             : fmt::format("<div class=\"card notes\" role=\"note\"><strong>To know</strong><ul>\n{}</ul></div>\n",
                           items);
}

// Those of the charts are shown by the script, which they need. Several runs can be left out of the charts one by one.
std::string controls(std::span<const RunLog> runs, const std::vector<std::string>& names, bool charts, bool strips) {
  if (!charts && !strips) return {};
  std::string boxes, html = "<div class=\"controls\">";
  for (std::size_t r = 0; names.size() > 1 && r < names.size(); ++r)
    boxes += fmt::format("<label style=\"color:var(--c{})\"{}><input type=\"checkbox\" checked>{}</label>\n", r % 8,
                         runs[r].curves.empty() ? " hidden" : "", html_text(names[r]));
  if (charts)
    html += fmt::format(
        "<span class=\"of-charts\" hidden><label for=\"smoothing\">Smoothing <input id=\"smoothing\" type=\"range\" "
        "min=\"0\" max=\"0.98\" step=\"0.02\" value=\"0.8\"><output id=\"smoothing-value\" "
        "for=\"smoothing\">0.80</output></label>\n{}</span>",
        boxes);
  if (strips) html += "<label><input id=\"animate\" type=\"checkbox\" checked>Animate videos</label>";
  html += "</div>\n";
  if (charts)
    html += "<noscript><p class=\"soft\">The curves need JavaScript; their values are in the tables.</p></noscript>\n";
  return html;
}

// Gives every section's heading an address, and puts a list of links to them before all.
std::string with_contents(const std::string& body) {
  static constexpr std::string_view open = "<h2>", close = "</h2>";
  std::string html, links;
  std::size_t at = 0;
  for (int i = 0;; ++i) {
    const std::size_t start = body.find(open, at), end = body.find(close, start);
    html += body.substr(at, start - at);
    if (start == std::string::npos) break;
    const std::string title = body.substr(start + open.size(), end - start - open.size());
    html += fmt::format("<h2 id=\"section-{}\">{}", i, title);
    links += fmt::format("<li><a href=\"#section-{}\">{}</a></li>", i, title);
    at = end;
  }
  return fmt::format("<nav aria-label=\"Sections\"><ul>{}</ul></nav>\n{}", links, html);
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

std::string report_page(std::span<const RunLog> runs, std::span<const RunPictures> pictures) {
  if (runs.empty()) fail("report", "expected a run, got none");
  const std::vector<std::string> names = names_of(runs);
  json data = json::array();
  const std::string sections = charts_section(runs, names, data);
  std::string results;
  for (std::size_t r = 0; r < runs.size(); ++r) results += results_section(runs[r], names[r], data);

  const std::string title = runs.size() == 1 ? "Run " + names[0] : fmt::format("{} runs", runs.size());
  const bool strips = std::ranges::any_of(pictures, [](const RunPictures& p) { return !p.empty(); });
  const std::string body =
      fmt::format("<header><h1>{}</h1></header>\n{}<main>\n{}", html_text(title), notes(runs, pictures, names),
                  with_contents(summary_table(runs, names) + controls(runs, names, !data.empty(), strips) + sections +
                                results + pictures_sections(pictures, names) + settings_section(runs, names))) +
      "</main>\n";
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
