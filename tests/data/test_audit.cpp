// The audit: what is wrong with a data set is found, what is right is left alone, and threads change nothing.
#include <algorithm>

#include "data/audit.h"
#include "data/container.h"
#include "engine/random.h"
#include "tests/data/layout.h"
#include "tests/data/shards.h"

namespace mcn {
namespace {

namespace fs = std::filesystem;
using test::Layout;

struct AuditedSet : Layout {
  AuditedSet() : Layout(DatasetFormat::ucf101) {
    file("ucfTrainTestlist/classInd.txt", "1 Archery\n2 Basketball\n");
    lists("Archery/a.avi 1\nBasketball/b.mp4 2\nArchery/c.mkv 1\n", "Basketball/d.avi\n");
    int width = 32;
    for (const char* name : {"Archery/a.avi", "Basketball/b.mp4", "Archery/c.mkv", "Basketball/d.avi"})
      video(name, 20, width += 2);
  }
  void lists(const std::string& train, const std::string& test_list) const {
    file("ucfTrainTestlist/trainlist01.txt", train);
    file("ucfTrainTestlist/testlist01.txt", test_list);
  }
  void video(const std::string& name, int frames, int width = 32) const {
    fs::create_directories(fs::path(path(name)).parent_path());
    test::encode(path(name), {.codec = "mpeg4", .width = width, .height = 32, .gop = 5}, frames);
  }
  [[nodiscard]] AuditReport look(bool decode = false, int threads = 2) const {
    AuditConfig c;
    c.dataset = config;
    c.decode = decode;
    c.threads = threads;
    return audit(c);
  }
};

/// "missing train Archery/x.avi" a finding; the details apart.
std::vector<std::string> findings(const AuditReport& report, const Layout& layout) {
  std::vector<std::string> result;
  for (const AuditFinding& f : report.findings) {
    std::string video = f.video;
    if (video.starts_with(layout.config.root + "/")) video.erase(0, layout.config.root.size() + 1);
    result.push_back(std::string(name_of(f.fault)) + (f.subset == Subset::train ? " train " : " test ") + video);
  }
  return result;
}

using Found = std::vector<std::string>;

TEST_CASE("a data set with nothing wrong is clean", "[audit]") {
  const AuditedSet set;
  for (const bool decode : {false, true}) {
    const AuditReport report = set.look(decode);
    CHECK(report.clean());
    CHECK(findings(report, set) == Found{});
    CHECK(report.listed == 4);
    CHECK(report.checked == 4);
    CHECK(report.unlisted == 0);
    CHECK(report.frames == (decode ? 80 : 64));
    CHECK(report.bytes > 4000);
  }
}

TEST_CASE("a file that the other subset's list names is listed, also where that subset is not looked at", "[audit]") {
  const AuditedSet set;
  set.file("Archery/nobody's.avi", "x");
  AuditConfig config;
  config.dataset = set.config;
  config.subsets = {GENERATE(Subset::train, Subset::test)};
  CHECK(audit(config).unlisted == 1);
  // Without the other list its files are listed nowhere: one is, of the test list, and three, of the training list.
  const bool train = config.subsets[0] == Subset::train;
  fs::remove(set.path(train ? "ucfTrainTestlist/testlist01.txt" : "ucfTrainTestlist/trainlist01.txt"));
  CHECK(audit(config).unlisted == (train ? 2 : 4));
}

TEST_CASE("missing, corrupt, short, duplicate and mislabelled videos are found, in any number of threads", "[audit]") {
  const AuditedSet set;
  set.lists(
      "Archery/absent.avi 1\nArchery/a.avi 1\nArchery/text.avi 1\nBasketball/b.mp4 2\nArchery/c.mkv 2\n"
      "Archery/empty.mp4 1\nBasketball/short.avi 2\nArchery/a.avi 1\nArchery/copy.avi 1\nArchery/lost.avi 1\n",
      "Basketball/d.avi\nArchery/a_too.avi\nBasketball/b.mp4\n");
  set.file("Archery/text.avi", "not a video");
  set.file("Archery/empty.mp4", "");
  set.video("Basketball/short.avi", 15);
  set.video("Basketball/lost.avi", 16, 64);
  set.file("Archery/copy.avi", test::read_file(set.path("Archery/a.avi")));
  set.file("Archery/a_too.avi", test::read_file(set.path("Archery/a.avi")));
  // The same size, other bytes.
  std::string other = test::read_file(set.path("Archery/a.avi"));
  std::ranges::reverse(other);
  set.file("Basketball/nobody's.avi", other);
  const int threads = GENERATE(1, 5);
  const AuditReport report = set.look(false, threads);
  CHECK(findings(report, set) == Found{"missing train Archery/absent.avi", "corrupt train Archery/text.avi",
                                       "corrupt train Archery/empty.mp4", "short train Basketball/short.avi",
                                       "duplicate train Archery/a.avi", "duplicate test Basketball/b.mp4",
                                       "duplicate train Archery/copy.avi", "duplicate test Archery/a_too.avi",
                                       "mislabelled train Archery/c.mkv", "mislabelled train Archery/lost.avi"});
  CHECK_FALSE(report.clean());
  CHECK(report.count(AuditFault::missing) == 1);
  CHECK(report.count(AuditFault::corrupt) == 2);
  CHECK(report.count(AuditFault::too_short) == 1);
  CHECK(report.count(AuditFault::duplicate) == 4);
  CHECK(report.count(AuditFault::mislabelled) == 2);
  CHECK(report.listed == 11);
  CHECK(report.checked == 10);
  CHECK(report.unlisted == 1);
  const auto detail = [&](const std::string& video) {
    const auto found = std::ranges::find_if(report.findings, [&](const auto& f) { return f.video.ends_with(video); });
    return found == report.findings.end() ? "none" : found->detail;
  };
  CHECK(detail("absent.avi").find("trainlist01.txt:1: ") != std::string::npos);
  CHECK(detail("short.avi") == "15 frames, a clip needs 16");
  CHECK(detail("text.avi").starts_with("not a video file"));
  CHECK(detail("empty.mp4") == "the file is empty");
  CHECK(detail("a_too.avi") == "the same bytes as " + set.path("Archery/a.avi") + " (train)");
  CHECK(detail("b.mp4") == "in the lists of train and of test");
  CHECK(detail("lost.avi").find("is in the folder Basketball") != std::string::npos);
}

TEST_CASE("files of one size with other bytes are no duplicates", "[audit]") {
  const AuditedSet set;
  // Bytes that no decoder looks at.
  const std::string bytes = test::read_file(set.path("Archery/c.mkv"));
  set.file("Archery/c.mkv", bytes + "x");
  set.file("Basketball/e.mkv", bytes + "y");
  set.lists("Archery/c.mkv\nBasketball/e.mkv\n", "Basketball/d.avi\n");
  CHECK(set.look().count(AuditFault::duplicate) == 0);
  set.file("Basketball/e.mkv", bytes + "x");
  const AuditReport report = set.look();
  REQUIRE(report.count(AuditFault::duplicate) == 1);
  CHECK(report.findings.back().detail.ends_with("(train, with another label)"));
}

TEST_CASE("a file that is cut off is corrupt, also behind its first clip", "[audit]") {
  const AuditedSet set;
  // With what tells of all frames in front, an MP4 file can be read as far as it goes.
  for (const std::string name : {"Archery/a.avi", "Basketball/b.mp4", "Archery/c.mkv"}) {
    set.video(name, 100, 64);
    if (name.ends_with(".mp4"))
      REQUIRE(std::system(("ffmpeg -v quiet -nostdin -y -i '" + set.path(name) + "' -c copy -movflags faststart '" +
                           set.path("Basketball/fast.mp4") + "'")
                              .c_str()) == 0);
    const std::string file = name.ends_with(".mp4") ? "Basketball/fast.mp4" : name;
    const std::string whole = test::read_file(set.path(file));
    set.lists(file + "\n", "Basketball/d.avi\n");
    CHECK(set.look(true).clean());
    for (const std::size_t percent : {1, 20, 50, 90, 99}) {
      INFO(file << ", " << percent << "%");
      set.file(file, whole.substr(0, whole.size() * percent / 100));
      CHECK(findings(set.look(false), set) == Found{"corrupt train " + file});
      CHECK(findings(set.look(true), set) == Found{"corrupt train " + file});
    }
  }
}

TEST_CASE("what follows a video in its file cuts nothing off", "[audit]") {
  const AuditedSet set;
  for (const char* name : {"Archery/a.avi", "Basketball/b.mp4", "Archery/c.mkv"})
    for (const std::string& more : {std::string("x"), std::string(20, 'y'), std::string(5000, '\0')}) {
      INFO(name << " and " << more.size() << " bytes");
      const std::string whole = test::read_file(set.path(name));
      set.file(name, whole + more);
      CHECK(set.look(true).clean());
      set.file(name, whole);
    }
}

TEST_CASE("headers of containers with bytes changed anywhere say something or nothing", "[audit]") {
  const AuditedSet set;
  Philox random(5, 6);
  int said = 0;
  for (const char* name : {"Archery/a.avi", "Basketball/b.mp4", "Archery/c.mkv"}) {
    const std::string whole = test::read_file(set.path(name));
    REQUIRE(declared_bytes(set.path(name)).value_or(-1) >= static_cast<std::int64_t>(whole.size()) - 8);
    for (int i = 0; i < 400; ++i) {
      std::string changed = whole.substr(0, i % 10 == 0 ? static_cast<std::size_t>(i) / 10 + 1 : whole.size());
      for (int k = 0; k < 2 && !changed.empty(); ++k)
        changed[static_cast<std::size_t>(random.below(std::min<std::int64_t>(
            64, static_cast<std::int64_t>(changed.size()))))] = static_cast<char>(random.below(256));
      set.file("changed", changed);
      if (const auto bytes = declared_bytes(set.path("changed"))) {
        CHECK(*bytes > 0);
        ++said;
      }
    }
  }
  CHECK(said > 100);
}

TEST_CASE("damage behind the first clip shows if all is decoded", "[audit]") {
  const AuditedSet set;
  // Of Matroska and MP4 nothing but the pictures is damaged; the AVI file has lost pictures that its header promises.
  for (const std::string name : {"Archery/c.mkv", "Basketball/b.mp4", "Archery/a.avi"}) {
    INFO(name);
    set.video(name, 60, 64);
    const std::string whole = test::read_file(set.path(name));
    std::string bytes = whole;
    const bool avi = name.ends_with(".avi");
    const std::string_view start = avi ? std::string_view("00dc") : std::string_view("\0\0\1\xB6", 4);
    int frame = 0;
    for (auto at = bytes.find(start, avi ? bytes.find("movi") : 0);
         at != std::string::npos && (!avi || at < bytes.find("idx1")); at = bytes.find(start, at + 4))
      if (frame++ >= 40) bytes.replace(avi ? at + 4 : at, 4, avi ? std::string(4, '\0') : std::string(4, '\xAA'));
    CHECK(frame == 60);
    set.file(name, bytes);
    set.lists(name + "\n", "Basketball/d.avi\n");
    CHECK(set.look(false).clean());
    const AuditReport report = set.look(true);
    REQUIRE(findings(report, set) == Found{"corrupt train " + name});
    const std::string& detail = report.findings[0].detail;
    CHECK(detail.find(avi ? "its header promises 60" : "damaged packets") != std::string::npos);
    set.file(name, whole);
  }
}

TEST_CASE("an MP4 file whose frames lie behind its end is corrupt", "[audit]") {
  const AuditedSet set;
  const std::string name = "Basketball/b.mp4";
  set.video(name, 60, 64);
  std::string bytes = test::read_file(set.path(name));
  // The sizes of the samples: after the box's version, a size for all (0) and their number, four bytes each.
  const auto table = bytes.find("stsz");
  REQUIRE(table != std::string::npos);
  for (int i = 40; i < 60; ++i) bytes[table + 16 + static_cast<std::size_t>(i) * 4 + 1] = '\x10';
  set.file(name, bytes);
  set.lists(name + "\n", "Basketball/d.avi\n");
  CHECK(set.look(false).clean());
  const AuditReport report = set.look(true);
  REQUIRE(findings(report, set) == Found{"corrupt train " + name});
  INFO(report.findings[0].detail);
  CHECK(report.findings[0].detail.starts_with("cut off after "));
}

TEST_CASE("in a plain list, a folder's odd one out is mislabelled", "[audit]") {
  AuditedSet set;
  set.config.format = DatasetFormat::list;
  set.video("Archery/e.avi", 16, 60);
  set.video("Basketball/f.avi", 16, 62);
  set.video("Basketball/g.avi", 16, 64);
  const auto audited = [&](const std::string& list) {
    set.file("train.txt", list);
    AuditConfig c;
    c.dataset = set.config;
    c.subsets = {Subset::train};
    return findings(audit(c), set);
  };
  CHECK(audited("Archery/a.avi 0\nArchery/c.mkv 0\nArchery/e.avi 1\nBasketball/b.mp4 1\nBasketball/d.avi 1\n") ==
        Found{"mislabelled train Archery/e.avi"});
  // Folders that are no classes: a folder for both, or labels that no folder has for its own.
  CHECK(audited("Archery/a.avi 0\nArchery/c.mkv 0\nArchery/e.avi 1\n") == Found{});
  CHECK(audited("Archery/a.avi 0\nArchery/c.mkv 1\nBasketball/b.mp4 1\nBasketball/d.avi 0\n") == Found{});
  CHECK(audited("Archery/a.avi 0\nArchery/c.mkv 0\nArchery/e.avi 2\nBasketball/b.mp4 1\n") == Found{});
}

TEST_CASE("hmdb51: what is neither trained nor tested on is named all the same", "[audit]") {
  AuditedSet set;
  set.config.format = DatasetFormat::hmdb51;
  set.file("Archery_test_split1.txt", "a.avi 1\nc.mkv 0\n");
  set.file("Basketball_test_split1.txt", "b.mp4 2\n");
  const AuditReport report = set.look();
  CHECK(report.clean());
  CHECK(report.listed == 2);
  CHECK(report.unlisted == 1);  // d.avi
}

TEST_CASE("kinetics: what is missing is listed, though training leaves it out", "[audit]") {
  AuditedSet set;
  set.config.format = DatasetFormat::kinetics;
  set.file("train.csv", "label,youtube_id,time_start,time_end\nArchery,x,1,2\nArchery,gone,1,2\n");
  set.file("val.csv", "label,youtube_id,time_start,time_end\nArchery,y,1,2\n");
  fs::rename(set.path("Archery/a.avi"), set.path("Archery/x_000001_000002.avi"));
  fs::rename(set.path("Basketball/d.avi"), set.path("y.avi"));
  CHECK(set.load().absent == 1);
  const AuditReport report = set.look();
  CHECK(findings(report, set) == Found{"missing train gone_000001_000002"});
  CHECK(report.listed == 3);
  CHECK(report.unlisted == 2);
}

TEST_CASE("webdataset: videos in shards are looked at where they are", "[audit]") {
  AuditedSet set;
  const auto bytes = [&](const char* name) { return test::read_file(set.path(name)); };
  fs::create_directory(set.path("train"));
  fs::create_directory(set.path("val"));
  test::write_tar(set.path("train/0.tar"), {{"a.avi", bytes("Archery/a.avi")},
                                            {"a.cls", "0"},
                                            {"bad.mp4", "nothing"},
                                            {"bad.cls", "0"},
                                            {"empty.mp4", ""},
                                            {"empty.cls", "0"}});
  test::write_tar(set.path("val/0.tar"), {{"b.avi", bytes("Archery/a.avi")}, {"b.cls", "1"}});
  set.file("old/1.tar", "x");
  set.config.format = DatasetFormat::webdataset;
  const AuditReport report = set.look();
  CHECK(findings(report, set) == Found{"corrupt train train/0.tar:bad.mp4", "corrupt train train/0.tar:empty.mp4",
                                       "duplicate test val/0.tar:b.avi"});
  CHECK(report.listed == 4);
  CHECK(report.unlisted == 1);
}

TEST_CASE("progress counts to the end, and may stop the audit", "[audit]") {
  const AuditedSet set;
  set.file("Archery/c.mkv", test::read_file(set.path("Archery/a.avi")));
  AuditConfig c;
  c.dataset = set.config;
  std::vector<std::int64_t> calls;
  std::int64_t last_total = 0;
  audit(c, [&](std::int64_t done, std::int64_t total) {
    calls.push_back(done);
    last_total = total;
  });
  // Some are the same: it is called for files that take their time, too.
  CHECK(std::ranges::is_sorted(calls));
  std::erase(calls, 0);
  calls.erase(std::unique(calls.begin(), calls.end()), calls.end());
  // Four to open, and two that share a size to compare.
  CHECK(calls == std::vector<std::int64_t>{1, 2, 3, 4, 5, 6});
  CHECK(last_total == 6);
  CHECK_THROWS_AS(audit(c, [](std::int64_t, std::int64_t) { throw std::runtime_error("stop"); }), std::runtime_error);
}

TEST_CASE("a file that takes longer than it may is stuck, and not corrupt", "[audit]") {
  const AuditedSet set;
  set.file("Archery/c.mkv", test::read_file(set.path("Archery/a.avi")));
  set.file("Basketball/b.mp4", "not a video");
  AuditConfig c;
  c.dataset = set.config;
  c.decode = GENERATE(false, true);
  c.timeout_seconds = 1000;
  CHECK(findings(audit(c), set) == Found{"corrupt train Basketball/b.mp4", "duplicate train Archery/c.mkv"});
  c.timeout_seconds = 1e-9;
  const AuditReport report = audit(c);
  CHECK(report.count(AuditFault::stuck) == 4);
  CHECK(report.findings.size() == 4);
  CHECK(report.checked == 4);
  c.timeout_seconds = -1;
  CHECK_THROWS_AS(audit(c), UsageError);
}

TEST_CASE("lists that cannot be read, and settings without sense, are errors", "[audit]") {
  const AuditedSet set;
  AuditConfig c;
  c.dataset = set.config;
  c.threads = 0;
  CHECK_THROWS_AS(audit(c), UsageError);
  c.threads = 1;
  c.frames = 0;
  CHECK_THROWS_AS(audit(c), UsageError);
  set.file("ucfTrainTestlist/testlist01.txt", "Swimming/x.avi\n");
  CHECK_THROWS_AS(set.look(), DataError);
  c.frames = 16;
  c.subsets = {Subset::train};
  CHECK(audit(c).listed == 3);
}

}  // namespace
}  // namespace mcn
