// `mcn frames`: frames of a video by number, as an .npy file.
#include <fmt/format.h>

#include "data/video.h"
#include "engine/npy.h"
#include "tools/command.h"

namespace mcn {

void add_frames(CLI::App& app) {
  CLI::App* command = app.add_subcommand("frames", "frames of a video by number: uint8, N x H x W x 3, RGB");
  struct Options {
    std::string video, out;
    std::vector<std::int64_t> at;
  };
  auto o = std::make_shared<Options>();
  command->add_option("video", o->video, "video file")->required();
  command->add_option("--at", o->at, "frame numbers from 0, in any order: 0,7,31")
      ->required()
      ->delimiter(',')
      ->check(CLI::NonNegativeNumber);
  command->add_option("--out", o->out, ".npy file")->required();
  set_action(*command, [o] {
    const Frames frames = Video(o->video).frames(o->at);
    write_npy(o->out, DType::u8, {frames.count, frames.height, frames.width, 3},
              std::as_bytes(std::span<const std::uint8_t>(frames.rgb)));
    fmt::print("{} frames of {}x{} pixels: {}\n", frames.count, frames.width, frames.height, o->out);
    return ok;
  });
}

}  // namespace mcn
