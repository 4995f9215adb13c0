// Indices by packets promise what a decode gives, or are not made; the cache on disk gives back what was stored, and
// nothing else.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "data/frame_index.h"
#include "data/index_cache.h"
#include "kernels/error.h"
#include "tests/catch.h"
#include "tests/data/packed.h"
#include "tests/data/program.h"
#include "tests/data/videos.h"
#include "tests/temporary_folder.h"

namespace mcn {
namespace {

using test::encode;
using test::TemporaryFolder;

std::shared_ptr<const VideoIndex> decoded(const std::string& path) {
  FrameCache cache;
  return index_by_decoding(path, {.cache_bytes = 0}, cache);
}

TEST_CASE("an index by packets is that of a decode", "[index]") {
  const TemporaryFolder folder;
  struct Case {
    const char* file;
    VideoWriterConfig config;
  };
  const std::vector<Case> cases{
      {"plain.mp4", {.codec = "libx264", .width = 96, .height = 64, .gop = 12}},
      {"b.mp4", {.codec = "libx264", .width = 96, .height = 64, .gop = 250, .b_frames = 3}},
      {"b.mkv", {.codec = "libx264", .width = 96, .height = 64, .gop = 12, .b_frames = 3}},
      {"pyramid.mp4",
       {.codec = "libx264",
        .width = 96,
        .height = 64,
        .gop = 20,
        .b_frames = 7,
        .options = "x264-params=b-adapt=0:b-pyramid=normal"}},
      {"open.mkv",
       {.codec = "libx265",
        .width = 96,
        .height = 64,
        .gop = 12,
        .b_frames = 3,
        .options = "preset=ultrafast:x265-params=log-level=none\\:pools=1\\:open-gop=1\\:min-keyint=12"}},
      {"av1.mp4", {.codec = "libaom-av1", .width = 96, .height = 64, .gop = 12, .options = "cpu-used=8"}},
      {"intra.mov", {.codec = "libx264", .width = 96, .height = 64, .gop = 1}},
      {"turned.mp4", {.codec = "libx264", .width = 96, .height = 64, .gop = 12, .rotation = 90}},
      {"p.avi", {.codec = "mpeg4", .width = 96, .height = 64, .gop = 12}},
      {"b.avi", {.codec = "mpeg4", .width = 96, .height = 64, .gop = 12, .b_frames = 2}},
      {"one_key.avi", {.codec = "mpeg4", .width = 96, .height = 64, .gop = 250, .b_frames = 1}},
      {"b_mpeg4.mp4", {.codec = "mpeg4", .width = 96, .height = 64, .gop = 12, .b_frames = 2}},
      {"b_mpeg4.mkv", {.codec = "mpeg4", .width = 96, .height = 64, .gop = 12, .b_frames = 1}},
  };
  for (const Case& c : cases) {
    INFO(c.file);
    if (!has_encoder(c.config.codec)) continue;
    const std::string path = encode(folder.file(c.file), c.config, 50);
    const auto index = index_by_packets(path, {});
    REQUIRE(index != nullptr);
    const auto truth = decoded(path);
    CHECK_FALSE(index->proven());
    CHECK(truth->proven());
    CHECK(index->info.frames == 50);
    CHECK(index->packets == truth->packets);
    CHECK(index->may_skip);
    CHECK(index->info.width == truth->info.width);
    CHECK(index->info.height == truth->info.height);
    CHECK(index->info.rotation == truth->info.rotation);
    CHECK(index->info.keyframes == truth->info.keyframes);
    CHECK(index->info.b_frames == truth->info.b_frames);
    CHECK(index->info.pixel_format == truth->info.pixel_format);
    REQUIRE(index->keys.size() == truth->keys.size());
    for (std::size_t i = 0; i < index->keys.size(); ++i) {
      CHECK(index->keys[i].frame == truth->keys[i].frame);
      CHECK(index->keys[i].packet == truth->keys[i].packet);
      CHECK(index->keys[i].place.found_again(truth->keys[i].place));
    }
  }
}

// Whatever the index says, every frame is that of a plain decode. Of one opened file each: what is found out on the way
// to one frame must not help with the next.
void check_every_frame(const std::string& path) {
  const Frames all = test::sequential_decode(path);
  REQUIRE(all.count > 0);
  std::string wrong;
  for (std::int64_t i = 0; i < all.count; ++i)
    if (!std::ranges::equal(Video(path).frames({&i, 1}).frame(0), all.frame(i))) wrong += std::to_string(i) + " ";
  CHECK("wrong: " + wrong == "wrong: ");
  CHECK(Video(path).info().frames == all.count);
}

TEST_CASE("where packets leave doubt there is no index without a decode", "[index]") {
  const TemporaryFolder folder;
  CHECK(index_by_packets(encode(folder.file("a.avi"), {.codec = "libx264", .width = 96, .height = 64}, 10), {}) ==
        nullptr);
  CHECK(index_by_packets(encode(folder.file("a.ts"), {.codec = "libx264", .width = 96, .height = 64}, 10), {}) ==
        nullptr);
  // Two fields of a picture may be packets of their own.
  const std::string fields =
      encode(folder.file("fields.mp4"),
             {.codec = "libx264", .width = 96, .height = 64, .options = "x264-params=tff=1:fake-interlaced=0"}, 10);
  check_every_frame(fields);
  // Cut short: the packets say less than the header.
  const std::string cut = encode(folder.file("cut.mkv"), {.codec = "libx264", .width = 96, .height = 64}, 50);
  std::filesystem::resize_file(cut, std::filesystem::file_size(cut) * 2 / 3);
  check_every_frame(cut);
}

TEST_CASE("times in another order than the codec's leave doubt", "[index]") {
  const TemporaryFolder folder;
  SECTION("times of two frames changed places") {
    const std::string path = folder.file("swapped.mkv");
    for (const char* codec : {"libx264", "libx265", "libaom-av1"}) {
      if (!has_encoder(codec)) continue;
      INFO(codec);
      const std::string encoder = std::string("enc_size 64x48 -c:v ") + codec +
                                  " -g 40 -bf 3 -cpu-used 8 -x264-params b-adapt=0:b-pyramid=none -x265-params "
                                  "log-level=none:pools=1:b-adapt=0:b-pyramid=0 a.mkv; ";
      const auto make = [&](const std::string& by) {
        const std::string times = "if(eq(N\\,31)\\,PTS+" + by + "\\,if(eq(N\\,32)\\,PTS-" + by + "\\,PTS)):dts=DTS-200";
        return test::run_script(folder.file(""), encoder + "ff -i a.mkv -c copy -bsf:v 'setts=pts=" + times + "' $o",
                                path);
      };
      REQUIRE(make("0"));
      CHECK(index_by_packets(path, {}) != nullptr);
      REQUIRE(make("40"));
      CHECK(index_by_packets(path, {}) == nullptr);
      check_every_frame(path);
    }
  }
  SECTION("parts that overlap were joined") {
    const std::string path = folder.file("joined.mp4");
    REQUIRE(test::run_script(folder.file(""),
                             "enc -c:v libx264 -bf 3 -g 10 a.mp4; printf 'file a.mp4\\nfile a.mp4\\ninpoint 0.3\\nfile "
                             "a.mp4\\ninpoint 0.55\\noutpoint 1.1\\n' >list; ff -f concat -i list -c copy $o",
                             path));
    CHECK(index_by_packets(path, {}) == nullptr);
    check_every_frame(path);
  }
}

TEST_CASE("packed B-frames are counted as they are decoded", "[index]") {
  const TemporaryFolder folder;
  const int b_frames = GENERATE(1, 2, 3);
  const bool at_every_key = GENERATE(false, true);
  CAPTURE(b_frames, at_every_key);
  const std::string plain = encode(folder.file("plain.avi"),
                                   {.codec = "mpeg4", .width = 96, .height = 64, .gop = 12, .b_frames = b_frames}, 50);
  const std::string path = folder.file("packed.avi");
  test::pack_b_frames(plain, path, {.user_data_at_every_key = at_every_key});
  const auto index = index_by_packets(path, {});
  REQUIRE(index != nullptr);
  const auto truth = decoded(path);
  CHECK(index->packets == truth->packets);
  CHECK(index->keys.size() == truth->keys.size());
  const Frames all = test::sequential_decode(path);
  Video video(path);
  CHECK(video.index()->proven() == false);
  for (const std::int64_t i : {45, 3, 30, 13, 12, 11, 49, 0, 24}) {
    const Frames one = video.frames({&i, 1});
    CHECK(std::ranges::equal(one.frame(0), all.frame(i)));
  }
  CHECK_FALSE(video.index()->proven());
}

TEST_CASE("chunks of MPEG-4 that may give no frame, or change the layer, leave doubt", "[index]") {
  const TemporaryFolder folder;
  const std::string path =
      encode(folder.file("a.avi"), {.codec = "mpeg4", .width = 96, .height = 64, .gop = 5, .b_frames = 2}, 50);
  REQUIRE(index_by_packets(path, {}) != nullptr);
  const auto index = decoded(path);
  std::string bytes = test::read_file(path);
  SECTION("a VOP that is not coded") {
    // A chunk's size stands before its bytes: 6 of them are the VOP, the rest is of no kind that counts.
    const auto at = static_cast<std::size_t>(index->keys[4].place.position) + 8;
    const std::size_t vop = bytes.find(std::string("\0\0\1\xB6", 4), at);
    bytes.replace(vop, 10, std::string("\0\0\1\xB6\x50\x67\0\0\1\xB1", 10));
    test::write_file(path, bytes);
    CHECK(index_by_packets(path, {}) == nullptr);
  }
  SECTION("another size from the third keyframe on") {
    const std::size_t layer =
        bytes.find(std::string("\0\0\1\x20", 4), static_cast<std::size_t>(index->keys[2].place.position));
    REQUIRE(layer != std::string::npos);
    bytes[layer + 9] = static_cast<char>(bytes[layer + 9] ^ 1);
    test::write_file(path, bytes);
    CHECK(index_by_packets(path, {}) == nullptr);
  }
  SECTION("a file without its end") {
    std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
    CHECK(index_by_packets(path, {}) == nullptr);
  }
}

TEST_CASE("damage that only decoding shows is noticed when frames are read", "[index]") {
  const TemporaryFolder folder;
  const std::string path = encode(folder.file("a.mp4"), {.codec = "libx264", .width = 96, .height = 64, .gop = 10}, 60);
  const auto index = index_by_packets(path, {});
  REQUIRE(index != nullptr);
  std::string bytes;
  {
    std::ifstream file(path, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(file), {});
  }
  // Garbage in the middle of the sixth group of pictures: lengths stay, pictures do not.
  const auto position = static_cast<std::size_t>(index->keys[5].place.position);
  for (std::size_t i = 40; i < 200; ++i) bytes[position + i] = static_cast<char>(i * 37);
  test::write_file(path, bytes);
  const Frames truth = test::sequential_decode(path);
  Video video(path, {.cache_bytes = 0});
  std::vector<std::int64_t> all;
  for (std::int64_t i = 0; i < std::min(truth.count, video.info().frames); ++i) all.push_back(i);
  const Frames got = video.frames(all);
  CHECK(video.info().frames == truth.count);
  CHECK(got.rgb == truth.rgb);
}

bool same(const VideoIndex& a, const VideoIndex& b) {
  return a.info.frames == b.info.frames && a.info.codec == b.info.codec && a.info.fps == b.info.fps &&
         a.info.width == b.info.width && a.info.path == b.info.path && a.fingerprints == b.fingerprints &&
         a.packets == b.packets && a.may_skip == b.may_skip && a.keys.size() == b.keys.size() &&
         std::ranges::equal(a.keys, b.keys, [](const auto& x, const auto& y) {
           return x.frame == y.frame && x.packet == y.packet && x.place.found_again(y.place) &&
                  x.place.dts == y.place.dts && x.place.pts == y.place.pts;
         });
}

TEST_CASE("the cache gives back an index until the video changes", "[index]") {
  const TemporaryFolder folder;
  const std::string path =
      encode(folder.file("a.avi"), {.codec = "mpeg4", .width = 96, .height = 64, .b_frames = 2}, 20);
  const std::string cache = folder.file("cache/of/indices");
  const auto index = decoded(path);
  CHECK(IndexCacheEntry(cache, path).load() == nullptr);
  IndexCacheEntry(cache, path).store(*index);
  const auto again = IndexCacheEntry(cache, path).load();
  REQUIRE(again != nullptr);
  CHECK(same(*index, *again));
  SECTION("another time") {
    std::filesystem::last_write_time(path, std::filesystem::last_write_time(path) + std::chrono::seconds(1));
    CHECK(IndexCacheEntry(cache, path).load() == nullptr);
  }
  SECTION("another size") {
    const auto time = std::filesystem::last_write_time(path);
    std::ofstream(path, std::ios::binary | std::ios::app) << "x";
    std::filesystem::last_write_time(path, time);
    CHECK(IndexCacheEntry(cache, path).load() == nullptr);
  }
  SECTION("another name") {
    std::filesystem::copy_file(path, folder.file("b.avi"));
    CHECK(IndexCacheEntry(cache, folder.file("b.avi")).load() == nullptr);
  }
  SECTION("every damage") {
    const auto file = std::filesystem::directory_iterator(cache)->path();
    std::string bytes;
    {
      std::ifstream in(file, std::ios::binary);
      bytes.assign(std::istreambuf_iterator<char>(in), {});
    }
    for (std::size_t length = 0; length < bytes.size(); length += 7) {
      test::write_file(file, bytes.substr(0, length));
      REQUIRE(IndexCacheEntry(cache, path).load() == nullptr);
    }
    for (std::size_t i = 0; i < bytes.size(); i += 5) {
      std::string flipped = bytes;
      flipped[i] = static_cast<char>(flipped[i] ^ 0x10);
      test::write_file(file, flipped);
      REQUIRE(IndexCacheEntry(cache, path).load() == nullptr);
    }
  }
  SECTION("many writers and readers") {
    std::atomic<int> wrong{0};
    {
      std::vector<std::jthread> threads;
      for (int t = 0; t < 4; ++t)
        threads.emplace_back([&] {
          for (int i = 0; i < 30; ++i) {
            const IndexCacheEntry entry(cache, path);
            entry.store(*index);
            const auto read = entry.load();
            if (read == nullptr || !same(*index, *read)) ++wrong;
          }
        });
    }
    CHECK(wrong == 0);
    CHECK(std::distance(std::filesystem::directory_iterator(cache), {}) == 1);
  }
}

TEST_CASE("a cache that cannot be written costs nothing but time", "[index]") {
  const TemporaryFolder folder;
  const std::string path = encode(folder.file("a.avi"), {.codec = "mpeg4", .width = 96, .height = 64}, 5);
  test::write_file(folder.file("file"), "in the way");
  Video video(path, {.index_folder = folder.file("file/cache")});
  CHECK(video.info().frames == 5);
  VideoOptions options;
  options.index_folder = folder.file("cache");
  const Frames first = Video(path, options).frames(std::vector<std::int64_t>{3});
  CHECK(Video(path, options).frames(std::vector<std::int64_t>{3}).rgb == first.rgb);
}

TEST_CASE("what a killed process left in a cache goes when the next one writes there", "[index]") {
  const TemporaryFolder folder;
  const std::string path = encode(folder.file("a.avi"), {.codec = "mpeg4", .width = 96, .height = 64}, 5);
  const pid_t gone = ::fork();
  if (gone == 0) ::_exit(0);
  REQUIRE(::waitpid(gone, nullptr, 0) == gone);
  std::filesystem::create_directory(folder.file("cache"));
  const std::string left = folder.file("cache") + "/0123456789abcdef.index.tmp-" + std::to_string(gone) + "-7";
  test::write_file(left, "half of an index");
  test::write_file(folder.file("cache") + "/notes.txt", "of the user");
  CHECK(Video(path, {.index_folder = folder.file("cache")}).info().frames == 5);
  CHECK_FALSE(std::filesystem::exists(left));
  CHECK(std::distance(std::filesystem::directory_iterator(folder.file("cache")), {}) == 2);
}

TEST_CASE("a kept index that cannot be read is made again", "[index]") {
  const TemporaryFolder folder;
  const std::string path = encode(folder.file("a.avi"), {.codec = "mpeg4", .width = 96, .height = 64}, 5);
  const VideoOptions options{.index_folder = folder.file("cache")};
  REQUIRE(Video(path, options).info().frames == 5);
  const std::filesystem::path kept = std::filesystem::directory_iterator(folder.file("cache"))->path();
  std::filesystem::remove(kept);
  SECTION("a folder") { std::filesystem::create_directory(kept); }
  SECTION("a pipe, of which opening would wait") { REQUIRE(mkfifo(kept.c_str(), 0600) == 0); }
  SECTION("a device without end") { std::filesystem::create_symlink("/dev/zero", kept); }
  // A file by all signs, whose first byte gives "Input/output error".
  SECTION("a disk that fails") { std::filesystem::create_symlink("/proc/self/mem", kept); }
  CHECK(Video(path, options).info().frames == 5);
}

}  // namespace
}  // namespace mcn
