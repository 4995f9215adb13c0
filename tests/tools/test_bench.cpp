// `mcn bench decode` and `mcn bench train`: their JSON, that what a soak holds is bounded, and that a fingerprint is
// one.
#include <nlohmann/json.hpp>

#include "data/encoder.h"
#include "tests/catch.h"
#include "tests/tools/run_command.h"

namespace mcn {

using test::mcn_command;

namespace {

// 40 frames each, mp4 and avi by turns, then some that are damaged.
std::vector<std::string> videos(const test::TemporaryFolder& folder, int good, int bad) {
  std::vector<std::string> paths;
  for (int i = 0; i < good; ++i) {
    paths.push_back(folder.file(std::to_string(i) + (i % 2 == 0 ? ".mp4" : ".avi")));
    VideoWriter writer(paths.back(), {.codec = "mpeg4", .width = 32, .height = 32, .b_frames = 2});
    for (int f = 0; f < 40; ++f)
      writer.write(std::vector<std::uint8_t>(std::size_t{32} * 32 * 3, static_cast<std::uint8_t>(5 * f + i)));
    writer.finish();
  }
  const std::string bytes = test::read_file(paths.at(1));
  for (int i = 0; i < bad; ++i) {
    paths.push_back(folder.file("bad" + std::to_string(i) + ".avi"));
    test::write_file(paths.back(), i == 0 ? "" : i == 1 ? "not a video" : bytes.substr(0, bytes.size() / 4));
  }
  return paths;
}

}  // namespace

TEST_CASE("bench decode: what a soak holds is bounded, also with damaged files and more files than may be open") {
  const test::TemporaryFolder folder;
  constexpr int max_open = 5, threads = 3;
  std::vector<std::string> arguments = videos(folder, 12, 3);
  arguments.insert(arguments.begin(), {"bench", "decode"});
  for (const char* more : {"--clips", "300", "--threads", "3", "--max-open", "5"}) arguments.emplace_back(more);
  const auto refused = mcn_command(arguments);
  CHECK(refused.exit_code == 3);
  CHECK(test::one_line_error(refused, "video", {"bad0.avi"}));
  arguments.emplace_back("--skip-bad");
  const auto result = mcn_command(arguments);
  CAPTURE(result.out, result.err);
  REQUIRE(result.exit_code == 0);
  const auto json = nlohmann::json::parse(result.last_line());
  CHECK(json.at("bench") == "decode");
  CHECK(json.at("clips") == 300);
  CHECK(json.at("bad_clips").get<int>() > 20);
  CHECK(json.at("bad_clips").get<int>() < 150);
  CHECK(json.at("wrong_frames") == 0);
  CHECK(json.at("checked_frames").get<int>() > 0);
  CHECK(json.at("threads") == threads);
  CHECK(json.at("max_open") == max_open);
  CHECK(json.at("clips_per_second").get<double>() > 0);
  CHECK(json.at("rss_drift").get<double>() >= 0);
  const auto clips = json.at("after").at("clips").get<std::vector<int>>();
  const auto rss = json.at("after").at("rss_bytes").get<std::vector<std::int64_t>>();
  const auto descriptors = json.at("after").at("descriptors").get<std::vector<int>>();
  REQUIRE(clips.size() == 21);
  REQUIRE(rss.size() == 21);
  REQUIRE(descriptors.size() == 21);
  for (std::size_t i = 0; i < clips.size(); ++i) {
    CHECK(clips[i] == 15 * static_cast<int>(i));
    CHECK(rss[i] > 1'000'000);
    // A file has two descriptors while its index is made.
    CHECK(descriptors[i] <= descriptors[0] + max_open + threads);
  }
  CHECK(descriptors.back() >= descriptors[0] + max_open - threads);
}

TEST_CASE("bench decode: fewer clips than points of the curve") {
  const test::TemporaryFolder folder;
  std::vector<std::string> arguments = videos(folder, 2, 0);
  arguments.insert(arguments.begin(), {"bench", "decode", "--clips", "3"});
  const auto result = mcn_command(arguments);
  CAPTURE(result.err);
  REQUIRE(result.exit_code == 0);
  const auto json = nlohmann::json::parse(result.last_line());
  CHECK(json.at("after").at("clips") == std::vector<int>{0, 1, 2, 3});
  CHECK(json.at("bad_clips") == 0);
  CHECK(json.at("checked_frames") == 48);
}

TEST_CASE("bench train: a fingerprint of the parameters that the seed decides, and no thread") {
  const auto run = [](const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"bench", "train", "--iterations", "2", "--frames", "4", "--size", "16"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const auto result = mcn_command(arguments);
    CAPTURE(result.out, result.err);
    REQUIRE(result.exit_code == 0);
    return nlohmann::json::parse(result.last_line());
  };
  const auto one = run({"--threads", "1"});
  CHECK(one.at("iterations") == 2);
  CHECK(one.at("first_loss").get<double>() > 0);
  CHECK(one.at("seconds_median").get<double>() > 0);
  CHECK(one.at("theta").get<std::string>().size() == 16);
  CHECK(run({"--threads", "2"}).at("theta") == one.at("theta"));
  CHECK(run({"--seed", "1"}).at("theta") != one.at("theta"));
  CHECK(run({"--method", "joint"}).at("theta") != one.at("theta"));
}

}  // namespace mcn
