// How a subcommand reads video files: --index-cache, --max-open, --decode-timeout.
#pragma once

#include <CLI/CLI.hpp>

#include "data/video_pool.h"

namespace mcn {

/// The default of --index-cache: mcn/indices in the user's cache folder (XDG_CACHE_HOME, or .cache in HOME); empty
/// without either.
std::string default_index_folder();

void add_file_options(CLI::App& command, FileConfig& files);

}  // namespace mcn
