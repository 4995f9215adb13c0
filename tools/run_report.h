// What training leaves to look at beside its own files: report.html, and event files of TensorBoard.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "engine/io/event_file.h"
#include "meta/train/run_log.h"
#include "meta/train/run_pictures.h"

namespace mcn {

/// Writes the page of runs, whole or not at all. DataError "[prefix] ..." if it cannot be written.
void write_page(const std::string& prefix, const std::string& path, std::span<const RunLog> runs,
                std::span<const RunPictures> pictures);

/// Writes report.html into a run's folder, with its pictures if there are any, and returns its path. What prevents it
/// is said on stderr and harms nothing, as the run is worth more: then, and for a run without figures, the path is
/// empty.
std::string write_run_report(const std::filesystem::path& folder, const RunPictures& pictures = {});

/// A new event file in a run's folder, named so that TensorBoard reads it after those that are there.
EventFile open_event_file(const std::filesystem::path& folder, std::int64_t first_iteration);

/// The numbers of a line of metrics.jsonl, with "/" between an object and its key.
void add_metrics(EventFile& events, const nlohmann::json& metrics);

/// Names of the files in a run's folder that are events of TensorBoard, sorted.
std::vector<std::string> event_files(const std::filesystem::path& folder);

}  // namespace mcn
