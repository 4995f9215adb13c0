// `mcn frames`: frames of a video by number, as an .npy file or as PNG images.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "data/encoder.h"
#include "data/video.h"
#include "engine/atomic_file.h"
#include "engine/npy.h"
#include "tools/command.h"
#include "tools/file_options.h"
#include "tools/print.h"

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

/// "f-31.png" for frame 31 of several.
std::string image_path(const std::string& out, const std::vector<std::int64_t>& numbers, std::int64_t number) {
  if (std::ranges::all_of(numbers, [&](std::int64_t n) { return n == numbers.front(); })) return out;
  return fmt::format("{}-{}.png", out.substr(0, out.size() - std::string_view(".png").size()), number);
}

void write_images(const std::string& out, const std::vector<std::int64_t>& numbers, const Frames& frames) {
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    AtomicFile file("frames", image_path(out, numbers, numbers[i]));
    file.write(encode_png(frames.frame(static_cast<std::int64_t>(i)), frames.height, frames.width));
    file.commit();
  }
}

int write_frames(const std::string& video, const std::string& at, const std::string& out, bool cuda) {
  const std::vector<std::int64_t> numbers = frame_numbers(at);
  const bool images = out.ends_with(".png");
  if (!images && !out.ends_with(".npy"))
    fail("frames", "--out: expected a name that ends in .npy or .png, got {}", out);
  for (const std::int64_t number : numbers) expect_writable("frames", images ? image_path(out, numbers, number) : out);
  const Frames frames = Video(video, {.threads = codec_threads(), .cuda = cuda}).frames(numbers);
  if (images)
    write_images(out, numbers, frames);
  else
    write_npy(out, DType::u8, {frames.count, frames.height, frames.width, 3},
              std::as_bytes(std::span<const std::uint8_t>(frames.rgb)));
  print_summary("{} frame{} of {}x{} pixels: {}\n", frames.count, frames.count == 1 ? "" : "s", frames.width,
                frames.height,
                images ? image_path(out, numbers, numbers.front()) + (numbers.size() > 1 ? ", ..." : "") : out);
  return ok;
}

}  // namespace

void add_frames(CLI::App& app) {
  CLI::App* command = app.add_subcommand("frames", "write frames of a video by number, as an array or as images");
  struct Options {
    std::string video, out, at;
    bool cuda = false;
  };
  auto o = std::make_shared<Options>();
  command->add_option("video", o->video, "video file")->type_name(file_type)->required();
  command->add_option("--at", o->at, "frame numbers from 0, in any order, repeats allowed: 0,7,31")->required();
  command
      ->add_option("--out", o->out,
                   "NAME.npy: an array N x H x W x 3 of uint8, RGB; NAME.png: an image, or for several frames images "
                   "NAME-0.png, NAME-7.png, ... with the frames' numbers. A file is written whole or not at all")
      ->type_name(file_type)
      ->required();
  add_hwaccel(*command, o->cuda);
  set_action(*command, [o] { return write_frames(o->video, o->at, o->out, o->cuda); });
}

}  // namespace mcn
