// Which releases of the libraries that read files this process runs with.
#pragma once

#include <string>

namespace mcn {

/// "5.1.6 (libavcodec 59.37.100, ...)": of the libraries loaded now, not of those that this was compiled with.
std::string ffmpeg_versions();
/// "3.6.2".
std::string libarchive_version();

}  // namespace mcn
