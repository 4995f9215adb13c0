// The map of features as SVG, which needs no script, and the same as a table.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "meta/train/report.h"
#include "meta/train/report_pictures.h"

namespace mcn {
namespace {

constexpr std::size_t colors = 8;
constexpr int width = 640, height = 440, margin = 14;
constexpr std::size_t most_tab_stops = 16;

// With a form of its own for each color, and others where a color comes again: forty classes differ.
const char* form_of(std::size_t label) {
  static constexpr std::array forms{"M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z", "M-3.6-3.6h7.2v7.2h-7.2z",
                                    "M0-4.8L4.6 3.6H-4.6z", "M0-5.2L5.2 0L0 5.2L-5.2 0z", "M0 4.8L4.6-3.6H-4.6z"};
  return forms[(label % colors + label / colors) % forms.size()];
}

std::string legend_html(const RunPictures& pictures, const std::set<std::int64_t>& labels) {
  std::string items;
  for (const std::int64_t label : labels) {
    const auto c = static_cast<std::size_t>(label);
    items += fmt::format(
        "<li><button type=\"button\" data-c=\"{}\" aria-pressed=\"false\"{}><svg width=\"12\" height=\"12\" "
        "viewBox=\"-6 -6 12 12\" aria-hidden=\"true\"><path d=\"{}\" style=\"--c:var(--c{})\"/></svg>{}</button></li>",
        c, labels.size() > most_tab_stops ? " tabindex=\"-1\"" : "", form_of(c), c % colors,
        html_text(pictures.classes.at(c)));
  }
  return fmt::format("<ul class=\"legend\">{}</ul>\n", items);
}

}  // namespace

std::string map_html(const RunPictures& pictures) {
  if (pictures.map.empty()) return {};
  std::vector<RunPictures::Point> points = pictures.map;
  // A step of the keyboard goes to the next video of the class.
  std::ranges::stable_sort(points, {}, &RunPictures::Point::label);
  std::array<double, 2> low{INFINITY, INFINITY}, high{-INFINITY, -INFINITY};
  std::set<std::int64_t> labels;
  for (const RunPictures::Point& point : points) {
    labels.insert(point.label);
    for (std::size_t axis = 0; axis < 2; ++axis) {
      low[axis] = std::min(low[axis], point.at[axis]);
      high[axis] = std::max(high[axis], point.at[axis]);
    }
  }
  // One scale for both axes: distances are what the map shows.
  const double scale = std::min((width - 2 * margin) / std::max(high[0] - low[0], 1e-9),
                                (height - 2 * margin) / std::max(high[1] - low[1], 1e-9));
  std::string marks, rows;
  for (const RunPictures::Point& point : points) {
    const auto label = static_cast<std::size_t>(point.label);
    const std::string name = html_text(pictures.classes.at(label));
    const std::string answer = html_text(pictures.classes.at(static_cast<std::size_t>(point.answer)));
    const bool right = point.label == point.answer;
    marks += fmt::format(
        "<path data-c=\"{}\"{} d=\"{}\" transform=\"translate({:.1f} {:.1f})\" style=\"--c:var(--c{})\"><title>{}; "
        "{}; k-NN: {}</title></path>\n",
        label, right ? "" : " class=\"miss\"", form_of(label),
        width / 2.0 + scale * (point.at[0] - (low[0] + high[0]) / 2),
        height / 2.0 - scale * (point.at[1] - (low[1] + high[1]) / 2), label % colors, name, html_text(point.name),
        answer);
    rows += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td><td>{} ({})</td><td>{:.3f}</td><td>{:.3f}</td></tr>\n",
                        html_text(point.name), name, answer, right ? "right" : "wrong", point.at[0], point.at[1]);
  }
  return fmt::format(
      "<div class=\"card\"><p class=\"soft\">{0} videos on the first two principal components of their features, which "
      "have {1:.1f}% and "
      "{2:.1f}% of the variance. Hollow: the k-NN is wrong. A class of the legend stands out when it is pointed at or "
      "chosen.</p>\n{3}<div class=\"map\" role=\"img\" tabindex=\"0\" aria-label=\"Map of {0} test videos of {4} "
      "classes; the arrow keys left and right go from video to video, up and down from class to class; the values are "
      "in the table below\"><svg viewBox=\"0 0 {5} {6}\" aria-hidden=\"true\">\n{7}</svg></div>\n"
      "<details><summary>Values</summary><div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Values of "
      "the map\"><table><thead><tr><th>video</th><th>class</th><th>k-NN</th><th>component 1</th><th>component 2</th>"
      "</tr></thead><tbody>\n{8}</tbody></table></div></details></div>\n",
      points.size(), 100 * pictures.variance[0], 100 * pictures.variance[1], legend_html(pictures, labels),
      labels.size(), width, height, marks, rows);
}

}  // namespace mcn
