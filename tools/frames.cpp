// `mcn frames`: frames of a video by number, as an .npy file.
#include <fmt/format.h>

#include <charconv>
#include <limits>

#include "data/video.h"
#include "engine/npy.h"
#include "tools/command.h"
#include "tools/file_options.h"

namespace mcn {
namespace {

// "0,7,31". A number too large for any type is one that no video has, which is for the video to say.
std::vector<std::int64_t> frame_numbers(const std::string& list) {
  std::vector<std::int64_t> numbers;
  const char* at = list.data();
  const char* const end = at + list.size();
  while (true) {
    std::int64_t number = 0;
    const auto [after, error] = std::from_chars(at, end, number);
    if (error == std::errc::result_out_of_range) number = std::numeric_limits<std::int64_t>::max();
    if (error == std::errc::invalid_argument || *at == '-' || (after != end && *after != ','))
      fail("frames", "--at: expected numbers from 0 with commas between them, got \"{}\"", list);
    numbers.push_back(number);
    if (after == end) return numbers;
    at = after + 1;
  }
}

}  // namespace

void add_frames(CLI::App& app) {
  CLI::App* command = app.add_subcommand("frames", "frames of a video by number: uint8, N x H x W x 3, RGB");
  struct Options {
    std::string video, out, at;
    bool cuda = false;
  };
  auto o = std::make_shared<Options>();
  command->add_option("video", o->video, "video file")->type_name(file_type)->required();
  command->add_option("--at", o->at, "frame numbers from 0, in any order, repeats allowed: 0,7,31")->required();
  command->add_option("--out", o->out, ".npy file; written whole or not at all")->type_name(file_type)->required();
  add_hwaccel(*command, o->cuda);
  set_action(*command, [o] {
    const std::vector<std::int64_t> numbers = frame_numbers(o->at);
    expect_writable("frames", o->out);
    const Frames frames = Video(o->video, {.threads = codec_threads(), .cuda = o->cuda}).frames(numbers);
    write_npy(o->out, DType::u8, {frames.count, frames.height, frames.width, 3},
              std::as_bytes(std::span<const std::uint8_t>(frames.rgb)));
    fmt::print("{} frames of {}x{} pixels: {}\n", frames.count, frames.width, frames.height, o->out);
    return ok;
  });
}

}  // namespace mcn
