// The decoder: frame i is the i-th of a sequential decode whatever the file, and bad files are refused in one line.
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "data/encoder.h"
#include "data/video.h"
#include "engine/random.h"
#include "kernels/error.h"
#include "tests/catch.h"
#include "tests/data/videos.h"
#include "tests/temporary_folder.h"

namespace mcn {
namespace {

using test::encode;
using test::TemporaryFolder;

/// Number of frames, of those at `indices`, that are not the truth's, byte for byte.
int wrong_frames(Video& video, const Frames& truth, const std::vector<std::int64_t>& indices) {
  const Frames got = video.frames(indices);
  int wrong = 0;
  for (std::size_t k = 0; k < indices.size(); ++k)
    wrong += std::ranges::equal(got.frame(static_cast<std::int64_t>(k)), truth.frame(indices[k])) ? 0 : 1;
  return wrong;
}

/// Random access, several requests in random order, against the truth.
void check_against(const std::string& path, const Frames& truth, std::int64_t cache_bytes) {
  Video video(path, {.cache_bytes = cache_bytes});
  REQUIRE(video.info().frames == truth.count);
  REQUIRE(video.info().height == truth.height);
  REQUIRE(video.info().width == truth.width);
  Philox random(7);
  for (int request = 0; request < 12; ++request) {
    std::vector<std::int64_t> indices;
    for (int i = 0; i < 3; ++i) indices.push_back(random.below(truth.count));
    indices.push_back(indices.front());
    CHECK(wrong_frames(video, truth, indices) == 0);
  }
  CHECK(wrong_frames(video, truth, {truth.count - 1, 0}) == 0);
}

std::string error_of(const std::string& path) {
  try {
    const Video video(path);
  } catch (const DataError& e) {
    return e.what();
  }
  return "no error";
}

struct Case {
  const char* file;
  const char* codec;
  int width, height, gop, b_frames;
  const char* pixels = "yuv420p";
  const char* options = "";
};

const std::vector<Case> cases{
    {"h264.mp4", "libx264", 96, 64, 12, 0},
    {"h264_b.mp4", "libx264", 96, 64, 12, 3},
    {"h264_long.mp4", "libx264", 96, 64, 250, 3},
    {"h264_intra.mp4", "libx264", 96, 64, 1, 0},
    {"h264_open.mp4", "libx264", 96, 64, 10, 3, "yuv420p", "x264-params=open-gop=1"},
    {"h264_b.avi", "libx264", 96, 64, 12, 3},
    {"h264_b.mkv", "libx264", 96, 64, 12, 3},
    {"h264_odd.mp4", "libx264", 75, 53, 12, 2, "yuv444p"},
    {"mpeg4_b.avi", "mpeg4", 96, 64, 12, 2},
    {"mpeg4_b.mp4", "mpeg4", 96, 64, 12, 2},
    {"mpeg4_odd.avi", "mpeg4", 75, 53, 9, 2},
    {"mpeg4_one_key.avi", "mpeg4", 96, 64, 300, 2},
    {"mpeg2_b.mpg", "mpeg2video", 96, 64, 12, 2},
    {"mpeg2_b.ts", "mpeg2video", 96, 64, 12, 2},
    {"mjpeg.avi", "mjpeg", 75, 53, 1, 0, "yuvj420p"},
    {"ffv1_gray.mkv", "ffv1", 75, 53, 8, 0, "gray"},
    {"ffv1_422_10.mkv", "ffv1", 96, 64, 8, 0, "yuv422p10le"},
    {"raw.avi", "rawvideo", 96, 64, 1, 0},
};

TEST_CASE("any frame in any order is that of a sequential decode", "[video]") {
  const TemporaryFolder folder;
  int tried = 0;
  for (const Case& c : cases) {
    if (!has_encoder(c.codec)) continue;
    INFO(c.file);
    const std::string path = encode(folder.file(c.file),
                                    {.codec = c.codec,
                                     .width = c.width,
                                     .height = c.height,
                                     .gop = c.gop,
                                     .b_frames = c.b_frames,
                                     .pixel_format = c.pixels,
                                     .options = c.options},
                                    50);
    const Frames truth = test::sequential_decode(path);
    REQUIRE(truth.count == 50);
    check_against(path, truth, 0);
    check_against(path, truth, std::int64_t{1} << 30);
    const Video video(path);
    CHECK(video.info().b_frames == (c.b_frames > 0));
    ++tried;
  }
  CHECK(tried >= 10);
}

TEST_CASE("pixels are those of the ffmpeg program, colours and rotation included", "[video]") {
  const TemporaryFolder folder;
  std::vector<std::string> paths;
  for (const int rotation : {0, 90, 180, 270})
    paths.push_back(encode(folder.file("turned" + std::to_string(rotation) + ".mp4"),
                           {.codec = "mpeg4", .width = 96, .height = 64, .b_frames = 2, .rotation = rotation}, 9));
  if (has_encoder("libx264"))
    for (const char* options : {"colorspace=bt709", "colorspace=bt709:color_range=pc", "colorspace=smpte240m"})
      paths.push_back(encode(folder.file(std::to_string(paths.size()) + ".mp4"),
                             {.codec = "libx264", .width = 96, .height = 64, .b_frames = 2, .options = options}, 9));
  for (const std::string& path : paths) {
    INFO(path);
    Video video(path, {.cache_bytes = 0});
    const Frames truth = test::ffmpeg_decode(path, video.info().height, video.info().width);
    if (truth.count == 0) {
      WARN("the ffmpeg program is not installed: not compared");
      return;
    }
    REQUIRE(truth.count == 9);
    CHECK(wrong_frames(video, truth, {8, 0, 3, 4}) == 0);
  }
}

TEST_CASE("rotation turns the picture clockwise", "[video]") {
  const TemporaryFolder folder;
  const VideoWriterConfig config{.codec = "mpeg4", .width = 96, .height = 64, .quality = 2};
  const std::int64_t first[] = {0};
  const Frames upright = Video(encode(folder.file("0.mp4"), config, 3)).frames(first);
  VideoWriterConfig turned = config;
  turned.rotation = 90;
  Video video(encode(folder.file("90.mp4"), turned, 3));
  CHECK(video.info().rotation == 90);
  CHECK(video.info().width == 64);
  CHECK(video.info().height == 96);
  const Frames shown = video.frames(first);
  int wrong = 0;
  for (int y = 0; y < 64; ++y)
    for (int x = 0; x < 96; ++x)  // what was at (x, y) is now x down, and y from the right edge
      for (int c = 0; c < 3; ++c)
        wrong += upright.rgb[static_cast<std::size_t>((y * 96 + x) * 3 + c)] !=
                         shown.rgb[static_cast<std::size_t>((x * 64 + 63 - y) * 3 + c)]
                     ? 1
                     : 0;
  CHECK(wrong == 0);
}

TEST_CASE("an index serves other Videos of the file", "[video]") {
  const TemporaryFolder folder;
  const std::string path =
      encode(folder.file("a.avi"), {.codec = "mpeg4", .width = 96, .height = 64, .b_frames = 2}, 40);
  const Frames truth = test::sequential_decode(path);
  const auto index = Video(path).index();
  Video again(path, {.cache_bytes = 0, .index = index});
  CHECK(again.info().frames == 40);
  CHECK(wrong_frames(again, truth, {33, 2, 39}) == 0);
}

TEST_CASE("a seek that leads astray is noticed", "[video]") {
  // The index of one file used for another with the same frames and keyframes elsewhere: every seek is wrong.
  const TemporaryFolder folder;
  const VideoWriterConfig short_gop{.codec = "mpeg4", .width = 96, .height = 64, .gop = 5, .quality = 2};
  VideoWriterConfig long_gop = short_gop;
  long_gop.gop = 30;
  const auto index = Video(encode(folder.file("a.avi"), short_gop, 40), {.always_decode = true}).index();
  const std::string path = encode(folder.file("b.avi"), long_gop, 40);
  const Frames truth = test::sequential_decode(path);
  Video video(path, {.cache_bytes = 0, .index = index});
  CHECK(wrong_frames(video, truth, {38, 17}) == 0);
  CHECK(video.failed_seeks() == 1);
}

TEST_CASE("a frame of half the size is the given one through a triangle filter", "[video]") {
  const TemporaryFolder folder;
  // Gray noise, without loss: nothing but the filter is left to look at, and no filter looks like another.
  const std::string path = folder.file("a.avi");
  std::vector<std::uint8_t> gray(64 * 96);
  {
    VideoWriter writer(path, {.codec = "ffv1", .width = 96, .height = 64, .pixel_format = "bgr0"});
    Philox random(1);
    for (int f = 0; f < 2; ++f) {
      std::vector<std::uint8_t> rgb;
      for (std::uint8_t& v : gray) {
        v = static_cast<std::uint8_t>(random.below(256));
        rgb.insert(rgb.end(), 3, v);
      }
      writer.write(rgb);
    }
    writer.finish();
  }
  Video video(path);
  const std::int64_t second[] = {1};
  const Frames half = video.frames(second, 32, 48);
  REQUIRE(half.rgb.size() == std::size_t{32 * 48 * 3});
  // A pixel lies between the second and the third of four, which are .5 and 1.5 away: 1 - .25 and 1 - .75 of a filter
  // of width 2, by their sum.
  constexpr std::array<double, 4> weights{0.125, 0.375, 0.375, 0.125};
  double worst = 0;
  for (std::size_t y = 1; y < 31; ++y)
    for (std::size_t x = 1; x < 47; ++x) {
      double expected = 0;
      for (std::size_t i = 0; i < 4; ++i)
        for (std::size_t j = 0; j < 4; ++j)
          expected += weights[i] * weights[j] * gray[(2 * y + i - 1) * 96 + 2 * x + j - 1];
      for (std::size_t c = 0; c < 3; ++c) worst = std::max(worst, std::abs(expected - half.rgb[(y * 48 + x) * 3 + c]));
    }
  CHECK(worst <= 3);  // swscale goes through 219 steps of luma, and rounds three times
  CHECK_THROWS_AS(video.frames(second, 0, 48), UsageError);
}

TEST_CASE("a frame past the end is refused with the count", "[video]") {
  const TemporaryFolder folder;
  Video video(encode(folder.file("a.mp4"), {.codec = "mpeg4", .width = 96, .height = 64}, 5));
  for (const std::int64_t i : {std::int64_t{5}, std::int64_t{-1}, std::int64_t{1} << 60}) {
    const std::int64_t indices[] = {0, i};
    CHECK_THROWS_AS(video.frames(indices), DataError);
  }
  const std::int64_t five[] = {5};
  CHECK_THROWS_WITH(video.frames(five), Catch::Matchers::ContainsSubstring("has 5 frames, frame 5 was asked for"));
}

TEST_CASE("files that are no videos are refused in one line with their name", "[video]") {
  const TemporaryFolder folder;
  const auto file = [&](const char* name) { return folder.file(name); };
  test::write_file(file("empty.avi"), "");
  test::write_file(file("text.avi"), "This is not a video.\n");
  test::write_file(file("text.txt"), "\x1B[31mNor is this.\x1B[0m\n");
  test::write_file(file("zeros.mp4"), std::string(100000, '\0'));
  test::write_audio_only(file("audio.wav"));
  REQUIRE(mkfifo(file("pipe.avi").c_str(), 0600) == 0);
  std::filesystem::create_directory(file("folder.avi"));
  for (const auto& [name, cause] :
       std::vector<std::pair<const char*, const char*>>{{"absent.avi", "no such file"},
                                                        {"empty.avi", "the file is empty"},
                                                        {"text.avi", "not a video file"},
                                                        {"text.txt", "not a video"},
                                                        {"zeros.mp4", "["},
                                                        {"audio.wav", "not a video file"},
                                                        {"pipe.avi", "expected a regular file"},
                                                        {"folder.avi", "got a folder"}}) {
    const std::string message = error_of(file(name));
    INFO(message);
    CHECK(message.starts_with("[video] "));
    CHECK(message.find(file(name)) != std::string::npos);
    CHECK(message.find(cause) != std::string::npos);
    CHECK(message.find('\n') == std::string::npos);
  }
}

TEST_CASE("a truncated file gives the frames that are left", "[video]") {
  const TemporaryFolder folder;
  const auto path = folder.file("whole.avi");
  encode(path, {.codec = "mpeg4", .width = 96, .height = 64, .b_frames = 2}, 60);
  const std::string bytes = test::read_file(path);
  int partial = 0;
  for (int tenth = 1; tenth < 10; ++tenth) {
    const auto cut = folder.file("cut.avi");
    test::write_file(cut, bytes.substr(0, bytes.size() * static_cast<std::size_t>(tenth) / 10));
    const Frames truth = test::sequential_decode(cut);
    INFO(tenth << " tenths: " << truth.count << " frames");
    if (truth.count == 0) {
      CHECK(error_of(cut).starts_with("[video] "));
      continue;
    }
    check_against(cut, truth, 0);
    ++partial;
    Video video(cut);
    const std::int64_t past[] = {truth.count};
    CHECK_THROWS_AS(video.frames(past), DataError);
  }
  CHECK(partial >= 5);
}

TEST_CASE("an MP4 without its index is refused", "[video]") {
  const TemporaryFolder folder;
  const auto path = folder.file("whole.mp4");
  encode(path, {.codec = "mpeg4", .width = 96, .height = 64}, 30);
  const std::string bytes = test::read_file(path);
  const auto cut = folder.file("cut.mp4");
  test::write_file(cut, bytes.substr(0, bytes.size() / 2));
  CHECK(error_of(cut).find("not a video file") != std::string::npos);
}

TEST_CASE("flipped bytes give frames or an error, never anything else", "[video]") {
  const TemporaryFolder folder;
  for (const char* name : {"a.avi", "a.mp4"}) {
    const auto path = folder.file(name);
    encode(path, {.codec = "mpeg4", .width = 64, .height = 48, .b_frames = 2}, 20);
    const std::string bytes = test::read_file(path);
    for (int seed = 0; seed < 60; ++seed) {
      INFO(name << " seed " << seed);
      std::string damaged = bytes;
      Philox random(static_cast<std::uint64_t>(seed));
      for (int i = 0; i < 20; ++i)
        damaged[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(bytes.size())))] =
            static_cast<char>(random.below(256));
      const auto target = folder.file(std::string("damaged_") + name);
      test::write_file(target, damaged);
      try {
        Video video(target, {.cache_bytes = 0});
        REQUIRE(video.info().frames > 0);
        const std::int64_t ends[] = {video.info().frames - 1, 0};
        const Frames got = video.frames(ends);
        CHECK(got.rgb.size() == 2 * got.frame_bytes());
      } catch (const DataError& e) {
        CHECK(std::string(e.what()).find('\n') == std::string::npos);
      }
    }
  }
}

}  // namespace
}  // namespace mcn
