// The charts of a report: a place on the page for each, its figures as a table, and the numbers that the page's script
// draws.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "meta/train/run_log.h"

namespace mcn {

/// Iterations whose mean is shown as a run's last figure.
inline constexpr std::size_t last_iterations = 20;

/// HTML of the charts that the runs have figures for, known ones first; of several runs each has one curve in a chart,
/// the first that there is. An entry for each chart is added to `data`, in the page's order.
std::string charts_section(std::span<const RunLog> runs, const std::vector<std::string>& names, nlohmann::json& data);

/// A curve's name in a legend, with a sample of its line.
std::string legend_entry(const std::string& label, std::size_t color);

/// An empty curve where the run has none of that key.
const Curve& curve_of(const RunLog& run, std::string_view key);

/// A number as the page has it; a dash for one that is not finite.
std::string shown(double value, bool percent = false);

}  // namespace mcn
