// Tar shards: where the videos are in them, their labels, and every way in which a shard may be no good.
#include <algorithm>

#include "data/clips.h"
#include "data/loader.h"
#include "data/video.h"
#include "engine/device.h"
#include "engine/random.h"
#include "tests/data/layout.h"
#include "tests/data/shards.h"

namespace mcn {
namespace {

namespace fs = std::filesystem;
using test::check_error;
using test::Layout;
using test::Rows;
using test::TarMember;
using test::write_tar;

struct Shards : Layout {
  Shards() : Layout(DatasetFormat::webdataset) {}
  void shard(const std::string& name, const std::vector<TarMember>& members, const std::string& format = "pax",
             const std::string& filter = "") const {
    fs::create_directories(fs::path(path(name)).parent_path());
    write_tar(path(name), members, format, filter);
  }
};

std::string bytes_of(const VideoSource& source) {
  return test::read_file(source.path)
      .substr(static_cast<std::size_t>(source.offset), static_cast<std::size_t>(source.bytes));
}

/// A real video's bytes.
std::string video_bytes(const std::string& ending, int frames = 12, int width = 32) {
  const test::TemporaryFolder folder;
  return test::read_file(
      test::encode(folder.file("v" + ending), {.codec = "mpeg4", .width = width, .height = 32, .b_frames = 2}, frames));
}

const std::string long_name = std::string(90, 'd') + "/" + std::string(120, 'f') + "/" + std::string(150, 'n');

/// {"label": {"a": {"a": ... 1 ... }}}
std::string nested_objects(int depth) {
  std::string text = "{\"label\": ";
  for (int i = 0; i < depth; ++i) text += "{\"a\":";
  return text + "1" + std::string(static_cast<std::size_t>(depth) + 1, '}');
}

TEST_CASE("webdataset: every video's bytes are found, whatever tar's dialect", "[dataset][webdataset]") {
  const std::string format = GENERATE("ustar", "pax", "gnutar");
  CAPTURE(format);
  const Shards layout;
  std::vector<TarMember> members;
  std::vector<std::string> contents;
  // Sizes round the block of 512 bytes and libarchive's 10240.
  for (const std::size_t size : {1, 511, 512, 513, 10239, 10240, 10241, 100000}) {
    const std::string name = "a/" + std::to_string(size);
    contents.push_back(std::string(size, static_cast<char>('a' + contents.size())) + "end");
    members.push_back({name + ".mp4", contents.back()});
    members.push_back({name + ".cls", std::to_string(contents.size()) + "\n"});
    members.push_back({name + ".txt", std::string(size, 't')});
  }
  if (format != "ustar") {
    contents.emplace_back("behind a long name");
    members.push_back({long_name + ".cls", "3"});
    members.push_back({long_name + ".avi", contents.back()});
    contents.emplace_back("behind a name in UTF-8");
    members.push_back({"caf\xC3\xA9 \xE6\x97\xA5.mp4", contents.back()});
    members.push_back({"caf\xC3\xA9 \xE6\x97\xA5.cls", "8"});
  }
  layout.shard("train/0.tar", members, format);
  const Dataset dataset = layout.load();
  REQUIRE(dataset.videos.size() == contents.size());
  for (std::size_t i = 0; i < contents.size(); ++i) {
    const VideoEntry& entry = dataset.videos[i];
    CHECK(bytes_of(entry.source) == contents[i]);
    CHECK(entry.label == (i < 8 ? static_cast<std::int64_t>(i) + 1 : i == 8 ? 3 : 8));
  }
  CHECK(dataset.videos[0].source.name == layout.path("train/0.tar") + ":a/1.mp4");
  CHECK(dataset.classes.size() == 9);
}

TEST_CASE("webdataset: shards of GNU tar's own making", "[dataset][webdataset]") {
  const std::string format = GENERATE("v7", "ustar", "oldgnu", "gnu", "posix");
  CAPTURE(format);
  const Shards layout;
  layout.file("../in/b.mp4", "the bytes of b");
  layout.file("../in/b.cls", "5");
  layout.file("../in/caf\xC3\xA9.webm", "the bytes of c");
  layout.file("../in/caf\xC3\xA9.json", "{\"label\": 6, \"fps\": [25]}");
  std::string expected = "the bytes of ";
  if (format != "v7" && format != "ustar") {
    layout.file("../in/" + std::string(200, 'l') + ".mkv", "the bytes of l");
    layout.file("../in/" + std::string(200, 'l') + ".cls", "7");
  }
  const std::string command =
      "cd '" + layout.path("../in") + "' && tar -cf ../set/train-0.tar --format=" + format + " .";
  REQUIRE(std::system(command.c_str()) == 0);
  const Dataset dataset = layout.load();
  CHECK(dataset.videos.size() == (format == "v7" || format == "ustar" ? 2 : 3));
  for (const VideoEntry& entry : dataset.videos)
    CHECK(bytes_of(entry.source) == expected + "bcl"[static_cast<std::size_t>(entry.label - 5)]);
}

TEST_CASE("webdataset: labels from .cls or .json, by the name before the last dot or the first",
          "[dataset][webdataset]") {
  const Shards layout;
  layout.shard("train/0.tar", {{"x/a.cls", " 2 \n"},
                               {"x/a.mp4", "a"},
                               {"b.json", R"({"label": 0, "text": "{"})"},
                               {"b.MKV", "b"},
                               {"v_1.5.mp4", "c"},
                               {"v_1.5.cls", "4"},
                               {"d.left.avi", "d"},
                               {"d.right.avi", "d"},
                               {"d.cls", "1"},
                               {"e.json", R"({"caption": 3})"},
                               {"e.cls", "3"},
                               {"e.webm", "e"},
                               {"f.json", R"({"label": 5})"},
                               {"f.cls", "5"},
                               {"f.mp4", "f"},
                               {"._f.mp4", "junk of a file system"},
                               {"nothing.txt", "t"}});
  Rows expected;
  for (const auto& [name, label] : Rows{{"x/a.mp4", 2},
                                        {"b.MKV", 0},
                                        {"v_1.5.mp4", 4},
                                        {"d.left.avi", 1},
                                        {"d.right.avi", 1},
                                        {"e.webm", 3},
                                        {"f.mp4", 5}})
    expected.emplace_back("train/0.tar:" + name, label);
  CHECK(layout.rows() == expected);
}

TEST_CASE("webdataset: a shard joined from several, behind each of which are the zeros of its end",
          "[dataset][webdataset]") {
  const Shards layout;
  std::string joined;
  for (const std::string name : {"a", "b", "c"}) {
    layout.shard("part.tar", {{name + ".flv", "video " + name}, {name + ".cls", "1"}}, "gnutar");
    joined += test::read_file(layout.path("part.tar"));
  }
  fs::remove(layout.path("part.tar"));
  layout.file("train-0.tar", joined);
  std::string videos;
  for (const VideoEntry& video : layout.load().videos) videos += bytes_of(video.source) + ", ";
  CHECK(videos == "video a, video b, video c, ");
  layout.file("train-0.tar", joined.substr(0, joined.size() / 3) + "no header of a member" + std::string(600, 'x'));
  check_error(layout, "train-0.tar", "not a tar file that can be read to its end");
}

TEST_CASE("webdataset: shards by folder, by words in their names, and by patterns", "[dataset][webdataset]") {
  Shards layout;
  for (const char* name :
       {"one/train/0.tar", "one/train/1.tar", "one/val/0.tar", "two/train-0.tar", "two/test-0.tar", "three/s-008.tar",
        "three/s-009.tar", "three/s-010.tar", "three/t-8-a.tar", "three/t-8-b.tar", "four/ucf101-train-0.tar",
        "four/ucf101_val_0.tar", "four/latest.train-of-test.tar", "four/test-of-train.tar"})
    layout.shard(name, {{name + std::string(".mp4"), "x"}, {name + std::string(".cls"), "0"}});
  const std::string root = layout.config.root;
  const auto shards = [&](Subset subset) {
    std::string result;
    for (const VideoEntry& entry : layout.load(subset).videos)
      result += entry.source.path.substr(layout.config.root.size() + 1) + " ";
    return result;
  };
  layout.file("one/train/._0.tar", std::string("\0\5\26", 3));  // a Mac's metadata of the shard
  layout.config.root = root + "/one";
  CHECK(shards(Subset::train) == "train/0.tar train/1.tar ");
  CHECK(shards(Subset::test) == "val/0.tar ");
  layout.config.root = root + "/two";
  CHECK(shards(Subset::train) == "train-0.tar ");
  CHECK(shards(Subset::test) == "test-0.tar ");
  // What is tested on must not be trained on because its name begins with the data set's.
  layout.config.root = root + "/four";
  CHECK(shards(Subset::train) == "latest.train-of-test.tar ucf101-train-0.tar ");
  CHECK(shards(Subset::test) == "ucf101_val_0.tar ");
  layout.config.root = root + "/three";
  CHECK(shards(Subset::train) == "s-008.tar s-009.tar s-010.tar t-8-a.tar t-8-b.tar ");
  check_error(layout, "no shards of test videos", "val", Subset::test);
  layout.config.test_files = {"s-{008..010}.tar"};
  CHECK(shards(Subset::test) == "s-008.tar s-009.tar s-010.tar ");
  layout.config.test_files = {"t-{8..8}-{b,a}.tar", root + "/three/s-{010..010}.tar"};
  CHECK(shards(Subset::test) == "t-8-b.tar t-8-a.tar s-010.tar ");
  layout.config.test_files = {"s-{008..011}.tar"};
  check_error(layout, "s-011.tar", "no such file", Subset::test);
  layout.config.test_files = {"s-008.tar", "s-{008..008}.tar"};
  check_error(layout, "s-008.tar", "named twice", Subset::test);
}

TEST_CASE("webdataset: patterns that are none", "[dataset][webdataset]") {
  Shards layout;
  layout.shard("s-0.tar", {{"a.mp4", "x"}, {"a.cls", "0"}});
  for (const char* pattern :
       {"s-{0..1.tar", "s-0}.tar", "s-}0{.tar", "s-{{0..1}}.tar", "s-{a..b}.tar", "s-{1..0}.tar", "s-{-1..0}.tar",
        "s-{0..}.tar", "s-{0..99999999999999999999}.tar", "s-{0..9999999999}.tar", "s-{0..99999}-{0..99999}.tar"}) {
    INFO(pattern);
    layout.config.train_files = {pattern};
    check_error(layout, "shards \"", pattern);
  }
}

TEST_CASE("webdataset: labels and members that are wrong are refused by name", "[dataset][webdataset]") {
  const Shards layout;
  const auto with = [&](std::vector<TarMember> members) {
    members.insert(members.begin(), {{"good.mp4", "x"}, {"good.cls", "0"}});
    layout.shard("train-0.tar", members);
  };
  for (const std::string text : {"", "x", "1.5", "1 2", "0x1", "99999999999999999999", "+1"}) {
    with({{"a.mp4", "x"}, {"a.cls", text}});
    check_error(layout, "train-0.tar: a.cls", "expected a whole number for a label, got \"" + text + "\"");
  }
  with({{"a.mp4", "x"}, {"a.cls", std::string("1\0002", 3)}});
  check_error(layout, "a.cls", "1\\x002");
  for (const char* text : {"-1", "100000", "9223372036854775807"}) {
    with({{"a.mp4", "x"}, {"a.cls", text}});
    check_error(layout, "a.cls", std::string("label ") + text + " is out of range 0 to 99999");
  }
  for (const char* text : {"\"abseiling\"", "1.0", "true", "null", "[1]", "18446744073709551616", "1e30"}) {
    with({{"a.mp4", "x"}, {"a.json", std::string("{\"label\": ") + text + "}"}});
    check_error(layout, "a.json", "expected a whole number for a label");
  }
  with({{"a.mp4", "x"}, {"a.json", R"({"label": 18446744073709551615})"}});
  check_error(layout, "a.json", "expected a whole number for a label");
  for (const std::string& text :
       {std::string("{"), std::string(), std::string("{\"label\": 1}}"), std::string(100000, '['),
        "{\"label\": " + std::string(500000, '[') + std::string(500000, ']') + "}", nested_objects(100000)}) {
    with({{"a.mp4", "x"}, {"a.json", text}});
    check_error(layout, "a.json", "not JSON");
  }
  with({{"a.mp4", "x"}, {"a.json", "[1]"}});
  check_error(layout, "a.mp4", "has no label");
  with({{"a.mp4", "x"}, {"b.cls", "1"}});
  check_error(layout, "a.mp4", "has no label");
  with({{"a.mp4", "x"}, {"a.cls", "1"}, {"a.json", R"({"label": 2})"}});
  check_error(layout, "a.json", "label 2, but 1 before");
  with({{"a.mp4", "x"}, {"a.cls", "1"}, {"a.mp4", "y"}});
  check_error(layout, "train-0.tar", "two members named a.mp4");
  with({{"a.mp4", "", "good.mp4"}, {"a.cls", "1"}});
  check_error(layout, "a.mp4", "expected a file, got a link");
  with({{"a.mp4", "x"}, {"a.cls", std::string((1 << 20) + 1, ' ')}});
  check_error(layout, "a.cls", "expected a label of at most");
  layout.shard("train-0.tar", {{"a.txt", "x"}, {"a.cls", "1"}});
  check_error(layout, "train-0.tar", "no video in it");
  layout.shard("train-0.tar", {});
  check_error(layout, "train-0.tar", "no video in it");
}

TEST_CASE("webdataset: compressed shards, sparse members and what is no tar are refused", "[dataset][webdataset]") {
  const Shards layout;
  const std::vector<TarMember> members{{"a.mp4", std::string(2000, 'x')}, {"a.cls", "1"}};
  for (const char* filter : {"gzip", "bzip2", "xz", "zstd"}) {
    INFO(filter);
    layout.shard("train-0.tar", members, "pax", filter);
    check_error(layout, "train-0.tar", std::string("the shard is compressed (") + filter);
  }
  std::string holes(1 << 20, '\0');
  holes.replace(0, 4, "data").replace(500000, 4, "more");
  layout.shard("train-0.tar", {{"a.mp4", holes, {}, {{0, 512}, {499712, 1024}}}, {"a.cls", "1"}});
  REQUIRE(fs::file_size(layout.path("train-0.tar")) < 100000);
  check_error(layout, "train-0.tar", "a.mp4 is stored sparse");
  layout.file("train-0.tar", "");
  check_error(layout, "train-0.tar", "empty");
  for (const std::string& text : {std::string("not a tar"), std::string(5000, 'x'), std::string("\x1F\x8B junk", 7)}) {
    layout.file("train-0.tar", text);
    check_error(layout, "train-0.tar", "");
  }
  // Nothing but the mark of the end.
  layout.file("train-0.tar", std::string(10240, '\0'));
  check_error(layout, "train-0.tar", "no video in it");
  fs::remove(layout.path("train-0.tar"));
  fs::create_directory(layout.path("train-0.tar"));
  check_error(layout, "train-0.tar", "no such file");
}

TEST_CASE("webdataset: a shard cut off anywhere is refused, or whole", "[dataset][webdataset]") {
  const std::string format = GENERATE("ustar", "pax", "gnutar");
  CAPTURE(format);
  const Shards layout;
  std::vector<TarMember> members;
  for (const char* name : {"a", "b", "c"}) {
    members.push_back({std::string(name) + ".mp4", std::string(1500, name[0])});
    members.push_back({std::string(name) + ".cls", "1"});
  }
  if (format != "ustar") members.push_back({long_name + ".mp4", "l"}), members.push_back({long_name + ".cls", "2"});
  layout.shard("train-0.tar", members, format);
  const std::string whole = test::read_file(layout.path("train-0.tar"));
  const std::size_t videos = members.size() / 2;
  REQUIRE(layout.load().videos.size() == videos);
  std::size_t refused = 0, complete = 0;
  // Near every border of a block, and in its middle.
  for (std::size_t block = 0; block < whole.size(); block += 512)
    for (const std::size_t length : {block, block + 1, block + 256, block + 511}) {
      layout.file("train-0.tar", whole.substr(0, length));
      const std::string message = layout.error();
      INFO(length << ": " << message);
      if (message == "no error") {
        CHECK(layout.load().videos.size() == videos);
        ++complete;
      } else {
        CHECK(message.find("train-0.tar") != std::string::npos);
        CHECK(complete == 0);
        // What comes first but for pax's own header is a.mp4: 512 bytes of header, 1500 of data.
        if (format != "pax" && length > 512 && length < 2012)
          CHECK(message.find(fmt::format("a.mp4 needs 1500 bytes from byte 512 on, the shard has {}", length)) !=
                std::string::npos);
        ++refused;
      }
    }
  CHECK(refused > 40);
  CHECK(complete > 0);
}

TEST_CASE("webdataset: bytes changed anywhere lead to a data set or a DataError", "[dataset][webdataset]") {
  const Shards layout;
  layout.shard(
      "train-0.tar",
      {{"a.mp4", std::string(700, 'x')}, {"a.cls", "1"}, {long_name + ".mp4", "y"}, {long_name + ".cls", "2"}});
  const std::string whole = test::read_file(layout.path("train-0.tar"));
  const auto size = static_cast<std::int64_t>(whole.size());
  Philox random(1, 2);
  int refused = 0;
  for (int i = 0; i < 1000; ++i) {
    std::string changed = whole;
    for (int k = 0; k < 1 + i % 4; ++k)
      changed[static_cast<std::size_t>(random.below(size))] = static_cast<char>(random.below(256));
    layout.file("train-0.tar", changed);
    const std::string message = layout.error();
    if (message == "no error")
      for (const VideoEntry& entry : layout.load().videos) CHECK(check_source(entry.source) == entry.source.bytes);
    else
      ++refused;
  }
  CHECK(refused > 50);
}

TEST_CASE("a video in a shard is the video as a file", "[webdataset][video]") {
  // A name with what FFmpeg's protocols split at.
  Shards layout;
  const std::string name = "train-a, b:c,,start,0,:%20'.tar";
  const std::string first = video_bytes(".mp4"), second = video_bytes(".avi"), third = video_bytes(".mkv", 20);
  layout.shard(name,
               {{"1.mp4", first}, {"1.cls", "0"}, {"2.avi", second}, {"2.cls", "1"}, {"3.mkv", third}, {"3.cls", "1"}});
  layout.file("1.mp4", first);
  layout.file("2.avi", second);
  layout.file("3.mkv", third);
  const Dataset dataset = layout.load();
  REQUIRE(dataset.videos.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    const std::string file = std::vector<std::string>{"1.mp4", "2.avi", "3.mkv"}[i];
    Video inside(dataset.videos[i].source, {.cache_bytes = 0});
    Video outside(layout.path(file), {.cache_bytes = 0});
    CHECK(inside.info().path == layout.path(name) + ":" + file);
    CHECK(inside.info().frames == (i == 2 ? 20 : 12));
    CHECK(inside.info().container == outside.info().container);
    // Backwards, so that seeks happen.
    for (std::int64_t f = inside.info().frames - 1; f >= 0; --f) {
      const std::vector<std::int64_t> wanted{f};
      CHECK(inside.frames(wanted).rgb == outside.frames(wanted).rgb);
    }
  }
}

TEST_CASE("a source that its file does not hold is refused", "[webdataset][video]") {
  const Shards layout;
  layout.file("f", std::string(1000, 'x'));
  for (const auto& [offset, bytes] : std::vector<std::pair<std::int64_t, std::int64_t>>{
           {900, 101}, {1000, 1}, {-1, 5}, {0, 1001}, {1, INT64_MAX}, {INT64_MAX, 1}}) {
    const VideoSource source(layout.path("f"), offset, bytes, "m");
    CHECK_THROWS_WITH(Video(source),
                      Catch::Matchers::ContainsSubstring(fmt::format(
                          "f:m: expected {} bytes from byte {} on, of a file that has 1000", bytes, offset)));
  }
  CHECK_THROWS_WITH(Video(VideoSource(layout.path("f"), 0, 0, "m")),
                    Catch::Matchers::ContainsSubstring("f:m: the file is empty"));
  CHECK_THROWS_WITH(Video(VideoSource(layout.path("f"), 0, 10, "m")),
                    Catch::Matchers::ContainsSubstring("f:m: not a video"));
  CHECK_THROWS_WITH(Video(VideoSource(layout.path("g"), 0, 10, "m")),
                    Catch::Matchers::ContainsSubstring("no such file"));
}

TEST_CASE("the loader's batches from shards are those from files", "[webdataset][loader]") {
  Shards layout;
  std::vector<TarMember> members;
  std::string list;
  for (int i = 0; i < 6; ++i) {
    const std::string name = std::to_string(i), ending = i % 2 == 0 ? ".mp4" : ".avi";
    members.push_back({name + ending, video_bytes(ending, 12, 32 + 2 * i)});
    members.push_back({name + ".cls", std::to_string(i % 3)});
    layout.file(name + ending, members[members.size() - 2].content);
    list += name + ending + " " + std::to_string(i % 3) + "\n";
  }
  layout.shard("train/0.tar", {members.begin(), members.begin() + 6});
  layout.shard("train/1.tar", {members.begin() + 6, members.end()});
  layout.file("train.txt", list);
  const Dataset from_shards = layout.load();
  layout.config.format = DatasetFormat::list;
  const Dataset from_files = layout.load();
  LoaderConfig config;
  config.batch = 2;
  config.clip = {4, 2};
  config.augment.size = 8;
  config.augment.resize_height = 10;
  config.augment.resize_width = 12;
  Loader one(from_shards, config, open_device("cpu"));
  config.threads = 3;
  Loader two(from_files, config, open_device("cpu"));
  for (int i = 0; i < 5; ++i) {
    const Batch a = one.next(), b = two.next();
    CHECK(a.videos == b.videos);
    CHECK(a.labels == b.labels);
    for (const auto view : {&Batch::view_a, &Batch::view_b})
      for (std::size_t v = 0; v < 2; ++v)
        CHECK(std::ranges::equal((a.*view).frames[v].bytes(), (b.*view).frames[v].bytes()));
  }
}

}  // namespace
}  // namespace mcn
