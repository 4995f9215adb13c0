// Frames to strips, and strips of videos by threads.
#include "data/strip.h"

#include <algorithm>
#include <cmath>

#include "data/encoder.h"
#include "data/ordered.h"
#include "kernels/error.h"

namespace mcn {
namespace {

// `count` numbers from first to last, evenly.
std::vector<std::int64_t> spread(std::int64_t first, std::int64_t last, std::int64_t count) {
  std::vector<std::int64_t> numbers;
  for (std::int64_t i = 0; i < count; ++i)
    numbers.push_back(count == 1 ? first : first + (i * (last - first) + (count - 1) / 2) / (count - 1));
  return numbers;
}

// A side of a strip's frame. JPEG codes blocks of 8 x 8 pixels: a frame must not share one with the next.
int side_of(int pixels, int longer, int wanted) {
  const double scaled = static_cast<double>(pixels) * std::min(wanted, longer) / longer;
  return std::max(8, 8 * static_cast<int>(std::lround(scaled / 8)));
}

Strip strip_of(const VideoSource& source, const StripConfig& config, const FileConfig& files) {
  Video video(source, files.options());
  const VideoInfo& info = video.info();
  const std::vector<std::int64_t> clip = uniform_clip(info.frames, config.clip, 0, 1);
  const std::int64_t count = std::min<std::int64_t>(config.frames, clip.back() - clip.front() + 1);
  const int longer = std::max(info.height, info.width);
  return make_strip(video.frames(spread(clip.front(), clip.back(), count), side_of(info.height, longer, config.side),
                                 side_of(info.width, longer, config.side)),
                    config.frames, config.bytes);
}

}  // namespace

Strip make_strip(const Frames& frames, int most, std::size_t most_bytes) {
  if (frames.count < 1 || most < 1)
    fail("strip", "expected frames, and room for one, got {} and {}", frames.count, most);
  Strip strip{{}, static_cast<int>(std::min<std::int64_t>(most, frames.count)), frames.height, frames.width};
  std::vector<std::uint8_t> rgb;
  for (const std::int64_t i : spread(0, frames.count - 1, strip.frames)) {
    const auto frame = frames.frame(i);
    rgb.insert(rgb.end(), frame.begin(), frame.end());
  }
  for (const int quantizer : {4, 8, 14, 22, 31}) {
    strip.jpeg = encode_jpeg(rgb, strip.frames * strip.height, strip.width, quantizer);
    if (strip.jpeg.size() <= most_bytes) break;
  }
  return strip;
}

std::vector<Strip> middle_strips(std::span<const VideoSource> videos, const StripConfig& config,
                                 const FileConfig& files, const std::function<void()>& waiting) {
  const auto count = static_cast<std::int64_t>(videos.size());
  Ordered<Strip> work(
      config.threads, 2 * config.threads, count,
      [&](std::int64_t i) { return strip_of(videos[static_cast<std::size_t>(i)], config, files); },
      files.timeout_seconds);
  std::vector<Strip> strips(videos.size());
  for (Strip& strip : strips) {
    try {
      strip = work.next(waiting).value_or(Strip{});
    } catch (const DataError&) {
      strip = {};
    }
    if (waiting) waiting();
  }
  return strips;
}

}  // namespace mcn
