// Plain lists of paths and labels.
#include "kernels/error.h"
#include "tests/data/layout.h"

namespace mcn {
namespace {

using test::check_error;
using test::Layout;
using test::Rows;

TEST_CASE("list: the label is the last field, whatever is in the path", "[dataset][list]") {
  Layout layout(DatasetFormat::list);
  for (const char* name : {"a.mp4", "b/two words.avi", "b/ends in 3.avi", "3"}) layout.file(name);
  layout.file("train.txt", "\xEF\xBB\xBF a.mp4 0\r\n\r\nb/two words.avi\t2 \nb/ends in 3.avi   1\n3 4\n" +
                               layout.path("./a.mp4") + "x 0");
  check_error(layout, "train.txt:6", "a.mp4x is neither in");
  layout.file("train.txt", "\xEF\xBB\xBF a.mp4 0\r\n\r\nb/two words.avi\t2 \nb/ends in 3.avi   1\n3 4");
  CHECK(layout.rows() == Rows{{"a.mp4", 0}, {"b/two words.avi", 2}, {"b/ends in 3.avi", 1}, {"3", 4}});
  CHECK(layout.load().classes == std::vector<std::string>{"0", "1", "2", "3", "4"});
}

TEST_CASE("list: paths are absolute, or relative to the list's folder or to the root", "[dataset][list]") {
  Layout layout(DatasetFormat::list);
  layout.file("a.mp4");
  layout.file("../lists/b.mp4");
  layout.file("../lists/train.txt", "a.mp4 0\nb.mp4 1\n");
  layout.config.splits_dir = layout.path("../lists");
  const Dataset dataset = layout.load();
  REQUIRE(dataset.videos.size() == 2);
  CHECK(dataset.videos[0].source.path == layout.path("a.mp4"));
  CHECK(std::filesystem::equivalent(dataset.videos[1].source.path, layout.path("../lists/b.mp4")));
  layout.file("../lists/train.txt", layout.path("a.mp4") + " 7\n");
  CHECK(layout.rows() == Rows{{"a.mp4", 7}});
}

TEST_CASE("list: val.txt or test.txt tests, or what is named", "[dataset][list]") {
  Layout layout(DatasetFormat::list);
  for (const char* name : {"a.mp4", "b.mp4", "c.mp4"}) layout.file(name);
  layout.file("train.txt", "a.mp4 0\n");
  check_error(layout, "no list of test videos", "val.txt", Subset::test);
  layout.file("test.txt", "b.mp4 0\n");
  CHECK(layout.rows(Subset::test) == Rows{{"b.mp4", 0}});
  layout.file("mine.txt", "c.mp4 0\n");
  layout.config.test_files = {"mine.txt", "test.txt"};
  CHECK(layout.rows(Subset::test) == Rows{{"c.mp4", 0}, {"b.mp4", 0}});
  CHECK(layout.rows() == Rows{{"a.mp4", 0}});
}

TEST_CASE("list: Kinetics as PATH LABEL in train.csv and val.csv, by blanks or commas", "[dataset][list]") {
  Layout layout(DatasetFormat::automatic);
  for (const char* name : {"a.mp4", "two words.mp4", "b,c.mp4", "1.mp4"}) layout.file(name);
  const Rows expected{{"a.mp4", 3}, {"two words.mp4", 0}, {"b,c.mp4", 1}, {"1.mp4", 2}};
  for (const char* text : {"a.mp4 3\ntwo words.mp4 0\nb,c.mp4 1\n1.mp4 2\n",
                           "\xEF\xBB\xBF"
                           "a.mp4,3\r\ntwo words.mp4,0\r\nb,c.mp4,1\r\n1.mp4 , 2\r\n"}) {
    layout.file("train.csv", text);
    layout.file("val.csv", "a.mp4,1\n");
    CHECK(detect_format(layout.config) == DatasetFormat::list);
    CHECK(layout.rows() == expected);
    CHECK(layout.rows(Subset::test) == Rows{{"a.mp4", 1}});
  }
  layout.config.train_files = {"val.csv"};
  CHECK(layout.rows() == Rows{{"a.mp4", 1}});
  layout.config.train_files.clear();
  layout.file("train.csv", "label,youtube_id,time_start,time_end,split\nx,a,1,2,train\n");
  CHECK(detect_format(layout.config) == DatasetFormat::kinetics);
  layout.file("train.csv", "zumba,aaaaaaaaaaa,10,20\n");
  CHECK(detect_format(layout.config) == DatasetFormat::kinetics);
  check_error(layout, "train.csv:1", "expected a header");
  layout.config.format = DatasetFormat::kinetics;
  layout.file("train.csv", "a.mp4 3\n");
  check_error(layout, "train.csv:1", "got a list of paths and labels");
}

TEST_CASE("list: lines that are wrong are refused with file and line", "[dataset][list]") {
  Layout layout(DatasetFormat::list);
  layout.file("a.mp4");
  layout.file("b.mp4");
  const auto line = [&](const std::string& text) { layout.file("train.txt", "a.mp4 0\n\n" + text); };
  for (const char* text : {"b.mp4", "b.mp4 x", "b.mp4 1.0", "b.mp4 +1", "b.mp4 99999999999999999999", "b.mp4 0x1"}) {
    line(text);
    check_error(layout, "train.txt:3", std::string("got \"") + text + "\"");
  }
  for (const char* label : {"-1", "100000", "9223372036854775807"}) {
    line(std::string("b.mp4 ") + label);
    check_error(layout, "train.txt:3", std::string("label ") + label + " is out of range 0 to 99999");
  }
  line("absent.mp4 1");
  check_error(layout, "train.txt:3", "absent.mp4 is neither in");
  layout.file("folder/c.mp4");
  line("folder 1");
  check_error(layout, "train.txt:3", "folder is neither in");
  line("./a.mp4 1");
  check_error(layout, "train.txt:3", "duplicate of " + layout.path("train.txt") + ":1");
  line(std::string("b.mp4\0 1", 8));
  check_error(layout, "train.txt:3", "NUL");
  line("\x01" + std::string(100000, 'y'));
  check_error(layout, "train.txt:3", "\\x01yyy");
  CHECK(layout.error().size() < 1000);
  layout.file("train.txt", "\n \n");
  check_error(layout, "train.txt", "empty");
  std::filesystem::remove(layout.path("train.txt"));
  std::filesystem::create_directory(layout.path("train.txt"));
  check_error(layout, "no list of train videos", "train.txt");
}

TEST_CASE("list: one that the system fails to read is not the list's fault, and is named", "[dataset][list]") {
  Layout layout(DatasetFormat::list);
  layout.file("a.mp4");
  // A file by all signs, whose first byte gives "Input/output error".
  std::filesystem::create_symlink("/proc/self/mem", layout.path("train.txt"));
  CHECK_THROWS_MATCHES(layout.load(), SystemError,
                       Catch::Matchers::Message("[dataset] " + layout.path("train.txt") +
                                                ": Input/output error; the system or the disk fails, which is no fault "
                                                "of the file's content"));
}

TEST_CASE("list: an error quotes the name of a file in one line", "[dataset][list]") {
  Layout layout(DatasetFormat::list);
  layout.file("a.mp4");
  layout.config.train_files = {"no\nsuch\r.txt"};
  check_error(layout, "no\\x0asuch\\x0d.txt", "no such file");
}

TEST_CASE("list: the first of many faults is thrown, the others are counted", "[dataset][list]") {
  Layout layout(DatasetFormat::list);
  layout.file("train.txt", "x 0\ny 0\nz 0\n");
  check_error(layout, "train.txt:1", "(and 2 more faults");
}

}  // namespace
}  // namespace mcn
