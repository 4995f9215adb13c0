// UCF101's split files: what is accepted, and that what is wrong is refused with file and line.
#include <filesystem>

#include "data/dataset.h"
#include "kernels/error.h"
#include "tests/catch.h"
#include "tests/data/videos.h"
#include "tests/temporary_folder.h"

namespace mcn {
namespace {

namespace fs = std::filesystem;

/// A data set of two classes with empty files for videos.
class Layout {
 public:
  explicit Layout(const std::string& splits = "ucf/ucfTrainTestlist") : splits_(folder_.file(splits)) {
    fs::create_directories(root());
    fs::create_directories(splits_);
    classes("1 Archery\n2 HandstandPushups\n");
    for (const char* name : {"Archery/v_Archery_g01_c01.avi", "Archery/v Archery 7.avi", "Archery/b.mp4",
                             "HandstandPushups/v_HandStandPushups_g01_c01.avi"}) {
      fs::create_directories((fs::path(root()) / name).parent_path());
      test::write_file(fs::path(root()) / name, "x");
    }
  }
  [[nodiscard]] std::string root() const { return folder_.file("ucf"); }
  [[nodiscard]] std::string splits() const { return splits_; }
  void classes(const std::string& text) { test::write_file(fs::path(splits_) / "classInd.txt", text); }
  void train(const std::string& text) { test::write_file(fs::path(splits_) / "trainlist01.txt", text); }
  void test_list(const std::string& text) { test::write_file(fs::path(splits_) / "testlist02.txt", text); }
  void second_train(const std::string& text) { test::write_file(fs::path(splits_) / "trainlist02.txt", text); }
  [[nodiscard]] Dataset load_train() const { return load_ucf101(root(), 1, Subset::train); }
  [[nodiscard]] std::string error() const {
    try {
      static_cast<void>(load_train());
    } catch (const DataError& e) {
      return e.what();
    }
    return "no error";
  }

