// `mcn --version`.
#include "tools/version.h"

#include <fmt/format.h>

#include "engine/device.h"
#include "kernels/range.h"
#ifdef MCN_HAS_DATA
#include "data/versions.h"
#endif

namespace mcn {

std::string version_text() {
  std::string devices;
  for (const std::string& name : device_names())
    if (const std::string build = device_build(name); !build.empty())
      fmt::format_to(std::back_inserter(devices), "{}{} ({})", devices.empty() ? "" : ", ", name, build);
  std::string text = fmt::format("mcn {} ({})\n", MCN_VERSION, build_commit);
  const auto line = [&](const char* what, const std::string& value) {
    fmt::format_to(std::back_inserter(text), "{:<11}{}\n", what, value);
  };
  line("compiler", MCN_COMPILER);
  line("devices", devices);
  line("NVTX", has_nvtx() ? "yes" : "no");
#ifdef MCN_HAS_DATA
  line("FFmpeg", ffmpeg_versions());
  line("libarchive", libarchive_version());
#else
  line("videos", "no: built without MCN_DATA");
#endif
  text.pop_back();
  return text;
}

}  // namespace mcn
