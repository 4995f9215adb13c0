// Damaged files and hostile surroundings: each ends in frames or in a DataError of one line, never in a crash, a hang
// or a leak. MCN_FAULT_SEEDS sets how many damaged copies of each file are tried; 1000 unless it is set.
#include <malloc.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <optional>
#include <thread>

#include "data/audit.h"
#include "data/video_pool.h"
#include "engine/random.h"
#include "kernels/error.h"
#include "tests/catch.h"
#include "tests/data/program.h"
#include "tests/data/videos.h"
#include "tests/descriptor_limit.h"
#include "tests/temporary_folder.h"

namespace mcn {
namespace {

namespace fs = std::filesystem;
using test::TemporaryFolder;

/// Opens a file and reads its ends and its middle: the number of frames, or nothing after a DataError of one line. Any
/// other exception is the test's failure.
std::optional<std::int64_t> outcome(const std::string& path) {
  try {
    Video video(path, {.cache_bytes = 0});
    const std::int64_t n = video.info().frames;
    REQUIRE(n > 0);
    REQUIRE(std::isfinite(video.info().fps));
    REQUIRE(std::isfinite(video.info().seconds));
    const std::int64_t indices[] = {n - 1, 0, n / 2};
    // What a damaged header says of the size is kept from filling the memory.
    const Frames got = video.frames(indices, 16, 16);
    REQUIRE(got.rgb.size() == 3 * got.frame_bytes());
    return n;
  } catch (const DataError& e) {
    REQUIRE(std::string(e.what()).find('\n') == std::string::npos);
    return std::nullopt;
  }
}

/// Whatever was read before, whether decoded frames are kept, and with any number of codec threads, a frame is that of
/// one decode from end to end.
void check_same_frames(const std::string& path) {
  Frames truth;
  try {
    Video video(path, {.cache_bytes = 0, .always_decode = true});
    std::vector<std::int64_t> all(static_cast<std::size_t>(video.info().frames));
    std::iota(all.begin(), all.end(), std::int64_t{0});
    truth = video.frames(all, 16, 16);
  } catch (const DataError&) {
    return;
  }
  struct Way {
    std::int64_t cache_bytes;
    int threads;
  };
  for (const auto [cache_bytes, threads] : {Way{0, 1}, Way{16 << 20, 1}, Way{0, 3}}) {
    Video video(path, {.cache_bytes = cache_bytes, .threads = threads});
    for (const std::int64_t i :
         {truth.count / 2, truth.count - 1, std::int64_t{0}, truth.count / 2 + 1, truth.count / 3}) {
      if (i >= truth.count) continue;
      INFO("frame " << i << " of " << truth.count << ", cache of " << cache_bytes << ", codec threads " << threads);
      const Frames one = video.frames({&i, 1}, 16, 16);
      CHECK(std::ranges::equal(one.frame(0), truth.frame(i)));
    }
    CHECK(video.info().frames == truth.count);
  }
}

std::ptrdiff_t open_descriptors() {
  return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
}

struct Sample {
  const char* file;
  const char* script;
};

// Small, so that damage is likely to hit something, and every demuxer that users' files go through.
constexpr Sample samples[] = {
    {"h264.mp4", "enc_size 32x32 -frames:v 12 -c:v libx264 -bf 2 -g 5 $o"},
    {"hevc.mp4",
     "enc_size 32x32 -frames:v 12 -c:v libx265 -preset ultrafast -x265-params "
     "log-level=none:pools=1:keyint=5:bframes=2 $o"},
    {"fragments.mp4", "enc_size 32x32 -frames:v 12 -c:v libx264 -bf 2 -g 5 -movflags frag_keyframe+empty_moov $o"},
    {"mjpeg.mov", "enc_size 32x32 -frames:v 12 -c:v mjpeg -pix_fmt yuvj420p $o"},
    {"mpeg4.avi", "enc_size 32x32 -frames:v 12 -c:v mpeg4 -bf 2 -g 5 $o"},
    {"cinepak.avi", "enc_size 32x32 -frames:v 8 -c:v cinepak $o"},
    {"h264.mkv", "enc_size 32x32 -frames:v 12 -c:v libx264 -bf 2 -g 5 $o"},
    {"vp9.webm", "enc_size 32x32 -frames:v 12 -c:v libvpx-vp9 -cpu-used 8 -g 5 $o"},
    {"vp8.webm", "enc_size 32x32 -frames:v 12 -c:v libvpx -cpu-used 8 -g 5 $o"},
    {"h264.ts", "enc_size 32x32 -frames:v 12 -c:v libx264 -bf 2 -g 5 $o"},
    {"mpeg2.ts", "enc_size 32x32 -frames:v 12 -c:v mpeg2video -bf 2 -g 5 $o"},
    {"mpeg1.mpg", "enc_size 32x32 -frames:v 12 -c:v mpeg1video -bf 2 -g 5 $o"},
    {"theora.ogv", "enc_size 32x32 -frames:v 12 -c:v libtheora -g 5 $o"},
    {"flv1.flv", "enc_size 32x32 -frames:v 12 -c:v flv -g 5 $o"},
    {"h264.264", "enc_size 32x32 -frames:v 12 -c:v libx264 -bf 2 -g 5 -f h264 $o"},
    {"palette.gif", "enc_size 32x32 -frames:v 12 $o"},
};

std::string make(const TemporaryFolder& folder, const Sample& sample) {
  const std::string path = folder.file(sample.file);
  REQUIRE(test::run_script(folder.file(""), sample.script, path));
  return path;
}

int damage_seeds() {
  const char* set = std::getenv("MCN_FAULT_SEEDS");
  return set != nullptr ? std::atoi(set) : 1000;
}

/// One to twenty bytes of it are others; of every second seed those near its start or end, where headers and indices
/// are.
std::string flipped(std::string bytes, int seed) {
  Philox random(static_cast<std::uint64_t>(seed));
  const auto size = static_cast<std::int64_t>(bytes.size());
  const std::int64_t span = seed % 2 == 0 ? size : std::min<std::int64_t>(size, 1500);
  const std::int64_t from = seed % 4 == 1 ? size - span : 0;
  for (std::int64_t i = 0, n = 1 + random.below(20); i < n; ++i)
    bytes[static_cast<std::size_t>(from + random.below(span))] = static_cast<char>(random.below(256));
  return bytes;
}

void check_flips(std::size_t first, std::size_t last) {
  const TemporaryFolder folder;
  for (std::size_t s = first; s < last; ++s) {
    const std::string path = make(folder, samples[s]);
    const std::string bytes = test::read_file(path);
    const std::string target = folder.file(std::string("damaged_") + samples[s].file);
    REQUIRE(outcome(path).has_value());
    check_same_frames(path);
    const std::ptrdiff_t descriptors = open_descriptors();
    int readable = 0;
    const int seeds = damage_seeds();
    for (int seed = 0; seed < seeds; ++seed) {
      INFO(samples[s].file << " seed " << seed);
      test::write_file(target, flipped(bytes, seed));
      if (!outcome(target).has_value()) continue;
      ++readable;
      if (seed % 10 == 3) check_same_frames(target);
    }
    INFO(samples[s].file);
    CHECK(open_descriptors() == descriptors);
    CHECK(readable > 0);
  }
}

TEST_CASE("faults: flipped bytes in MP4 and MOV", "[video][faults]") { check_flips(0, 4); }
TEST_CASE("faults: flipped bytes in AVI", "[video][faults]") { check_flips(4, 6); }
TEST_CASE("faults: flipped bytes in Matroska", "[video][faults]") { check_flips(6, 9); }
TEST_CASE("faults: flipped bytes in MPEG streams", "[video][faults]") { check_flips(9, 12); }
TEST_CASE("faults: flipped bytes in Ogg, FLV, raw H.264 and GIF", "[video][faults]") { check_flips(12, 16); }

TEST_CASE("faults: truncation at 20 places", "[video][faults]") {
  const TemporaryFolder folder;
  for (const Sample& sample : samples) {
    const std::string path = make(folder, sample);
    const std::string bytes = test::read_file(path);
    const std::string cut = folder.file(std::string("cut_") + sample.file);
    int partial = 0;
    for (std::size_t place = 1; place <= 20; ++place) {
      INFO(sample.file << " cut at " << place << "/21");
      test::write_file(cut, bytes.substr(0, bytes.size() * place / 21));
      const test::Digests truth = test::program_decode(cut);
      if (truth.count() == 0) {
        CHECK(!outcome(cut).has_value());
        continue;
      }
      ++partial;
      test::check_access(cut, truth, {.singles = 6, .clips = 2, .backwards = 4});
    }
    INFO(sample.file);
    // Of an MP4 or MOV file the index is at its end, and all of it is lost with that.
    const bool needs_end = std::string(sample.file).ends_with("h264.mp4") || sample.file == std::string("hevc.mp4") ||
                           std::string(sample.file).ends_with(".mov");
    CHECK((partial >= 2 || needs_end));
  }
}

TEST_CASE("faults: an MP4 without moov", "[video][faults]") {
  const TemporaryFolder folder;
  const std::string path = make(folder, samples[0]);
  std::string bytes = test::read_file(path);
  const auto moov = bytes.find("moov");
  REQUIRE(moov != std::string::npos);
  const std::string without = folder.file("without.mp4");
  test::write_file(without, bytes.substr(0, moov - 4));
  CHECK(!outcome(without).has_value());
  // Not "free": FFmpeg looks for a moov that somebody has hidden under that name.
  bytes.replace(moov, 4, "junk");
  test::write_file(without, bytes);
  CHECK(!outcome(without).has_value());
}

TEST_CASE("faults: what is no file, or has no bytes", "[video][faults]") {
  const TemporaryFolder folder;
  const std::string empty = folder.file("empty.mp4"), directory = folder.file("folder.mp4"),
                    pipe = folder.file("pipe.mp4"), plug = folder.file("socket.mp4"), loop = folder.file("loop.mp4"),
                    dangling = folder.file("dangling.mp4"), one = folder.file("one.mp4"),
                    link_to_pipe = folder.file("link.mp4");
  test::write_file(empty, "");
  test::write_file(one, "\n");
  fs::create_directory(directory);
  REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
  fs::create_symlink(loop, loop);
  fs::create_symlink(folder.file("nowhere"), dangling);
  fs::create_symlink(pipe, link_to_pipe);
  const int descriptor = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  REQUIRE(plug.size() < sizeof address.sun_path);
  std::memcpy(address.sun_path, plug.c_str(), plug.size() + 1);
  REQUIRE(bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  const std::ptrdiff_t descriptors = open_descriptors();
  for (const std::string& path : {empty, one, directory, pipe, plug, loop, dangling, link_to_pipe,
                                  std::string("/dev/null"), std::string("/dev/zero"), std::string()}) {
    INFO(path);
    CHECK(!outcome(path).has_value());
  }
  CHECK(open_descriptors() == descriptors);
  close(descriptor);
}

TEST_CASE("faults: names that mean something to FFmpeg or a shell", "[video][faults]") {
  const TemporaryFolder folder;
  const std::string plain = make(folder, samples[4]);
  const test::Digests truth = test::program_decode(plain);
  for (const char* name : {"concat:a.avi", "%03d.avi", "a\nb.avi", "-i.avi", "pipe:0", "it's.avi", "a|b;c.avi",
                           "http:", "no extension", "wrong.txt", "wrong.jpg", "\xC3\xBC.avi"}) {
    INFO(name);
    const std::string path = folder.file(name);
    fs::copy_file(plain, path);
    Video video(path);
    CHECK(video.info().frames == truth.count());
    const std::int64_t last[] = {truth.count() - 1};
    CHECK(test::digests(video.frames(last)).frames.front() == truth.frames.back());
  }
}

TEST_CASE("faults: no video stream", "[video][faults]") {
  const TemporaryFolder folder;
  const Sample silent[] = {
      {"a.wav", "ff -f lavfi -i sine=d=1 $o"},
      {"a.mp4", "ff -f lavfi -i sine=d=1 -c:a aac $o"},
      {"a.mkv", "ff -f lavfi -i sine=d=1 -c:a mp2 $o"},
      {"a.ts", "ff -f lavfi -i sine=d=1 -c:a mp2 $o"},
      {"a.ogg", "ff -f lavfi -i sine=d=1 -c:a libvorbis $o"},
      {"a.srt", "printf '1\\n00:00:00,000 --> 00:00:01,000\\nText\\n' >$o"},
      {"b.mkv", "printf '1\\n00:00:00,000 --> 00:00:01,000\\nText\\n' >t.srt; ff -i t.srt $o"},
      {"cover.mp3",
       "enc -frames:v 1 c.png; ff -f lavfi -i sine=d=1 -i c.png -map 0 -map 1 -c:v copy "
       "-disposition:v attached_pic $o"},
  };
  for (const Sample& sample : silent) {
    INFO(sample.file);
    const std::string path = make(folder, sample);
    INFO(test::read_file(folder.file("log")));
    CHECK(!outcome(path).has_value());
  }
}

void put(std::string& bytes, std::size_t at, std::uint32_t value, bool big_endian) {
  for (std::size_t i = 0; i < 4; ++i) bytes.at(at + i) = static_cast<char>(value >> (big_endian ? 24 - 8 * i : 8 * i));
}

TEST_CASE("faults: a header that disagrees with the frames", "[video][faults]") {
  const TemporaryFolder folder;
  const std::string avi = test::read_file(make(folder, samples[4]));
  const std::string mp4 = test::read_file(make(folder, samples[0]));
  const std::string patched = folder.file("patched");
  for (const std::uint32_t claim : {0U, 1U, 5U, 1000U, 0xFFFFFFFFU}) {
    INFO("claims " << claim << " frames");
    std::string bytes = avi;
    // After a name and a size: dwTotalFrames is the fifth word of avih, dwLength the ninth of strh.
    put(bytes, bytes.find("avih") + 8 + 16, claim, false);
    put(bytes, bytes.find("strh") + 8 + 32, claim, false);
    test::write_file(patched, bytes);
    const test::Digests truth = test::program_decode(patched);
    CHECK(truth.count() == 12);
    test::check_access(patched, truth);
    if (claim == 1000) CHECK(Video(patched).info().header_frames == 1000);
    for (const char* table : {"stsz", "stts", "ctts", "stsc", "stss", "stco"}) {
      INFO(table);
      bytes = mp4;
      const auto at = bytes.find(table);
      REQUIRE(at != std::string::npos);
      put(bytes, at + (table == std::string("stsz") ? 12 : 8), claim, true);
      test::write_file(patched, bytes);
      const test::Digests left = test::program_decode(patched);
      if (left.count() == 0)
        CHECK(!outcome(patched).has_value());
      else
        test::check_access(patched, left);
    }
  }
}

TEST_CASE("faults: a header whose sizes disagree with the pictures or the file", "[video][faults]") {
  const TemporaryFolder folder;
  const std::string patched = folder.file("patched");
  // Where in the file a size is, counted from a word; a width is followed by its height.
  struct Place {
    std::size_t sample;
    const char* word;
    std::ptrdiff_t at;
    std::size_t bytes;
    bool big_endian, pair;
  };
  constexpr Place places[] = {
      {4, "avih", 8 + 32, 4, false, true}, {4, "strf", 8 + 4, 4, false, true}, {5, "strf", 8 + 4, 4, false, true},
      {0, "tkhd", 4 + 76, 4, true, true},  {0, "avc1", 4 + 24, 2, true, true}, {1, "hev1", 4 + 24, 2, true, true},
      {3, "jpeg", 4 + 24, 2, true, true},  {4, "RIFF", 4, 4, false, false},    {4, "movi", -4, 4, false, false},
      {0, "moov", -4, 4, true, false},     {0, "mdat", -4, 4, true, false},    {0, "avcC", -4, 4, true, false},
      {4, "idx1", 4, 4, false, false},
  };
  for (const Place& place : places) {
    INFO(samples[place.sample].file << ", " << place.word);
    const std::string path = make(folder, samples[place.sample]);
    const std::string bytes = test::read_file(path);
    const auto word = bytes.find(place.word);
    REQUIRE(word != std::string::npos);
    for (const std::uint32_t claim : {0U, 1U, 33U, 65535U, 0xFFFFFFFFU}) {
      INFO("claims " << claim);
      std::string changed = bytes;
      for (std::size_t k = 0; k < (place.pair ? 2 : 1); ++k)
        for (std::size_t i = 0; i < place.bytes; ++i)
          changed.at(word + static_cast<std::size_t>(place.at) + k * place.bytes + i) =
              static_cast<char>(claim >> 8 * (place.big_endian ? place.bytes - 1 - i : i));
      test::write_file(patched, changed);
      // A size that Cinepak, which has none of its own, would have to fill.
      if (place.sample == 5 && claim > 64) {
        outcome(patched);
        continue;
      }
      const test::Digests truth = test::program_decode(patched);
      if (truth.count() == 0)
        CHECK(!outcome(patched).has_value());
      else
        test::check_access(patched, truth, {.singles = 6, .clips = 2, .backwards = 4});
    }
  }
}

TEST_CASE("faults: zero frames a second, and other rates that are none", "[video][faults]") {
  const TemporaryFolder folder;
  const std::string avi = test::read_file(make(folder, samples[4]));
  const std::string mp4 = test::read_file(make(folder, samples[0]));
  const std::string patched = folder.file("patched");
  const auto check = [&](const std::string& bytes, const std::string& what) {
    INFO(what);
    test::write_file(patched, bytes);
    const test::Digests truth = test::program_decode(patched);
    const auto frames = outcome(patched);
    CHECK(frames.value_or(0) == truth.count());
    if (frames && truth.count() > 0) test::check_access(patched, truth);
  };
  for (const std::uint32_t scale : {0U, 1U, 0xFFFFFFFFU})
    for (const std::uint32_t rate : {0U, 1U, 0xFFFFFFFFU}) {
      std::string bytes = avi;
      put(bytes, bytes.find("avih") + 8, rate == 0 ? 0 : 40000, false);
      put(bytes, bytes.find("strh") + 8 + 20, scale, false);
      put(bytes, bytes.find("strh") + 8 + 24, rate, false);
      check(bytes, "AVI " + std::to_string(rate) + " / " + std::to_string(scale));
    }
  for (const std::uint32_t scale : {0U, 1U, 0x7FFFFFFFU, 0xFFFFFFFFU})
    for (const char* box : {"mvhd", "mdhd"}) {
      std::string bytes = mp4;
      put(bytes, bytes.find(box) + 4 + 12, scale, true);
      check(bytes, std::string(box) + " timescale " + std::to_string(scale));
    }
  for (const std::uint32_t delta : {0U, 0x7FFFFFFFU, 0xFFFFFFFFU}) {
    std::string bytes = mp4;
    put(bytes, bytes.find("stts") + 4 + 12, delta, true);
    check(bytes, "MP4 frames of " + std::to_string(delta) + " ticks");
  }
}

TEST_CASE("faults: a file that goes or changes while it is open", "[video][faults]") {
  const TemporaryFolder folder;
  for (const std::size_t s : {0U, 4U, 6U, 9U}) {
    INFO(samples[s].file);
    const std::string path = make(folder, samples[s]);
    const std::string bytes = test::read_file(path);
    const test::Digests truth = test::program_decode(path);
    // Right frames, or an error: how far a decoder has read ahead is its own affair.
    const auto read = [&](Video& video, bool right) {
      for (const std::int64_t i : {std::int64_t{11}, std::int64_t{0}, std::int64_t{7}, std::int64_t{3}}) try {
          const std::int64_t index[] = {i};
          const Frames got = video.frames(index);
          if (right) CHECK(test::digests(got).frames.front() == truth.frames[static_cast<std::size_t>(i)]);
        } catch (const DataError& e) {
          CHECK(std::string(e.what()).find('\n') == std::string::npos);
        }
    };
    for (const bool after_a_read : {false, true}) {
      const auto opened = [&] {
        test::write_file(path, bytes);
        Video video(path, {.cache_bytes = 0});
        const std::int64_t second[] = {1};
        if (after_a_read) video.frames(second);
        return video;
      };
      Video deleted = opened();
      fs::remove(path);
      read(deleted, true);
      // A file mapped into memory would end the process here.
      Video shorter = opened();
      fs::resize_file(path, bytes.size() / 2);
      read(shorter, false);
      Video empty = opened();
      fs::resize_file(path, 0);
      read(empty, true);
      Video other = opened();
      fs::remove(path);
      test::write_file(path, test::read_file(make(folder, samples[15])));
      read(other, false);
      Video noise = opened();
      test::write_file(path, flipped(bytes, 6));
      read(noise, false);
      Video gone = opened();
      fs::remove(path);
      fs::create_directory(path);
      read(gone, true);
      fs::remove(path);
    }
  }
}

TEST_CASE("faults: 5,000 files under a limit of 256 descriptors", "[video][faults]") {
  const TemporaryFolder folder;
  const std::string good =
      test::encode(folder.file("good.avi"), {.codec = "mpeg4", .width = 16, .height = 16, .b_frames = 1}, 4);
  const std::string bytes = test::read_file(good);
  const std::string cut = folder.file("cut.avi"), none = folder.file("none.mp4");
  test::write_file(cut, bytes.substr(0, bytes.size() / 8));
  test::write_file(none, bytes.substr(100, 300));
  const test::DescriptorLimit limit(256);
  const std::ptrdiff_t descriptors = open_descriptors();
  const auto pass = [&](int opens) {
    int right = 0;
    for (int i = 0; i < opens; ++i) right += outcome(i % 5 == 0 ? cut : i % 5 == 1 ? none : good) == 4 ? 1 : 0;
    return right;
  };
  CHECK(pass(500) == 300);
  const std::size_t memory = mallinfo2().uordblks;
  CHECK(pass(4500) == 2700);
  CHECK(open_descriptors() == descriptors);
  // An open that lost 100 bytes would show.
  CHECK(mallinfo2().uordblks < memory + 400'000);
}

TEST_CASE("faults: an audit in 64 threads with four descriptors left", "[audit][faults]") {
  const TemporaryFolder folder;
  // Long enough that all threads are in the midst of one.
  const std::string good = test::encode(folder.file("good.avi"), {.codec = "mpeg4", .width = 160, .height = 120}, 60);
  std::string list;
  for (int i = 0; i < 200; ++i) {
    const std::string name = "f" + std::to_string(i) + ".avi";
    fs::create_hard_link(good, folder.file(name));
    list += name + " 0\n";
  }
  test::write_file(folder.file("train.txt"), list);
  AuditConfig config;
  config.dataset.root = fs::path(good).parent_path().string();
  config.subsets = {Subset::train};
  config.decode = true;
  config.threads = 64;
  const test::DescriptorLimit limit(static_cast<rlim_t>(open_descriptors() + 4));
  const AuditReport report = audit(config);
  CHECK(report.count(AuditFault::corrupt) == 0);
  CHECK(report.count(AuditFault::duplicate) == 199);
}

TEST_CASE("faults: 5,000 files in four threads under a limit of 256 descriptors, or of 40", "[video][faults]") {
  const TemporaryFolder folder;
  const std::string good =
      test::encode(folder.file("good.avi"), {.codec = "mpeg4", .width = 16, .height = 16, .b_frames = 1}, 4);
  const std::string cut = folder.file("cut.avi");
  test::write_file(cut, test::read_file(good).substr(0, 500));
  constexpr int files = 5000;
  std::vector<std::string> paths;
  for (int i = 0; i < files; ++i) {
    paths.push_back(folder.file("f" + std::to_string(i) + ".avi"));
    fs::create_hard_link(i % 5 == 0 ? cut : good, paths.back());
  }
  for (const rlim_t most : {256, 40}) {
    const test::DescriptorLimit limit(most);
    const std::ptrdiff_t before = open_descriptors();
    VideoPool pool({.cache_bytes = 0}, 64);
    std::atomic<int> next{0}, right{0}, damaged{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&] {
        for (int i = next++; i < files; i = next++) try {
            const std::int64_t last[] = {3};
            right += pool.open(paths[static_cast<std::size_t>(i)])->frames(last).count == 1 ? 1 : 0;
          } catch (const DataError&) {
            ++damaged;
          }
      });
    for (std::thread& thread : threads) thread.join();
    CHECK(right == files * 4 / 5);
    CHECK(damaged == files / 5);
    CHECK(pool.open_files() <= 64);
    CHECK(open_descriptors() <= before + pool.open_files());
  }
}

// Slow only in that UndefinedBehaviorSanitizer, which looks at memory through a pipe, takes every object for a bad one
// when there is no descriptor left.
TEST_CASE("faults: more Videos at once than descriptors", "[video][faults][slow]") {
  const TemporaryFolder folder;
  const std::string path =
      test::encode(folder.file("a.avi"), {.codec = "mpeg4", .width = 16, .height = 16, .b_frames = 1}, 4);
  const test::Digests truth = test::program_decode(path);
  const auto index = Video(path).index();
  const test::DescriptorLimit limit(64);
  std::vector<Video> videos;
  int right = 0;
  for (int i = 0; i < 200; ++i) try {
      videos.emplace_back(path, VideoOptions{.cache_bytes = 0, .index = i % 2 == 0 ? index : nullptr});
      const std::int64_t last[] = {3};
      const Frames got = videos.back().frames(last);
      CHECK(test::digests(got).frames.front() == truth.frames.back());
      ++right;
    } catch (const SystemError& e) {  // no fault of the file
      CHECK(std::string(e.what()).find('\n') == std::string::npos);
    }
  CHECK(right > 20);
  videos.clear();
  CHECK(outcome(path) == 4);
}

TEST_CASE("faults: one index in four threads", "[video][faults]") {
  const TemporaryFolder folder;
  const std::string path = make(folder, {"a.mp4", "enc -c:v libx264 -bf 3 -g 12 $o"});
  const test::Digests truth = test::program_decode(path);
  const auto index = Video(path).index();
  std::array<int, 4> wrong{};
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < wrong.size(); ++t)
    threads.emplace_back([&, t] {
      Video video(path, {.cache_bytes = 0, .index = index});
      Philox random(t);
      for (int i = 0; i < 30; ++i) {
        const std::int64_t at[] = {random.below(truth.count())};
        if (test::digests(video.frames(at)).frames.front() != truth.frames[static_cast<std::size_t>(at[0])]) ++wrong[t];
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (const int w : wrong) CHECK(w == 0);
}

}  // namespace
}  // namespace mcn
