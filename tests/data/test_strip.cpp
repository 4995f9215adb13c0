// Strips: read back by FFmpeg's decoder of JPEG.
#include <array>
#include <cmath>

#include "data/strip.h"
#include "engine/random.h"
#include "kernels/error.h"
#include "tests/catch.h"
#include "tests/data/videos.h"
#include "tests/temporary_folder.h"

namespace mcn {
namespace {

Frames read_back(const test::TemporaryFolder& folder, const std::string& jpeg) {
  const std::string path = folder.file("strip.jpg");
  test::write_file(path, jpeg);
  return test::sequential_decode(path);
}

/// Largest difference of any value of frame `at` of the picture from a color.
int worst(const Frames& picture, const Strip& strip, int at, const std::array<int, 3>& color) {
  int largest = 0;
  for (int i = 0; i < strip.height * strip.width; ++i)
    for (std::size_t c = 0; c < 3; ++c) {
      const auto place = static_cast<std::size_t>(at * strip.height * strip.width + i) * 3 + c;
      largest = std::max(largest, std::abs(int{picture.rgb[place]} - color[c]));
    }
  return largest;
}

}  // namespace

TEST_CASE("a strip has frames from the first to the last, each apart from the next") {
  const test::TemporaryFolder folder;
  // Ten frames of one color each.
  Frames frames{10, 16, 24, {}};
  const auto color = [](int i) { return std::array{25 * i, 230 - 20 * i, i % 2 == 0 ? 40 : 200}; };
  for (int i = 0; i < 10; ++i)
    for (int pixel = 0; pixel < 16 * 24; ++pixel)
      for (const int value : color(i)) frames.rgb.push_back(static_cast<std::uint8_t>(value));
  const Strip strip = make_strip(frames, 4, 100'000);
  CHECK(strip.frames == 4);
  CHECK(strip.height == 16);
  CHECK(strip.width == 24);
  const Frames picture = read_back(folder, strip.jpeg);
  REQUIRE(picture.count == 1);
  REQUIRE(picture.height == 4 * 16);
  REQUIRE(picture.width == 24);
  // Frames 0, 3, 6 and 9. A block that two of them share would be far from both.
  for (int i = 0; i < 4; ++i) CHECK(worst(picture, strip, i, color(3 * i)) <= 6);

  CHECK(make_strip(frames, 40, 100'000).frames == 10);
  CHECK(make_strip(frames, 4, 100'000).jpeg == strip.jpeg);
  CHECK_THROWS_AS(make_strip({}, 4, 1000), UsageError);
  CHECK_THROWS_AS(make_strip(frames, 0, 1000), UsageError);
  CHECK_THROWS_AS(encode_jpeg(frames.rgb, 16, 25, 4), UsageError);
}

TEST_CASE("a strip of noise is coded coarsely enough for its bytes") {
  Frames frames{4, 64, 64, {}};
  Philox random(3);
  for (std::size_t i = 0; i < 4 * frames.frame_bytes(); ++i)
    frames.rgb.push_back(static_cast<std::uint8_t>(random.below(256)));
  const Strip fine = make_strip(frames, 4, 1'000'000), coarse = make_strip(frames, 4, 20'000);
  CHECK(fine.jpeg.size() > 20'000);
  CHECK(coarse.jpeg.size() <= 20'000);
  // As coarse as it can be, and no more.
  CHECK(make_strip(frames, 4, 10).jpeg.size() <= coarse.jpeg.size());
}

TEST_CASE("strips show the middles of videos, and nothing where there is no video") {
  const test::TemporaryFolder folder;
  const std::string video = folder.file("a.mkv"), bad = folder.file("bad.mp4"), tall = folder.file("tall.mkv");
  test::encode(video, {.codec = "ffv1", .width = 96, .height = 64, .pixel_format = "yuv444p"}, 20);
  test::encode(tall, {.codec = "ffv1", .width = 50, .height = 100, .pixel_format = "yuv444p"}, 5);
  test::write_file(bad, "no video");
  StripConfig config;
  config.clip = {3, 4};  // in the middle of 20 frames: 5, 9, 13
  config.frames = 5;     // of a strip: 5, 7, 9, 11, 13
  config.bytes = 100'000;
  const std::vector<VideoSource> sources{video, bad, tall};
  int calls = 0;
  const std::vector<Strip> strips = middle_strips(sources, config, {}, [&] { ++calls; });
  REQUIRE(strips.size() == 3);
  CHECK(calls >= 3);
  CHECK(strips[0].frames == 5);
  CHECK(strips[0].height == 64);
  CHECK(strips[0].width == 96);
  CHECK(strips[1].jpeg.empty());
  // The clip's stride shrinks to 2 in 5 frames; 50 x 100 scaled to 48 x 96.
  CHECK(strips[2].frames == 5);
  CHECK(strips[2].height == 96);
  CHECK(strips[2].width == 48);

  const Frames picture = read_back(folder, strips[0].jpeg), truth = test::moving_blocks(20, 64, 96);
  REQUIRE(picture.height == 5 * 64);
  for (int i = 0; i < 5; ++i) {
    // Against the frame that it should be, and the one after: the blocks move by three pixels a frame.
    double right = 0, other = 0;
    for (std::size_t k = 0; k < truth.frame_bytes(); ++k) {
      const int value = picture.rgb[static_cast<std::size_t>(i) * truth.frame_bytes() + k];
      right += std::abs(value - int{truth.frame(5 + 2 * i)[k]});
      other += std::abs(value - int{truth.frame(6 + 2 * i)[k]});
    }
    CHECK(right < 0.5 * other);
  }
  // Any number of threads.
  config.threads = 1;
  CHECK(middle_strips(sources, config, {})[0].jpeg == strips[0].jpeg);
}

}  // namespace mcn
