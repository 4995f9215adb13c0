// Augmentation and clip geometry: known values, purity, and one draw for all frames of a clip.
#include <algorithm>
#include <cmath>
#include <set>

#include "data/augment.h"
#include "data/sampler.h"
#include "engine/device.h"
#include "engine/tensor.h"
#include "kernels/error.h"
#include "tests/catch.h"
#include "tests/data/videos.h"

namespace mcn {
namespace {

/// Nothing but the crop: output is pixel / 255.
AugmentConfig plain(int size, int height, int width) {
  AugmentConfig c;
  c.size = size;
  c.resize_height = height;
  c.resize_width = width;
  c.flip = c.jitter = c.grayscale = c.blur = c.channel_shuffle = 0;
  c.mean = {0, 0, 0};
  c.std = {1, 1, 1};
  return c;
}

std::vector<float> applied(const Frames& clip, const AugmentConfig& config, const AugmentClip& augmentation) {
  check(config);
  Backend& ref = open_device("ref");
  Tensor frames(ref, DType::u8, {1, clip.count, clip.height, clip.width, 3});
  ref.copy_from_host(clip.rgb.data(), frames);
  Tensor out(ref, DType::f32, {1, clip.count, config.size, config.size, 3});
  ref.run(kernel::Augment{.params = augment_params(config), .clips = {&augmentation, 1}, .frames = frames, .y = out});
  std::vector<float> values(static_cast<std::size_t>(out.shape().numel()), NAN);
  ref.copy_to_host(out, values.data());
  return values;
}

std::vector<float> augmented(const Frames& clip, const AugmentConfig& config, std::uint64_t stream) {
  return applied(clip, config, random_augmentation(config, Philox(1, stream)));
}

std::vector<float> centred(const Frames& clip, const AugmentConfig& config) {
  return applied(clip, config, centre_crop(config));
}

Frames filled(int count, int height, int width, std::array<std::uint8_t, 3> color) {
  Frames f{count, height, width, {}};
  for (int i = 0; i < count * height * width; ++i) f.rgb.insert(f.rgb.end(), color.begin(), color.end());
  return f;
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (!(d <= largest)) largest = d;
  }
  return largest;
}

TEST_CASE("with everything off a clip is its pixels, cropped", "[augment]") {
  const Frames clip = test::moving_blocks(3, 20, 24);
  const std::vector<float> out = centred(clip, plain(8, 20, 24));
  int wrong = 0;
  for (std::size_t f = 0; f < 3; ++f)
    for (std::size_t y = 0; y < 8; ++y)
      for (std::size_t x = 0; x < 8; ++x)
        for (std::size_t c = 0; c < 3; ++c) {
          const float expected = static_cast<float>(clip.rgb[((f * 20 + y + 6) * 24 + x + 8) * 3 + c]) / 255.0F;
          wrong += std::abs(out[((f * 8 + y) * 8 + x) * 3 + c] - expected) <= 1e-6F ? 0 : 1;
        }
  CHECK(wrong == 0);
}

TEST_CASE("random crops are windows of the frames, all of them reached", "[augment]") {
  Frames clip{2, 6, 7, {}};
  for (int f = 0; f < 2; ++f)
    for (int y = 0; y < 6; ++y)
      for (int x = 0; x < 7; ++x) clip.rgb.insert(clip.rgb.end(), 3, static_cast<std::uint8_t>(10 * y + x + 100 * f));
  std::set<int> corners;
  for (std::uint64_t s = 0; s < 300; ++s) {
    const std::vector<float> out = augmented(clip, plain(4, 6, 7), s);
    const int corner = static_cast<int>(std::lround(out[0] * 255));
    corners.insert(corner);
    REQUIRE(std::lround(out[3] * 255) == corner + 1);
    REQUIRE(std::lround(out[12] * 255) == corner + 10);
    REQUIRE(std::lround(out[48] * 255) == corner + 100);  // the second frame, cropped alike
  }
  CHECK(corners == std::set<int>{0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23});
}

TEST_CASE("a resize keeps flat colour and straight ramps", "[augment]") {
  const std::vector<float> flat = centred(filled(1, 31, 45, {10, 100, 250}), plain(16, 20, 22));
  for (std::size_t i = 0; i < flat.size(); ++i)
    REQUIRE(std::abs(flat[i] * 255 - (i % 3 == 0 ? 10 : i % 3 == 1 ? 100 : 250)) < 1e-3);
  Frames ramp{1, 40, 60, {}};
  for (int y = 0; y < 40; ++y)
    for (int x = 0; x < 60; ++x)
      for (int c = 0; c < 3; ++c) ramp.rgb.push_back(static_cast<std::uint8_t>(c == 0 ? 4 * x : c == 1 ? 5 * y : 7));
  for (const auto& [height, width] : {std::pair{20, 30}, std::pair{80, 120}}) {
    const std::vector<float> out = centred(ramp, plain(12, height, width));
    const double scale = 40.0 / height;
    for (int y = 0; y < 12; ++y)
      for (int x = 0; x < 12; ++x) {
        const double at_x = (x + (width - 12) / 2 + 0.5) * scale - 0.5,
                     at_y = (y + (height - 12) / 2 + 0.5) * scale - 0.5;
        const auto i = static_cast<std::size_t>((y * 12 + x) * 3);
        REQUIRE(std::abs(out[i] * 255 - 4 * at_x) < 1e-3);
        REQUIRE(std::abs(out[i + 1] * 255 - 5 * at_y) < 1e-3);
      }
  }
}

TEST_CASE("normalisation subtracts the mean and divides by the deviation", "[augment]") {
  AugmentConfig c = plain(4, 4, 4);
  c.mean = {0.1F, 0.2F, 0.3F};
  c.std = {0.5F, 0.25F, 2.0F};
  const std::vector<float> out = centred(filled(1, 4, 4, {51, 102, 255}), c);
  CHECK(out[0] == Catch::Approx((0.2 - 0.1) / 0.5));
  CHECK(out[1] == Catch::Approx((0.4 - 0.2) / 0.25));
  CHECK(out[2] == Catch::Approx((1.0 - 0.3) / 2));
}

TEST_CASE("a flip mirrors every frame", "[augment]") {
  const Frames clip = test::moving_blocks(2, 9, 9);
  AugmentConfig c = plain(9, 9, 9);
  const std::vector<float> straight = augmented(clip, c, 5);
  c.flip = 1;
  const std::vector<float> flipped = augmented(clip, c, 5);
  int wrong = 0;
  for (std::size_t row = 0; row < 18; ++row)
    for (std::size_t x = 0; x < 9; ++x)
      for (std::size_t k = 0; k < 3; ++k)
        wrong += flipped[(row * 9 + x) * 3 + k] == straight[(row * 9 + 8 - x) * 3 + k] ? 0 : 1;
  CHECK(wrong == 0);
}

TEST_CASE("grayscale is luma in all three channels", "[augment]") {
  AugmentConfig c = plain(4, 4, 4);
  c.grayscale = 1;
  const std::vector<float> out = augmented(filled(1, 4, 4, {200, 50, 120}), c, 0);
  const double luma = (0.299 * 200 + 0.587 * 50 + 0.114 * 120) / 255;
  for (std::size_t i = 0; i < 3; ++i) CHECK(out[i] == Catch::Approx(luma));
}

TEST_CASE("a channel shuffle permutes the channels, each of the six orders", "[augment]") {
  AugmentConfig c = plain(4, 4, 4);
  c.channel_shuffle = 1;
  std::set<std::array<int, 3>> seen;
  for (std::uint64_t s = 0; s < 200; ++s) {
    const std::vector<float> out = augmented(filled(1, 4, 4, {10, 20, 30}), c, s);
    std::array<int, 3> color{};
    for (std::size_t i = 0; i < 3; ++i) color[i] = static_cast<int>(std::lround(out[i] * 255));
    seen.insert(color);
    std::ranges::sort(color);
    REQUIRE(color == std::array<int, 3>{10, 20, 30});
  }
  CHECK(seen.size() == 6);
}

TEST_CASE("each part of colour jitter changes what it says, and nothing else", "[augment]") {
  const Frames clip = filled(1, 4, 4, {90, 120, 150});
  const auto luma = [](const std::vector<float>& v) { return 0.299 * v[0] + 0.587 * v[1] + 0.114 * v[2]; };
  const double before = (0.299 * 90 + 0.587 * 120 + 0.114 * 150) / 255;
  AugmentConfig c = plain(4, 4, 4);
  c.jitter = 1;
  c.brightness = c.contrast = c.saturation = c.hue = 0;
  CHECK(largest_difference(augmented(clip, c, 3), centred(clip, c)) < 1e-6);
  SECTION("hue turns chroma and leaves luma, and grays") {
    c.hue = 0.5;
    const std::vector<float> out = augmented(clip, c, 3);
    CHECK(luma(out) == Catch::Approx(before).epsilon(1e-4));
    CHECK(largest_difference(out, centred(clip, c)) > 0.01);
    const Frames gray = filled(1, 4, 4, {77, 77, 77});
    CHECK(largest_difference(augmented(gray, c, 3), centred(gray, c)) < 1e-3);
  }
  SECTION("saturation leaves luma and the direction of chroma") {
    c.saturation = 0.9;
    const std::vector<float> out = augmented(clip, c, 3);
    CHECK(luma(out) == Catch::Approx(before).epsilon(1e-5));
    const double factor = (out[0] - before) / (90.0 / 255 - before);
    CHECK(std::abs(factor - 1) > 0.01);
    CHECK((out[2] - before) / (150.0 / 255 - before) == Catch::Approx(factor).epsilon(1e-3));
  }
  SECTION("brightness scales") {
    c.brightness = 0.4;
    const std::vector<float> out = augmented(clip, c, 3);
    const double factor = out[0] * 255.0 / 90;
    CHECK(std::abs(factor - 1) > 0.001);
    CHECK(std::abs(factor - 1) <= 0.4);
    CHECK(out[2] * 255.0 / 150 == Catch::Approx(factor));
  }
  SECTION("contrast keeps the clip's mean luma") {
    c.contrast = 0.4;
    Frames two = filled(2, 4, 4, {60, 60, 60});
    std::fill(two.rgb.begin() + 48, two.rgb.end(), std::uint8_t{120});
    const std::vector<float> out = augmented(two, c, 3);
    CHECK(out.front() + out.back() == Catch::Approx(180.0 / 255));
    CHECK(std::abs((out.back() - out.front()) * 255 - 60) > 0.1);
  }
}

TEST_CASE("a blur keeps the mean of a smooth picture and lowers contrast", "[augment]") {
  Frames clip = filled(1, 32, 32, {0, 0, 0});
  for (std::size_t c = 0; c < 3; ++c) clip.rgb[(16 * 32 + 16) * 3 + c] = 255;
  AugmentConfig config = plain(32, 32, 32);
  config.blur = 1;
  int spread = 0;
  for (std::uint64_t s = 0; s < 20; ++s) {
    const std::vector<float> out = augmented(clip, config, s);
    double total = 0;
    for (const float v : out) total += static_cast<double>(v);
    REQUIRE(total == Catch::Approx(3).epsilon(1e-4));
    REQUIRE(out[(16 * 32 + 15) * 3] == Catch::Approx(out[(16 * 32 + 17) * 3]));
    REQUIRE(out[(15 * 32 + 16) * 3] == Catch::Approx(out[(16 * 32 + 17) * 3]));
    spread += out[(16 * 32 + 16) * 3] < 0.9F ? 1 : 0;
  }
  CHECK(spread > 10);
  CHECK(largest_difference(augmented(
                               filled(1, 5, 5, {9, 9, 9}),
                               [&] {
                                 AugmentConfig small = plain(5, 5, 5);
                                 small.blur = 1;
                                 return small;
                               }(),
                               1),
                           std::vector<float>(75, 9.0F / 255)) < 1e-6);
}

TEST_CASE("augmentation is pure, alike for all frames, and finite", "[augment]") {
  AugmentConfig config;
  config.size = 24;
  config.resize_height = 30;
  config.resize_width = 40;
  config.channel_shuffle = 0.5;
  const Frames one = test::moving_blocks(1, 48, 64);
  Frames still{3, 48, 64, {}};
  for (int i = 0; i < 3; ++i) still.rgb.insert(still.rgb.end(), one.rgb.begin(), one.rgb.end());
  std::set<float> different;
  for (std::uint64_t s = 0; s < 40; ++s) {
    const std::vector<float> out = augmented(still, config, s);
    REQUIRE(out == augmented(still, config, s));
    REQUIRE(std::ranges::all_of(out, [](float v) { return std::isfinite(v); }));
    const auto frame = static_cast<std::ptrdiff_t>(out.size() / 3);
    REQUIRE(std::equal(out.begin(), out.begin() + frame, out.begin() + frame));
    REQUIRE(std::equal(out.begin(), out.begin() + frame, out.begin() + 2 * frame));
    different.insert(out[100]);
  }
  CHECK(different.size() > 30);
}

TEST_CASE("augmentation refuses what makes no sense", "[augment]") {
  CHECK_NOTHROW(check(plain(8, 8, 8)));
  CHECK_THROWS_AS(check(plain(9, 8, 8)), UsageError);
  AugmentConfig c = plain(4, 8, 8);
  c.flip = std::nan("");
  CHECK_THROWS_AS(check(c), UsageError);
  c.flip = 1.5;
  CHECK_THROWS_AS(check(c), UsageError);
  c.flip = 0;
  c.std[1] = 0;
  CHECK_THROWS_AS(check(c), UsageError);
}

TEST_CASE("random clips lie in the video and start anywhere", "[clip]") {
  std::set<std::int64_t> starts;
  for (std::uint64_t s = 0; s < 300; ++s) {
    Philox random(3, s);
    const std::vector<std::int64_t> clip = random_clip(20, {4, 5}, random);
    REQUIRE(clip.size() == 4);
    for (std::size_t i = 1; i < 4; ++i) REQUIRE(clip[i] - clip[i - 1] == 5);
    REQUIRE(clip.back() < 20);
    starts.insert(clip.front());
  }
  CHECK(starts == std::set<std::int64_t>{0, 1, 2, 3, 4});
}

TEST_CASE("uniform clips reach from the first frame to the last", "[clip]") {
  CHECK(uniform_clip(10, {4, 1}, 0, 3) == std::vector<std::int64_t>{0, 1, 2, 3});
  CHECK(uniform_clip(10, {4, 1}, 1, 3) == std::vector<std::int64_t>{3, 4, 5, 6});
  CHECK(uniform_clip(10, {4, 1}, 2, 3) == std::vector<std::int64_t>{6, 7, 8, 9});
  CHECK(uniform_clip(10, {4, 2}, 0, 1) == std::vector<std::int64_t>{1, 3, 5, 7});
  CHECK_THROWS_AS(uniform_clip(10, {4, 1}, 3, 3), UsageError);
}

TEST_CASE("a short video takes a smaller stride, one shorter than the clip is refused", "[clip]") {
  CHECK(uniform_clip(7, {4, 5}, 0, 1) == std::vector<std::int64_t>{0, 2, 4, 6});
  CHECK(uniform_clip(4, {4, 5}, 0, 1) == std::vector<std::int64_t>{0, 1, 2, 3});
  CHECK(uniform_clip(1, {1, 5}, 0, 1) == std::vector<std::int64_t>{0});
  Philox random(1);
  CHECK_THROWS_AS(random_clip(3, {4, 1}, random), DataError);
  CHECK_THROWS_AS(random_clip(3, {0, 1}, random), UsageError);
  CHECK_THROWS_WITH(require_clip("a b.avi", 5, {16, 1}), "[video] a b.avi has 5 frames, a clip needs 16");
}

TEST_CASE("a crop that does not fit names the settings") {
  AugmentConfig config;
  config.size = 200;
  config.resize_height = 128;
  config.resize_width = 171;
  CHECK_THROWS_WITH(check(config),
                    "[augment] a crop of 200 x 200 (size) does not fit into frames of 128 x 171 (resize-height x "
                    "resize-width)");
}

}  // namespace
}  // namespace mcn
