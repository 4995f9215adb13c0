// What the system fails to give is never the end of a file, never makes a video bad and is never kept in a cache; time
// in which the process is stopped does not count.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <limits>
#include <numeric>
#include <optional>

#include "data/audit.h"
#include "data/dataset.h"
#include "data/deadline.h"
#include "data/frame_index.h"
#include "data/index_cache.h"
#include "data/video.h"
#include "kernels/error.h"
#include "tests/catch.h"
#include "tests/data/program.h"
#include "tests/data/system_calls.h"
#include "tests/data/videos.h"
#include "tests/descriptor_limit.h"
#include "tests/temporary_folder.h"

namespace mcn {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::ContainsSubstring;
using test::Call;
using test::FailingCalls;
using test::TemporaryFolder;

struct File {
  const char* name;
  const char* script;
};

// Indices by packets and by decoding; containers that read from front to back, and from both ends.
constexpr File files[] = {
    {"a.mp4", "enc_size 160x120 -c:v libx264 -bf 2 -g 12 -b:v 4M $o"},
    {"a.mkv", "enc_size 160x120 -c:v libx264 -bf 2 -g 12 -b:v 4M $o"},
    {"a.webm", "enc_size 160x120 -c:v libvpx -cpu-used 8 -g 12 -b:v 4M $o"},
    {"a.avi", "enc_size 160x120 -c:v mpeg4 -bf 2 -g 12 -b:v 4M $o"},
    {"a.ts", "enc_size 160x120 -c:v mpeg2video -bf 2 -g 12 -b:v 4M $o"},
};

std::string make(const TemporaryFolder& folder, const File& file) {
  const std::string path = folder.file(file.name);
  REQUIRE(test::run_script(folder.file(""), file.script, path));
  return path;
}

/// Every frame, or why there are none; any error but a SystemError is the test's failure.
struct Outcome {
  std::vector<std::string> frames;
  std::string error;
};

Outcome read_all(const std::string& path, const std::string& cache) {
  try {
    Video video(path, {.cache_bytes = 0, .index_folder = cache});
    std::vector<std::int64_t> all(static_cast<std::size_t>(video.info().frames));
    std::iota(all.begin(), all.end(), std::int64_t{0});
    return {test::digests(video.frames(all)).frames, ""};
  } catch (const SystemError& error) {
    CHECK(std::string(error.what()).find('\n') == std::string::npos);
    return {{}, error.what()};
  }
}

TEST_CASE("system errors: a read that fails at any place is no end and poisons no cache", "[video][system]") {
  const TemporaryFolder folder;
  for (const File& file : files) {
    INFO(file.name);
    const std::string path = make(folder, file), cache = folder.file("cache");
    const auto truth = test::program_decode(path).frames;
    int reads = 0;
    {
      const FailingCalls none(Call::pread, EIO, 1 << 30, 0, file.name);
      CHECK(read_all(path, "").frames == truth);
      reads = none.calls();
    }
    REQUIRE(reads > 3);
    for (const int error : {EIO, ENOMEM, ESTALE})
      for (int before = 0; before < reads; ++before) {
        INFO("errno " << error << " from read " << before << " of " << reads << " on");
        fs::remove_all(cache);
        {
          const FailingCalls failing(Call::pread, error, before, -1, file.name);
          const Outcome got = read_all(path, cache);
          CHECK(failing.failed() > 0);
          CHECK_THAT(got.error, ContainsSubstring(path) && ContainsSubstring(std::strerror(error)));
        }
        CHECK(read_all(path, cache).frames == truth);
      }
    // A moment's failure costs a moment. However often a signal interrupts, the same.
    for (const auto& [error, times] : {std::pair(EIO, 1), std::pair(ENOMEM, 2), std::pair(EINTR, 50)})
      for (int before = 0; before < reads; before += 2) {
        INFO("errno " << error << " at read " << before << ", " << times << " times");
        fs::remove_all(cache);
        const FailingCalls failing(Call::pread, error, before, times, file.name);
        CHECK(read_all(path, cache).frames == truth);
        CHECK(failing.failed() == times);
      }
  }
}

TEST_CASE("system errors: a file that cannot be opened for want of descriptors or memory", "[video][system]") {
  const TemporaryFolder folder;
  const std::string path = make(folder, files[3]);
  const auto truth = test::program_decode(path).frames;
  for (const int error : {EMFILE, ENFILE, ENOMEM, EIO, EINTR}) {
    INFO("errno " << error);
    {
      const FailingCalls failing(Call::open, error, 0, 2, "a.avi");
      CHECK(read_all(path, "").frames == truth);
      CHECK(failing.failed() == 2);
    }
    if (error == EINTR) continue;
    const FailingCalls failing(Call::open, error, 0, -1, "a.avi");
    CHECK_THAT(read_all(path, "").error, ContainsSubstring(std::strerror(error)));
  }
  // The file's own faults remain the file's.
  const FailingCalls failing(Call::open, EACCES, 0, -1, "a.avi");
  CHECK_THROWS_AS(Video(path), DataError);
}

TEST_CASE("system errors: any of FFmpeg's allocations fails", "[video][system]") {
  if (!test::can_fail_allocations()) {
    MCN_SKIPPED("a sanitizer allocates");
    return;
  }
  const TemporaryFolder folder;
  for (const std::size_t f : {std::size_t{0}, std::size_t{3}}) {
    const std::string path = make(folder, files[f]), cache = folder.file("cache");
    const auto truth = test::program_decode(path).frames;
    INFO(path);
    // In another process each: FFmpeg itself does not survive all of them.
    int right = 0, refused = 0, crashed = 0, wrong = 0;
    for (int before = 0; before < 400; before += 7) {
      fs::remove_all(cache);
      const pid_t child = ::fork();
      if (child == 0) {
        int code = 3;
        try {
          const FailingCalls failing(Call::allocate, ENOMEM, before, 1);
          code = read_all(path, cache).frames == truth ? 0 : 1;
        } catch (const std::bad_alloc&) {
          code = 1;
        } catch (...) {
          code = 2;
        }
        ::_exit(code);
      }
      int status = 0;
      REQUIRE(::waitpid(child, &status, 0) == child);
      if (!WIFEXITED(status))
        ++crashed;
      else
        ++(WEXITSTATUS(status) == 0 ? right : WEXITSTATUS(status) == 1 ? refused : wrong);
      CHECK(read_all(path, cache).frames == truth);
    }
    INFO(right << " right, " << refused << " refused, " << crashed << " crashed in FFmpeg, " << wrong << " wrong");
    CHECK(wrong == 0);
    CHECK(right > 0);
    CHECK(crashed == 0);
  }
}

TEST_CASE("system errors: a data set's folder that cannot be read has not less in it", "[dataset][system]") {
  if (!test::descriptors_may_run_out) {
    MCN_SKIPPED("a sanitizer needs descriptors");
    return;
  }
  const TemporaryFolder folder;
  for (const char* name : {"x/a.avi", "y/b.avi"}) {
    fs::create_directories(fs::path(folder.file(name)).parent_path());
    test::write_file(folder.file(name), "x");
  }
  DatasetConfig config;
  config.root = fs::path(folder.file("x")).parent_path().string();
  config.format = DatasetFormat::folder;
  CHECK(load_dataset(config, Subset::train).videos.size() == 2);
  std::string error;
  {
    const test::DescriptorLimit none(0);
    try {
      static_cast<void>(load_dataset(config, Subset::train));
    } catch (const SystemError& e) {
      error = e.what();
    } catch (const DataError& e) {
      error = std::string("a DataError: ") + e.what();
    }
  }
  CHECK_THAT(error, ContainsSubstring("Too many open files"));
}

TEST_CASE("system errors: an audit ends instead of calling a file corrupt", "[audit][system]") {
  const TemporaryFolder folder;
  make(folder, files[3]);
  test::write_file(folder.file("train.txt"), "a.avi 0\n");
  AuditConfig config;
  config.dataset.root = fs::path(folder.file("x")).parent_path().string();
  config.subsets = {Subset::train};
  config.decode = true;
  CHECK(audit(config).clean());
  const FailingCalls failing(Call::pread, EIO, 3, -1, "a.avi");
  CHECK_THROWS_AS(audit(config), SystemError);
}

TEST_CASE("an index that a cache keeps and that is not the file's is found by the audit", "[audit][index]") {
  const TemporaryFolder folder;
  const std::string cache = folder.file("cache");
  AuditConfig config;
  config.dataset.root = fs::path(folder.file("x")).parent_path().string();
  config.subsets = {Subset::train};
  for (const std::size_t f : {std::size_t{0}, std::size_t{2}}) {
    const std::string path = make(folder, files[f]);
    test::write_file(folder.file("train.txt"), std::string(files[f].name) + " 0\n");
    config.index_folder.clear();
    CHECK(audit(config).clean());
    config.index_folder = cache;
    CHECK(audit(config).clean());
    const auto sound = Video(path, {.index_folder = cache}).index();
    CHECK(audit(config).clean());
    VideoIndex cut(*sound);
    cut.info.frames = 1;
    cut.packets.resize(1);
    if (cut.proven()) cut.fingerprints.resize(1);
    cut.info.keyframes = 1;
    cut.keys.resize(1);
    const IndexCacheEntry entry(cache, path);
    entry.store(cut);
    REQUIRE(entry.load()->info.frames == 1);
    const AuditReport report = audit(config);
    REQUIRE(report.count(AuditFault::wrong_index) == 1);
    CHECK(report.findings.size() == 1);
    CHECK_THAT(report.findings[0].detail, ContainsSubstring(entry.path() + " says: 1 frames, the file has 40"));
    VideoIndex other(*sound);
    if (other.proven())
      other.fingerprints[7] ^= 1;
    else
      std::swap(other.packets[7], other.packets[8]);
    entry.store(other);
    REQUIRE(entry.load() != nullptr);
    CHECK(audit(config).count(AuditFault::wrong_index) == 1);
  }
}

TEST_CASE("an entry of the cache with numbers that no index has does not count", "[index]") {
  const TemporaryFolder folder;
  const std::string path = make(folder, files[0]), cache = folder.file("cache");
  const auto sound = Video(path).index();
  const IndexCacheEntry entry(cache, path);
  const auto kept = [&](const auto& change) {
    VideoIndex index(*sound);
    change(index);
    entry.store(index);
    return entry.load() != nullptr;
  };
  CHECK(kept([](VideoIndex&) {}));
  CHECK_FALSE(kept([](VideoIndex& i) { i.packets[3] = std::int64_t{1} << 40; }));
  CHECK_FALSE(kept([](VideoIndex& i) { i.packets[3] = -2; }));
  CHECK_FALSE(kept([](VideoIndex& i) { i.info.width = -5; }));
  CHECK_FALSE(kept([](VideoIndex& i) { i.keys[0].frame = 40; }));
  CHECK_FALSE(kept([](VideoIndex& i) { i.keys[0].packet = -1; }));
  CHECK_FALSE(kept([](VideoIndex& i) { i.info.fps = std::numeric_limits<double>::quiet_NaN(); }));
  CHECK_FALSE(kept([](VideoIndex& i) { std::swap(i.keys[0], i.keys[1]); }));
}

TEST_CASE("an index of a file that changes while it is read is not kept", "[index]") {
  const TemporaryFolder folder;
  const std::string path = make(folder, files[0]), cache = folder.file("cache");
  const auto index = Video(path).index();
  const IndexCacheEntry entry(cache, path);
  fs::resize_file(path, fs::file_size(path) + 1);
  entry.store(*index);
  CHECK(IndexCacheEntry(cache, path).load() == nullptr);
  CHECK(entry.load() == nullptr);
}

TEST_CASE("a deadline is none, or far off, for what means no limit", "[video][system]") {
  for (const double seconds :
       {0.0, 1e18, 1e300, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()})
    CHECK_FALSE(Deadline(seconds).over());
  CHECK(Deadline(1e-300).over());
}

TEST_CASE("time in which the process is stopped does not count", "[video][system]") {
  const auto now = [] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  };
  constexpr int stopped = 3;
  const double start = now(), run = run_seconds();
  const pid_t child = ::fork();
  if (child == 0) {
    ::kill(::getppid(), SIGSTOP);
    ::sleep(stopped);
    ::kill(::getppid(), SIGCONT);
    ::_exit(0);
  }
  while (::waitpid(child, nullptr, WNOHANG) == 0) {
    run_seconds();
    ::usleep(10000);
  }
  // What is lost is the stop but for a quarter of a second, whatever else the machine does.
  CHECK((now() - start) - (run_seconds() - run) > stopped - 0.5);
}

}  // namespace
}  // namespace mcn
