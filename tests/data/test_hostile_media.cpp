// Files that would make FFmpeg open others, or take all memory: each is refused in one line, and nothing but the file
// itself is opened.
#include <algorithm>
#include <filesystem>

#include "data/media_input.h"
#include "data/video.h"
#include "kernels/error.h"
#include "tests/catch.h"
#include "tests/data/program.h"
#include "tests/data/system_calls.h"
#include "tests/data/videos.h"
#include "tests/temporary_folder.h"

namespace mcn {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::ContainsSubstring;
using test::TemporaryFolder;

// Every demuxer that reads what another file, a list or a socket holds.
constexpr const char* containers_of_others =
    "hls,dash,concat,image2,image2pipe,vobsub,sdp,rtp,rtsp,sap,imf,webm_dash_manifest,tty,ffmetadata,lavfi,mov,avi,"
    "mpegts,"
    "matroska";

struct Hostile {
  std::string name, content;
};

/// A video "decoy" in FOLDER and in FOLDER/other, and files that name it in every way there is.
std::vector<Hostile> hostile_files(const std::string& folder) {
  const std::string decoy = folder + "/other/decoy.ts";
  const std::string head = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:10\n#EXT-X-MEDIA-SEQUENCE:0\n";
  const std::string tail = "#EXT-X-ENDLIST\n";
  return {
      {"absolute.mp4", head + "#EXTINF:2,\n" + decoy + "\n" + tail},
      {"scheme.mp4", head + "#EXTINF:2,\nfile://" + decoy + "\n" + tail},
      {"relative.m3u8", head + "#EXTINF:2,\nother/decoy.ts\n" + tail},
      {"map.mp4", head + "#EXT-X-MAP:URI=\"" + decoy + "\"\n#EXTINF:2,\n" + decoy + "\n" + tail},
      {"master.mp4", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n" + folder + "/relative.m3u8\n"},
      {"itself.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nitself.m3u8\n"},
      {"key.mp4", head + "#EXT-X-KEY:METHOD=AES-128,URI=\"" + decoy + "\"\n#EXTINF:2,\n" + decoy + "\n" + tail},
      {"dash.mp4",
       "<?xml version=\"1.0\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" "
       "mediaPresentationDuration=\"PT2S\" profiles=\"urn:mpeg:dash:profile:isoff-on-demand:2011\">\n<Period>"
       "<AdaptationSet mimeType=\"video/mp4\"><Representation id=\"1\" bandwidth=\"1\"><BaseURL>" +
           decoy + "</BaseURL></Representation></AdaptationSet></Period></MPD>\n"},
      {"concat.mp4", "ffconcat version 1.0\nfile decoy.ts\nfile other/decoy.ts\n"},
      {"list.txt", "file 'decoy.ts'\n"},
      {"sub.idx",
       "# VobSub index file, v7 (do not modify this line!)\nsize: 720x576\nid: en, index: 0\n"
       "timestamp: 00:00:01:000, filepos: 000000000\n"},
      {"session.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"},
  };
}

/// An MP4 whose picture's samples lie, by its data reference, in another file.
std::string with_reference(std::string mp4, const std::string& path) {
  const auto number = [](std::uint32_t v, int bytes) {
    std::string text;
    for (int i = bytes - 1; i >= 0; --i) text += static_cast<char>(v >> 8 * i);
    return text;
  };
  const auto get = [&](std::size_t at) {
    std::uint32_t v = 0;
    for (std::size_t i = 0; i < 4; ++i) v = v << 8 | static_cast<unsigned char>(mp4[at + i]);
    return v;
  };
  // An alias record as QuickTime writes it: nothing but its tag 18, the path from the root on, is of use.
  std::string alias = number(0, 4) + number(0, 2) + number(2, 2) + number(0, 2) + std::string(28, '\0');
  alias += std::string(12, '\0') + std::string(64, '\0') + std::string(16, '\0') + std::string(16, '\0');
  alias += number(18, 2) + number(static_cast<std::uint32_t>(path.size()), 2) + path;
  if (path.size() % 2 == 1) alias += '\0';
  alias += number(0xFFFF, 2) + number(0, 2);
  const std::string entry = number(static_cast<std::uint32_t>(8 + 4 + alias.size()), 4) + "alis" + number(0, 4) + alias;
  const std::size_t dref = mp4.find("dref") - 4;
  const std::size_t old = get(dref);
  const std::string box =
      number(static_cast<std::uint32_t>(16 + entry.size()), 4) + "dref" + number(0, 4) + number(1, 4) + entry;
  for (const char* around : {"moov", "trak", "mdia", "minf", "dinf"}) {
    const std::size_t at = mp4.rfind(around, dref) - 4;
    mp4.replace(at, 4, number(static_cast<std::uint32_t>(get(at) + box.size() - old), 4));
  }
  mp4.replace(dref, old, box);
  return mp4;
}

/// What opening it says; empty if it opens.
std::string refusal(const std::string& path, const char* containers = nullptr) {
  try {
    if (containers == nullptr) {
      Video video(path, {.cache_bytes = 0});
      const std::int64_t first[] = {0};
      video.frames(first);
    } else {
      const MediaInput input(path, 0, containers);
    }
  } catch (const DataError& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("hostile: what names other files opens none of them", "[video][hostile]") {
  const TemporaryFolder folder;
  const std::string root = fs::path(folder.file("x")).parent_path().string();
  fs::create_directory(folder.file("other"));
  const std::string decoy = folder.file("decoy.ts");
  REQUIRE(test::run_script(root, "enc -frames:v 12 -c:v mpeg2video $o", decoy));
  fs::copy_file(decoy, folder.file("other/decoy.ts"));
  test::write_file(folder.file("sub.sub"), test::read_file(decoy));
  REQUIRE(refusal(decoy).empty());
  for (const Hostile& file : hostile_files(root)) {
    INFO(file.name);
    const std::string path = folder.file(file.name);
    test::write_file(path, file.content);
    // The second time the list of containers lets everything in.
    for (const char* containers : {static_cast<const char*>(nullptr), containers_of_others}) {
      const test::Watch watch;
      const std::string why = refusal(path, containers);
      INFO(why);
      CHECK(watch.opened() == std::vector<std::string>{path});
      CHECK(watch.sockets() == 0);
      if (containers == nullptr) {
        CHECK(why.starts_with("[video] " + path));
        CHECK(why.find('\n') == std::string::npos);
      }
    }
  }
}

TEST_CASE("hostile: numbered images and a MOV whose samples are elsewhere", "[video][hostile]") {
  const TemporaryFolder folder;
  const std::string root = fs::path(folder.file("x")).parent_path().string();
  REQUIRE(test::run_script(root, "enc -frames:v 3 -c:v png image%03d.png; enc -frames:v 1 -c:v png $o",
                           folder.file("one.png")));
  const std::string pattern = folder.file("image%03d.png");
  fs::copy_file(folder.file("one.png"), pattern);
  const std::string whole = folder.file("whole.mov"), hollow = folder.file("hollow.mov");
  REQUIRE(test::run_script(root, "enc -frames:v 12 -c:v mpeg4 $o", whole));
  test::write_file(hollow, with_reference(test::read_file(whole), whole));
  for (const std::string& path : {pattern, hollow})
    for (const char* containers : {static_cast<const char*>(nullptr), containers_of_others}) {
      INFO(path);
      const test::Watch watch;
      const std::string why = refusal(path, containers);
      INFO(why);
      const std::vector<std::string> opened = watch.opened();
      CHECK(std::ranges::all_of(opened, [&](const std::string& name) { return name == path; }));
      if (containers == nullptr) CHECK(why.starts_with("[video] " + path));
    }
}

TEST_CASE("hostile: limits on streams and sizes are said", "[video][hostile]") {
  const TemporaryFolder folder;
  const std::string root = fs::path(folder.file("x")).parent_path().string();
  REQUIRE(test::run_script(root, "enc_size 16x16 -frames:v 2 -c:v mpeg2video $o", folder.file("one.mkv")));
  const auto many = [&](int streams, const std::string& name) {
    std::string maps;
    for (int i = 0; i < streams; ++i) maps += " -map 0";
    REQUIRE(test::run_script(root, "ff -i one.mkv" + maps + " -c copy $o", folder.file(name)));
    return refusal(folder.file(name));
  };
  CHECK(many(100, "few.mkv").empty());
  for (const char* name : {"many.mkv", "many.mp4", "many.ts"}) {
    INFO(name);
    CHECK_THAT(many(101, name), ContainsSubstring("more than 100 streams"));
  }
  REQUIRE(test::run_script(root, "enc_size 16x16 -frames:v 2 -c:v cinepak $o", folder.file("small.avi")));
  std::string avi = test::read_file(folder.file("small.avi"));
  const auto sizes = avi.find("strf") + 12;
  for (std::size_t i = 0; i < 8; ++i) avi.at(sizes + i) = static_cast<char>(10000 >> 8 * (i % 4));
  test::write_file(folder.file("large.avi"), avi);
  CHECK_THAT(refusal(folder.file("large.avi")), ContainsSubstring("frames of 10000 x 10000 pixels, more than"));
}

}  // namespace
}  // namespace mcn
