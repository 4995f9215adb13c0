// Event files of TensorBoard in the folder of a run.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/io/event_file.h"

namespace mcn {

/// A new event file in a run's folder, named so that TensorBoard reads it after those that are there.
EventFile open_event_file(const std::filesystem::path& folder, std::int64_t first_iteration);

/// The numbers of a line of metrics.jsonl, with "/" between an object and its key.
void add_metrics(EventFile& events, const nlohmann::json& metrics);

/// Names of the files in a run's folder that are events of TensorBoard, sorted.
std::vector<std::string> event_files(const std::filesystem::path& folder);

}  // namespace mcn