 private:
  test::TemporaryFolder folder_;
  std::string splits_;
};

void check_error(const Layout& layout, const std::string& where, const std::string& what) {
  const std::string message = layout.error();
  INFO(message);
  CHECK(message.starts_with("[dataset] "));
  CHECK(message.find(where) != std::string::npos);
  CHECK(message.find(what) != std::string::npos);
  CHECK(message.find('\n') == std::string::npos);
}

TEST_CASE("recordings, by the names of UCF101 and HMDB51", "[dataset]") {
  for (const auto& [name, recording] : std::vector<std::pair<std::string, std::string>>{
           {"UCF/Biking/v_Biking_g08_c02.avi", "g08"},
           {"shard-0.tar:v_HandStandPushups_g25_c07.avi", "g25"},
           {"April_09_brush_hair_u_nm_np1_ba_goo_0.avi", "April_09_brush_hair"},
           {"x/A_Beautiful_Mind_3_wave_f_cm_np10_ri_bad_12.avi", "A_Beautiful_Mind_3_wave"},
           {"a/v_Biking_g_c02.avi", "a/v_Biking_g_c02.avi"},
           {"a/v_Biking_g-8_c02.avi", "a/v_Biking_g-8_c02.avi"},
           {"a/v_Biking_c02_g08.avi", "a/v_Biking_c02_g08.avi"},
           {"April_09_brush_hair_u_nm_np1_up_goo_0.avi", "April_09_brush_hair_u_nm_np1_up_goo_0.avi"},
           {"g1_c1", "g1_c1"},
           {"clip.mp4", "clip.mp4"},
           {"", ""}})
    CHECK(recording_of(VideoSource(name)) == recording);
}

TEST_CASE("a split file with labels", "[dataset]") {
  Layout layout;
  layout.train("Archery/v_Archery_g01_c01.avi 1\nHandstandPushups/v_HandStandPushups_g01_c01.avi 2\n");
  const Dataset d = layout.load_train();
  CHECK(d.classes == std::vector<std::string>{"Archery", "HandstandPushups"});
  REQUIRE(d.videos.size() == 2);
  CHECK(d.videos[0].source.path == layout.root() + "/Archery/v_Archery_g01_c01.avi");
  CHECK(d.videos[0].label == 0);
  CHECK(d.videos[1].label == 1);
}

TEST_CASE("spaces, blank lines, CRLF, a byte order mark and no labels", "[dataset]") {
  Layout layout;
  layout.classes(
      "\xEF\xBB\xBF"
      "2   HandstandPushups \r\n\r\n1 Archery\t\r\n");
  layout.train(
      "\xEF\xBB\xBF\r\n  Archery/v Archery 7.avi   1  \r\n\r\n\t\r\nArchery/b.mp4\t1\r\n"
      "Archery/v_Archery_g01_c01.avi");
  const Dataset d = layout.load_train();
  REQUIRE(d.videos.size() == 3);
  CHECK(d.videos[0].source.path == layout.root() + "/Archery/v Archery 7.avi");
  CHECK(d.videos[1].source.path == layout.root() + "/Archery/b.mp4");
  CHECK(d.classes[0] == "Archery");
}

TEST_CASE("a test list without labels, of another split", "[dataset]") {
  Layout layout;
  layout.test_list("HandstandPushups/v_HandStandPushups_g01_c01.avi\nArchery/v Archery 7.avi\n");
  const Dataset d = load_ucf101(layout.root() + "/", 2, Subset::test);
  REQUIRE(d.videos.size() == 2);
  CHECK(d.videos[0].label == 1);
  CHECK(d.videos[1].label == 0);
}

TEST_CASE("each split has its own lists, for training and for testing", "[dataset]") {
  Layout layout;
  layout.train("Archery/v_Archery_g01_c01.avi 1\nHandstandPushups/v_HandStandPushups_g01_c01.avi 2\n");
  layout.second_train("Archery/b.mp4 1\n");
  layout.test_list("Archery/v Archery 7.avi\n");
  const auto files = [&](int split, Subset subset) {
    std::vector<std::string> names;
    for (const VideoEntry& entry : load_ucf101(layout.root(), split, subset).videos)
      names.push_back(fs::path(entry.source.path).filename().string());
    return names;
  };
  CHECK(files(1, Subset::train) == std::vector<std::string>{"v_Archery_g01_c01.avi", "v_HandStandPushups_g01_c01.avi"});
  CHECK(files(2, Subset::train) == std::vector<std::string>{"b.mp4"});
  CHECK(files(2, Subset::test) == std::vector<std::string>{"v Archery 7.avi"});
  CHECK_THROWS_AS(load_ucf101(layout.root(), 1, Subset::test), DataError);  // there is no testlist01
}

TEST_CASE("HandstandPushups is found under either spelling", "[dataset]") {
  Layout layout;
  for (const char* line :
       {"HandStandPushups/v_HandStandPushups_g01_c01.avi 2", "HandstandPushups/v_HandstandPushups_g01_c01.avi 2",
        "HandStandPushups/v_HandstandPushups_g01_c01.avi"}) {
    INFO(line);
    layout.train(line);
    const Dataset d = layout.load_train();
    CHECK(d.videos[0].source.path == layout.root() + "/HandstandPushups/v_HandStandPushups_g01_c01.avi");
    CHECK(d.videos[0].label == 1);
  }
}

TEST_CASE("split files beside the videos' folder, or anywhere by name", "[dataset]") {
  Layout beside("ucfTrainTestlist");
  beside.train("Archery/b.mp4 1\n");
  CHECK(beside.load_train().videos.size() == 1);
  CHECK(load_ucf101(beside.root() + "/", 1, Subset::train).videos.size() == 1);
  Layout elsewhere("some/other/place");
  elsewhere.train("Archery/b.mp4 1\n");
  CHECK(load_ucf101(elsewhere.root(), 1, Subset::train, elsewhere.splits()).videos.size() == 1);
  CHECK(elsewhere.error().find("no split files") != std::string::npos);
  CHECK_THROWS_AS(load_ucf101(elsewhere.root(), 1, Subset::train, elsewhere.root() + "/absent"), DataError);
}

TEST_CASE("lines that are wrong are refused with file and line", "[dataset]") {
  Layout layout;
  const std::string good = "Archery/b.mp4 1\n\n";
  layout.train(good + "Archerry/x.avi 1\n");
  check_error(layout, "trainlist01.txt:3", "class Archerry is not in");
  layout.train(good + "Archery/v Archery 7.avi 1\nArchery/b.mp4 1\n");
  check_error(layout, "trainlist01.txt:4", "duplicate of line 1");
  for (const std::string same : {"Archery//b.mp4", "Archery/./b.mp4"}) {
    layout.train(good + same + " 1\n");
    check_error(layout, "trainlist01.txt:3", "duplicate of line 1");
  }
  layout.train(good + "Archery/.\n");
  check_error(layout, "trainlist01.txt:3", "Archery/. is not in");
  layout.train(good + "Archery/v Archery 7.avi 2\n");
  check_error(layout, "trainlist01.txt:3", "label 2 disagrees");
  for (const char* label : {"0", "3", "-1", "9223372036854775807"}) {
    layout.train(good + "Archery/v Archery 7.avi " + label + "\n");
    check_error(layout, "trainlist01.txt:3", std::string("label ") + label + " is out of range 1 to 2");
  }
  layout.train(good + "Archery/absent.avi 1\n");
  check_error(layout, "trainlist01.txt:3", "Archery/absent.avi is not in");
  layout.train(good + "Archery/../../secret.avi 1\n");
  check_error(layout, "trainlist01.txt:3", "leads out");
  for (const char* line : {"b.mp4 1", "/Archery/b.mp4 1", "Archery/"}) {
    layout.train(good + line + "\n");
    check_error(layout, "trainlist01.txt:3", "\"");
  }
}

TEST_CASE("class files that are wrong are refused with file and line", "[dataset]") {
  Layout layout;
  layout.train("Archery/b.mp4 1\n");
  layout.classes("1 Archery\n3 HandstandPushups\n");
  check_error(layout, "classInd.txt:2", "class id 3 is out of range 1 to 2");
  layout.classes("1 Archery\n0 HandstandPushups\n");
  check_error(layout, "classInd.txt:2", "class id 0");
  layout.classes("1 Archery\n1 HandstandPushups\n");
  check_error(layout, "classInd.txt:2", "class id 1 is Archery already");
  layout.classes("1 Archery\n\n2 Archery\n");
  check_error(layout, "classInd.txt:3", "duplicate class Archery");
  for (const char* line : {"Archery", "one Archery", "1x Archery"}) {
    layout.classes(line);
    check_error(layout, "classInd.txt:1", "expected \"ID CLASS\"");
  }
}

TEST_CASE("folders and files that are missing or empty are refused", "[dataset]") {
  Layout layout;
  check_error(layout, "trainlist01.txt", "no such file");
  layout.train(" \r\n\n");
  check_error(layout, "trainlist01.txt", "empty");
  layout.classes("");
  layout.train("Archery/b.mp4 1\n");
  check_error(layout, "classInd.txt", "empty");
  const test::TemporaryFolder folder;
  fs::create_directory(folder.file("nothing"));
  CHECK_THROWS_WITH(load_ucf101(folder.file("nothing"), 1, Subset::train),
                    Catch::Matchers::ContainsSubstring("the folder is empty"));
  CHECK_THROWS_WITH(load_ucf101(folder.file("absent"), 1, Subset::train),
                    Catch::Matchers::ContainsSubstring("no such folder"));
  CHECK_THROWS_AS(load_ucf101(layout.root(), 0, Subset::train), UsageError);
}

}  // namespace
}  // namespace mcn
