// The matrix as a table of counts, and its largest entries off the diagonal.
#include "meta/train/report_matrix.h"

#include <fmt/format.h>

#include <algorithm>

#include "meta/train/report.h"

namespace mcn {
namespace {

constexpr std::size_t most_classes_of_a_matrix = 60, most_named_columns = 12, pairs_listed = 20;

// Of few classes the columns have names, turned; of many numbers, which the rows have before their names.
std::string matrix_html(const std::vector<std::vector<double>>& matrix, const std::vector<std::string>& classes) {
  const bool few = classes.size() <= most_named_columns;
  std::string head, body;
  for (std::size_t c = 0; c < classes.size(); ++c)
    head +=
        few ? fmt::format("<th scope=\"col\" title=\"{0}\"><span>{0}</span></th>", html_text(classes[c]))
            : fmt::format("<th scope=\"col\" title=\"{0}\" aria-label=\"{0}\">{1}</th>", html_text(classes[c]), c + 1);
  for (std::size_t c = 0; c < classes.size(); ++c) {
    double total = 0;
    for (const double count : matrix[c]) total += count;
    body += fmt::format("<tr><th scope=\"row\" title=\"{0}\">{1}{0}</th>", html_text(classes[c]),
                        few ? "" : fmt::format("<i>{}</i> ", c + 1));
    for (std::size_t p = 0; p < classes.size(); ++p) {
      const double count = matrix[c][p];
      body += count == 0 ? fmt::format("<td{}></td>", c == p ? " class=\"none\"" : "")
                         : fmt::format("<td class=\"{}\" style=\"--share:{:.2f}\" title=\"{} as {}\">{:.0f}</td>",
                                       c == p ? "right" : "wrong", 0.1 + 0.7 * count / std::max(total, 1.0),
                                       html_text(classes[c]), html_text(classes[p]), count);
    }
    body += fmt::format("<td class=\"recall\">{}</td></tr>\n",
                        total > 0 ? fmt::format("{:.0f}%", 100 * matrix[c][c] / total) : "–");
  }
  return fmt::format(
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Confusion matrix\"><table "
      "class=\"matrix{}\"><thead><tr>"
      "<th>true \\ predicted</th>{}<th scope=\"col\">right</th></tr></thead><tbody>\n{}</tbody></table></div>\n",
      few ? "" : " many", head, body);
}

std::string pairs_html(const std::vector<std::vector<double>>& matrix, const std::vector<std::string>& classes) {
  struct Pair {
    double count;
    std::size_t of, as;
  };
  std::vector<Pair> pairs;
  for (std::size_t c = 0; c < matrix.size(); ++c)
    for (std::size_t p = 0; p < matrix.size(); ++p)
      if (c != p && matrix[c][p] > 0) pairs.push_back({matrix[c][p], c, p});
  std::ranges::stable_sort(pairs, std::ranges::greater{}, &Pair::count);
  pairs.resize(std::min(pairs.size(), pairs_listed));
  std::string rows;
  for (const Pair& pair : pairs)
    rows += fmt::format("<tr><td>{}</td><td>{}</td><td>{:.0f}</td></tr>\n", html_text(classes[pair.of]),
                        html_text(classes[pair.as]), pair.count);
  return rows.empty()
             ? "<p class=\"soft\">There are no mistakes.</p>\n"
             : fmt::format(
                   "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Most frequent mistakes\"><table>"
                   "<thead><tr><th>class</th><th>predicted as</th><th>videos</th></tr></thead><tbody>\n{}</tbody>"
                   "</table></div>\n",
                   rows);
}

}  // namespace

std::string confusion_html(const std::vector<std::vector<double>>& matrix, const std::vector<std::string>& classes) {
  if (classes.size() > most_classes_of_a_matrix)
    return "<p class=\"soft\">The most frequent mistakes:</p>" + pairs_html(matrix, classes);
  std::string html = matrix_html(matrix, classes);
  if (classes.size() > most_named_columns)
    html += "<details><summary>The most frequent mistakes</summary>" + pairs_html(matrix, classes) + "</details>\n";
  return html;
}

}  // namespace mcn
