// How a subcommand reads video files: --index-cache, --max-open, --decode-timeout, --hwaccel, --max-bad.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "data/video_pool.h"

namespace mcn {

/// The default of --index-cache: mcn/indices in the user's cache folder (XDG_CACHE_HOME, or .cache in HOME); empty
/// without either.
std::string default_index_folder();

/// Threads of the codec where one file is all there is to read: the machine's cores, at most 16.
int codec_threads();

void add_file_options(CLI::App& command, FileConfig& files);
/// --hwaccel none|cuda.
void add_hwaccel(CLI::App& command, bool& cuda);
/// --max-bad: a share in percent, with or without the sign.
void add_max_bad(CLI::App& command, double& percent, const std::string& help);
/// --decode-timeout alone, with its default, long enough for any video that is not stuck.
void add_decode_timeout(CLI::App& command, double& seconds, const std::string& of_what);

}  // namespace mcn
