// The pool of open files: never more than allowed, the right frames from every thread, nothing kept after an error.
#include <dirent.h>

#include <thread>

#include "data/video_pool.h"
#include "engine/random.h"
#include "kernels/error.h"
#include "tests/catch.h"
#include "tests/data/videos.h"
#include "tests/temporary_folder.h"

namespace mcn {
namespace {

using test::TemporaryFolder;

std::vector<std::string> make_files(const TemporaryFolder& folder, int count) {
  std::vector<std::string> paths;
  for (int i = 0; i < count; ++i)
    paths.push_back(test::encode(
        folder.file(std::to_string(i) + (i % 2 == 0 ? ".mp4" : ".avi")),
        {.codec = i % 2 == 0 ? "libx264" : "mpeg4", .width = 48 + 2 * i, .height = 32, .gop = 8, .b_frames = 2}, 24));
  return paths;
}

int descriptors() {
  int count = 0;
  DIR* folder = opendir("/proc/self/fd");
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count;
}

TEST_CASE("a pool keeps as many files open as it may, and reads the right frames from all threads", "[pool]") {
  const TemporaryFolder folder;
  const std::vector<std::string> paths = make_files(folder, 6);
  std::vector<Frames> truth;
  for (const std::string& path : paths) truth.push_back(test::sequential_decode(path));
  const int before = descriptors();
  {
    VideoPool pool({.cache_bytes = 0}, 3);
    std::atomic<int> wrong{0}, most{0};
    {
      std::vector<std::jthread> threads;
      for (int t = 0; t < 4; ++t)
        threads.emplace_back([&, t] {
          Philox random(3, static_cast<std::uint64_t>(t));
          for (int i = 0; i < 40; ++i) {
            const auto file = static_cast<std::size_t>(random.below(6));
            const std::vector<std::int64_t> wanted{random.below(24), random.below(24), random.below(24)};
            const Frames got = pool.open(paths[file])->frames(wanted);
            for (std::size_t k = 0; k < 3; ++k)
              if (!std::ranges::equal(got.frame(static_cast<std::int64_t>(k)), truth[file].frame(wanted[k]))) ++wrong;
            most = std::max<int>(most, pool.open_files());
          }
        });
    }
    CHECK(wrong == 0);
    CHECK(most <= 3);
    CHECK(pool.open_files() == 3);
    CHECK(descriptors() <= before + 3);
  }
  CHECK(descriptors() == before);
}

TEST_CASE("a pool serves a file that is in use twice, and what cannot be opened leaves no trace", "[pool]") {
  const TemporaryFolder folder;
  const std::vector<std::string> paths = make_files(folder, 2);
  VideoPool pool({}, 2);
  {
    const VideoPool::Lease one = pool.open(paths[0]);
    const VideoPool::Lease two = pool.open(paths[0]);
    CHECK(&*one != &*two);
    CHECK(pool.open_files() == 2);
  }
  for (int i = 0; i < 5; ++i) CHECK_THROWS_AS(pool.open(folder.file("none.avi")), DataError);
  CHECK(pool.open(paths[1])->info().frames == 24);
  CHECK_THROWS_AS(
      [&] {
        const VideoPool::Lease lease = pool.open(paths[0]);
        const std::vector<std::int64_t> past{99};
        lease->frames(past);
      }(),
      DataError);
  CHECK(pool.open_files() <= 2);
  CHECK(pool.open(paths[0])->info().frames == 24);
  CHECK_THROWS_AS(VideoPool({}, 0), UsageError);
}

TEST_CASE("a pool forgets the indices that were not used for longest, and makes them again", "[pool]") {
  const TemporaryFolder folder;
  const std::vector<std::string> paths = make_files(folder, 6);
  const std::vector<std::int64_t> wanted{3, 20, 7};
  std::vector<Frames> truth;
  for (const std::string& path : paths) truth.push_back(Video(path).frames(wanted));
  for (const std::int64_t room : {0, 2000, 1 << 20}) {
    VideoPool pool({.cache_bytes = 0}, 1, room);
    for (int pass = 0; pass < 2; ++pass)
      for (std::size_t i = 0; i < paths.size(); ++i) {
        CHECK((pool.open(paths[i])->frames(wanted).rgb == truth[i].rgb));
        CHECK(pool.indices() >= 1);
      }
    const std::size_t kept = pool.indices();
    CHECK((room == 0 ? kept == 1 : room == 2000 ? kept > 1 && kept < 6 : kept == 6));
  }
  // An index in use outlives its place in the pool.
  VideoPool pool({.cache_bytes = 0}, 2, 0);
  const VideoPool::Lease one = pool.open(paths[0]);
  static_cast<void>(pool.open(paths[1]));
  CHECK((one->frames(wanted).rgb == truth[0].rgb));
}

TEST_CASE("a time limit ends what takes too long, and nothing else", "[pool]") {
  const TemporaryFolder folder;
  const std::string path = make_files(folder, 1)[0];
  CHECK(Video(path, {.timeout_seconds = 1000}).info().frames == 24);
  CHECK_THROWS_WITH(Video(path, {.timeout_seconds = 1e-9}), "[video] " + path + ": not done after 1e-09 s");
}

}  // namespace
}  // namespace mcn
