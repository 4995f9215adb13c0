// report.html, which training leaves beside its own files.
#pragma once

#include <filesystem>
#include <span>
#include <string>

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

}  // namespace mcn
