// Tables of evaluations, and what fine-tuning left.
#include "meta/train/report_results.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "meta/train/report.h"
#include "meta/train/report_charts.h"
#include "meta/train/report_matrix.h"

namespace mcn {
namespace {

using nlohmann::json;

// A number of an object; NaN where there is none.
double number(const json& object, const std::string& key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_number() ? found->get<double>() : NAN;
}

std::string percent(double value) { return std::isfinite(value) ? fmt::format("{:.1f}%", value) : "–"; }

std::string interval(const json& object) {
  const double low = number(object, "low"), high = number(object, "high");
  return std::isfinite(low) && std::isfinite(high) ? fmt::format("{:.1f} to {:.1f}", low, high) : "–";
}

json part(const json& object, const std::string& key) {
  return object.is_object() && object.contains(key) ? object[key] : json();
}

void add_measure(const std::string& title, const json& measure, std::string& rows) {
  const json random = part(measure, "random");
  rows += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                      html_text(title), percent(number(measure, "value")), interval(measure),
                      percent(number(random, "value")), interval(random), percent(number(measure, "chance")));
}

constexpr const char* measure_head =
    "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Results\"><table><thead><tr><th>protocol</th>"
    "<th>value</th><th>95% interval</th><th>random weights</th><th>95% "
    "interval</th><th>chance</th></tr></thead><tbody>\n";

std::string evaluation_html(const json& evaluation) {
  std::string rows, classes;
  for (const auto& [key, title] : {std::pair("retrieval", "retrieval, R@1"), std::pair("knn", "weighted k-NN"),
                                   std::pair("linear", "linear probe")}) {
    const json measure = part(evaluation, key);
    if (!measure.is_object()) continue;
    add_measure(title, measure, rows);
    const json by_class = part(measure, "by_class");
    if (!by_class.is_object()) continue;
    for (const auto& [name, figures] : by_class.items())
      add_measure(std::string(title) + ", " + name, figures, classes);
  }
  if (rows.empty()) return "<p>evaluation.json does not have the form of `mcn evaluate --json`.</p>\n";
  std::string more;
  for (const char* key : {"r5", "r10", "r20", "r50", "map"})
    if (const double value = number(part(evaluation, "retrieval"), key); std::isfinite(value))
      more += fmt::format("{}{} {}", more.empty() ? "" : ", ",
                          key == std::string("map") ? "mAP" : fmt::format("R@{}", key + 1), percent(value));
  std::string html = fmt::format("{}{}</tbody></table></div>\n", measure_head, rows);
  if (!more.empty()) html += fmt::format("<p class=\"soft\">Retrieval: {}.</p>\n", more);
  if (!classes.empty())
    html += fmt::format("<details><summary>By class</summary>{}{}</tbody></table></div></details>\n", measure_head,
                        classes);
  return html;
}

// The matrix as counts, or nothing where it is not square or its classes are others.
std::vector<std::vector<double>> matrix_of(const json& rows, std::size_t classes) {
  std::vector<std::vector<double>> matrix;
  if (!rows.is_array() || rows.size() != classes) return {};
  for (const json& row : rows) {
    if (!row.is_array() || row.size() != classes) return {};
    auto& counts = matrix.emplace_back();
    for (const json& count : row) counts.push_back(count.is_number() ? count.get<double>() : 0);
  }
  return matrix;
}

// Accuracy over epochs.
std::string epochs_html(const json& epochs, json& charts) {
  json series = json::array();
  std::size_t color = 0;
  std::string spoken, legend;
  for (const auto& [key, label] :
       {std::pair("train_accuracy", "training"), std::pair("validation_accuracy", "held out")}) {
    json x = json::array(), y = json::array();
    for (const json& epoch : epochs.is_array() ? epochs : json::array())
      if (const double value = number(epoch, key); std::isfinite(value) && std::isfinite(number(epoch, "epoch"))) {
        x.push_back(number(epoch, "epoch") + 1);
        y.push_back(value);
      }
    if (x.empty()) continue;
    spoken += fmt::format("; {} {}", label, percent(100 * y.back().get<double>()));
    legend += legend_entry(label, color);
    series.push_back({{"label", label}, {"color", color++}, {"x", x}, {"y", y}});
  }
  if (series.empty()) return {};
  charts.push_back(
      {{"x", "epoch"}, {"percent", true}, {"log", 0}, {"exact", true}, {"levels", json::array()}, {"series", series}});
  return fmt::format(
      "<div class=\"charts\"><figure><figcaption>Accuracy by epoch</figcaption><ul class=\"legend\">{}</ul>"
      "<div class=\"plot\" role=\"img\" tabindex=\"0\" aria-label=\"Accuracy by epoch; "
      "last{}\"></div></figure></div>\n",
      legend, spoken);
}

std::string finetuning_html(const json& result, json& charts) {
  const json top1 = part(result, "top1");
  if (!top1.is_object()) return "<p>finetune.json does not have the form that `mcn finetune` writes.</p>\n";
  std::string rows;
  add_measure("fine-tuning, top-1", top1, rows);
  std::string html =
      fmt::format("{}{}</tbody></table></div>\n", measure_head, rows) + epochs_html(part(result, "epochs"), charts);
  std::vector<std::string> classes;
  for (const json& name : part(result, "classes").is_array() ? part(result, "classes") : json::array())
    classes.push_back(name.is_string() ? name.get<std::string>() : name.dump());
  const auto matrix = matrix_of(part(result, "confusion"), classes.size());
  if (matrix.empty()) return html;
  return html + "<h3>Confusion</h3>" + confusion_html(matrix, classes);
}

}  // namespace

std::string results_section(const RunLog& run, const std::string& name, json& charts) {
  std::string html;
  if (!run.evaluation.is_null())
    html += fmt::format("<h2>Evaluation of {}</h2><div class=\"card\">{}</div>\n", html_text(name),
                        evaluation_html(run.evaluation));
  if (!run.finetuning.is_null())
    html += fmt::format("<h2>Fine-tuning in {}</h2><div class=\"card\">{}</div>\n", html_text(name),
                        finetuning_html(run.finetuning, charts));
  return html;
}

}  // namespace mcn
