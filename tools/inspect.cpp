// `mcn inspect`: what a video file holds.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "data/video.h"
#include "tools/command.h"
#include "tools/print.h"

namespace mcn {
namespace {

nlohmann::ordered_json to_json(const VideoInfo& v) {
  return {{"path", v.path},
          {"container", v.container},
          {"codec", v.codec},
          {"pixel_format", v.pixel_format},
          {"color_matrix", v.color_matrix},
          {"color_range", v.color_range},
          {"width", v.width},
          {"height", v.height},
          {"rotation_degrees", v.rotation},
          {"frames", v.frames},
          {"header_frames", v.header_frames},
          {"keyframes", v.keyframes},
          {"b_frames", v.b_frames},
          {"fps", v.fps},
          {"seconds", v.seconds},
          {"damaged_packets", v.damaged},
          {"frames_of_other_sizes", v.other_sizes}};
}

}  // namespace

void add_inspect(CLI::App& app) {
  CLI::App* command = app.add_subcommand("inspect", "what a video file holds");
  struct Options {
    std::string video;
    bool json = false;
  };
  auto o = std::make_shared<Options>();
  command->add_option("video", o->video, "video file")->type_name(file_type)->required();
  command->add_flag("--json", o->json, "print one JSON object");
  set_action(*command, [o] {
    const nlohmann::ordered_json info = to_json(Video(o->video, {.always_decode = true}).info());
    if (o->json) {
      print_result("{}\n", info.dump());
      return ok;
    }
    for (const auto& [key, value] : info.items())
      print_result("{:<22} {}\n", key, value.is_string() ? value.get<std::string>() : value.dump());
    return ok;
  });
}

}  // namespace mcn
