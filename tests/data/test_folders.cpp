// Folders of videos without lists, and lists without numbers.
#include "tests/data/layout.h"

namespace mcn {
namespace {

using test::check_error;
using test::Layout;
using test::Rows;

TEST_CASE("folder: class folders without lists, of which every fifth video is for testing", "[dataset][folder]") {
  Layout layout(DatasetFormat::automatic);
  for (const char* name : {"walk/a.mp4", "walk/b.mp4", "walk/c.mp4", "walk/d.mp4", "walk/e.mp4", "walk/f.mp4",
                           "run/x.avi", "run/deeper/y.AVI", "run/notes.txt", ".hidden", "read me.md"})
    layout.file(name);
  CHECK(detect_format(layout.config) == DatasetFormat::folder);
  const Dataset train = layout.load();
  CHECK(train.classes == std::vector<std::string>{"run", "walk"});
  CHECK(train.note.find("every fifth video of a class is for testing") != std::string::npos);
  CHECK(layout.rows() == Rows{{"run/deeper/y.AVI", 0},
                              {"run/x.avi", 0},
                              {"walk/a.mp4", 1},
                              {"walk/b.mp4", 1},
                              {"walk/c.mp4", 1},
                              {"walk/d.mp4", 1},
                              {"walk/f.mp4", 1}});
  CHECK(layout.rows(Subset::test) == Rows{{"walk/e.mp4", 1}});
  CHECK(layout.load(Subset::test).classes == train.classes);
}

TEST_CASE("folder: train and val folders, with the classes of both", "[dataset][folder]") {
  Layout layout(DatasetFormat::automatic);
  for (const char* name : {"train/b/1.mp4", "train/a/2.mp4", "val/c/3.mp4", "val/a/4.mp4", "other/5.mp4"})
    layout.file(name);
  CHECK(layout.rows() == Rows{{"train/a/2.mp4", 0}, {"train/b/1.mp4", 1}});
  CHECK(layout.rows(Subset::test) == Rows{{"val/a/4.mp4", 0}, {"val/c/3.mp4", 2}});
  CHECK(layout.load().classes == std::vector<std::string>{"a", "b", "c"});
  CHECK(layout.load().note.empty());
}

TEST_CASE("folder: videos without classes are for training", "[dataset][folder]") {
  Layout layout(DatasetFormat::automatic);
  layout.file("b.mp4");
  layout.file("clips/2024/a.mkv");
  CHECK(layout.rows() == Rows{{"b.mp4", -1}, {"clips/2024/a.mkv", -1}});
  CHECK(layout.load().classes.empty());
  check_error(layout, "videos without classes are for training alone", "test beside", Subset::test);
  // One folder is no class.
  Layout single(DatasetFormat::folder);
  for (const char* name : {"all/1.mp4", "all/2.mp4"}) single.file(name);
  CHECK(single.rows() == Rows{{"all/1.mp4", -1}, {"all/2.mp4", -1}});
  // With a test folder, there are test videos, too.
  Layout divided(DatasetFormat::folder);
  for (const char* name : {"train/1.mp4", "test/2.mp4"}) divided.file(name);
  CHECK(divided.rows(Subset::test) == Rows{{"test/2.mp4", -1}});
}

TEST_CASE("folder: what has no videos, or not those that are wanted, is refused", "[dataset][folder]") {
  Layout layout(DatasetFormat::folder);
  layout.file("readme.txt");
  check_error(layout, "no file with the ending of a video", "set");
  layout.file("train/a/1.mp4");
  check_error(layout, "no test videos", "which has train", Subset::test);
  Layout few(DatasetFormat::folder);
  for (const char* name : {"a/1.mp4", "b/2.mp4"}) few.file(name);
  check_error(few, "no class has five", "every fifth", Subset::test);
  few.config.split = 2;
  CHECK_THROWS_AS(few.load(), UsageError);
}

TEST_CASE("folder: lists and tables go first", "[dataset][folder]") {
  Layout layout(DatasetFormat::automatic);
  for (const char* name : {"a/1.mp4", "b/2.mp4"}) layout.file(name);
  layout.file("train.txt", "a/1.mp4 0\n");
  CHECK(detect_format(layout.config) == DatasetFormat::list);
}

TEST_CASE("list: paths without labels", "[dataset][list]") {
  Layout layout(DatasetFormat::automatic);
  for (const char* name : {"a.mp4", "two words.mp4", "b,c.mp4"}) layout.file(name);
  layout.file("train.txt", "a.mp4\ntwo words.mp4\n\nb,c.mp4\n");
  CHECK(detect_format(layout.config) == DatasetFormat::list);
  CHECK(layout.rows() == Rows{{"a.mp4", -1}, {"two words.mp4", -1}, {"b,c.mp4", -1}});
  CHECK(layout.load().classes.empty());
  layout.file("train.txt", "a.mp4\na.mp4\n");
  check_error(layout, "train.txt:2", "duplicate of");
  layout.file("train.txt", "a.mp4\nno.mp4\n");
  check_error(layout, "train.txt:2", "no.mp4 is neither in");
}

TEST_CASE("list: names for labels have the same ids in both subsets", "[dataset][list]") {
  Layout layout(DatasetFormat::list);
  for (const char* name : {"a.mp4", "b c.mp4", "d.mp4"}) layout.file(name);
  layout.file("train.txt", "a.mp4 walk\nb c.mp4 jump\n");
  layout.file("val.txt", "d.mp4 kick\na.mp4 walk\n");
  CHECK(layout.rows() == Rows{{"a.mp4", 2}, {"b c.mp4", 0}});
  CHECK(layout.rows(Subset::test) == Rows{{"d.mp4", 1}, {"a.mp4", 2}});
  CHECK(layout.load().classes == std::vector<std::string>{"jump", "kick", "walk"});
  CHECK(layout.load(Subset::test).classes == layout.load().classes);
  layout.file("train.csv", "a.mp4,long jump\n\"d.mp4\",walk\n");
  layout.file("train.txt", "a.mp4 walk\nd.mp4\n");
  check_error(layout, "train.txt:2", "got \"d.mp4\"");
}

}  // namespace
}  // namespace mcn
