// Names and help texts of the options on files.
#include "tools/file_options.h"

#include <algorithm>
#include <cstdlib>
#include <thread>

#include "tools/command.h"
#include "tools/number.h"

namespace mcn {

std::string default_index_folder() {
  const auto variable = [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
  };
  if (const std::string cache = variable("XDG_CACHE_HOME"); !cache.empty()) return cache + "/mcn/indices";
  if (const std::string home = variable("HOME"); !home.empty()) return home + "/.cache/mcn/indices";
  return "";
}

int codec_threads() { return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, 16); }

void add_file_options(CLI::App& command, FileConfig& files) {
  files.index_folder = default_index_folder();
  command
      .add_option("--index-cache", files.index_folder,
                  "folder in which the frame indices of videos are kept between runs; \"\": nowhere")
      ->type_name(folder_type);
  command.add_option("--max-open", files.max_open, "number of video files that are open at a time")
      ->check(CLI::Range(1, 65536));
  add_decode_timeout(command, files.timeout_seconds, "opening a video, or reading a clip of it,");
  add_hwaccel(command, files.cuda);
}

void add_max_bad(CLI::App& command, double& percent, const std::string& help) {
  command.add_option("--max-bad", percent, help)
      ->transform([](std::string text) {
        if (text.ends_with('%')) text.pop_back();
        return text;
      })
      ->check(CLI::Range(0.0, 100.0));
}

void add_decode_timeout(CLI::App& command, double& seconds, const std::string& of_what) {
  seconds = 120;
  command.add_option("--decode-timeout", seconds, "seconds that " + of_what + " may take; 0: no limit")
      ->check(not_negative_number());
}

void add_hwaccel(CLI::App& command, bool& cuda) {
  command
      .add_option_function<std::string>(
          "--hwaccel", [&cuda](const std::string& name) { cuda = name == "cuda"; },
          "where H.264, HEVC, VP9 and AV1 are decoded: none: the CPU; cuda: a GPU's video engine")
      ->check(CLI::IsMember({"none", "cuda"}))
      ->default_str("none");
}

}  // namespace mcn
