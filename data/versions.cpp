// The libraries' own functions on their versions.
#include "data/versions.h"

#include <archive.h>
#include <fmt/format.h>

#include "data/ffmpeg.h"

namespace mcn {

std::string ffmpeg_versions() {
  std::string libraries;
  const auto add = [&](const char* name, unsigned version) {
    fmt::format_to(std::back_inserter(libraries), "{}{} {}.{}.{}", libraries.empty() ? "" : ", ", name,
                   AV_VERSION_MAJOR(version), AV_VERSION_MINOR(version), AV_VERSION_MICRO(version));
  };
  add("libavformat", avformat_version());
  add("libavcodec", avcodec_version());
  add("libswscale", swscale_version());
  add("libavutil", avutil_version());
  return fmt::format("{} ({})", av_version_info(), libraries);
}

std::string libarchive_version() {
  const int version = archive_version_number();
  return fmt::format("{}.{}.{}", version / 1'000'000, version / 1000 % 1000, version % 1000);
}

}  // namespace mcn
