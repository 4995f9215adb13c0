// Kinetics: its CSV files, the names of its clips, and ids that agree between subsets.
#include "tests/data/layout.h"

namespace mcn {
namespace {

using test::check_error;
using test::Layout;
using test::Rows;

const std::string header = "label,youtube_id,time_start,time_end,split\n";

struct TwoClasses : Layout {
  TwoClasses() : Layout(DatasetFormat::kinetics) {
    file("train.csv", header + "zumba,aaaaaaaaaaa,10,20,train\nabseiling,-bb_bbbbbbb,0,10,train\n");
    file("val.csv", header + "zumba,ccccccccccc,123,133,val\n");
    for (const char* name :
         {"train/aaaaaaaaaaa_000010_000020", "train/-bb_bbbbbbb_000000_000010", "val/ccccccccccc_000123_000133"})
      file(std::string(name) + ".mp4");
  }
};

TEST_CASE("kinetics: ids are the training labels' places in byte order, for both subsets", "[dataset][kinetics]") {
  const TwoClasses layout;
  CHECK(layout.load().classes == std::vector<std::string>{"abseiling", "zumba"});
  CHECK(layout.load(Subset::test).classes == layout.load().classes);
  CHECK(layout.rows() == Rows{{"train/aaaaaaaaaaa_000010_000020.mp4", 1}, {"train/-bb_bbbbbbb_000000_000010.mp4", 0}});
  CHECK(layout.rows(Subset::test) == Rows{{"val/ccccccccccc_000123_000133.mp4", 1}});
}

TEST_CASE("kinetics: clips are found by name, in class folders or none, with other endings, or as ID alone",
          "[dataset][kinetics]") {
  for (const std::string file :
       {"i_d-0000000_000010_000020.mp4", "i_d-0000000.mp4", "train/i_d-0000000_000010_000020.mkv",
        "train_256/riding a bike/i_d-0000000_000010_000020.mp4", "riding_a_bike/i_d-0000000_000010_000020.webm",
        "riding a bike/i_d-0000000.MP4"}) {
    INFO(file);
    Layout layout(DatasetFormat::kinetics);
    layout.file("annotations/kinetics-600_train.csv", header + "riding a bike,i_d-0000000,10.0,20.0,train\n");
    layout.file(file);
    CHECK(layout.rows() == Rows{{file, 0}});
  }
}

TEST_CASE("kinetics: of two files of one name, the one in the label's folder", "[dataset][kinetics]") {
  Layout layout(DatasetFormat::kinetics);
  layout.file("train.csv", header + "b,x,1,2,train\na,y,1,2,train\n");
  layout.file("a/x_000001_000002.mp4");
  layout.file("b/x_000001_000002.mp4");
  layout.file("other/y_000001_000002.mp4");
  layout.file("b/y_000001_000002.mp4");
  CHECK(layout.rows() == Rows{{"b/x_000001_000002.mp4", 1}, {"other/y_000001_000002.mp4", 0}});
}

TEST_CASE("kinetics: quotes, commas, CRLF, a byte order mark, more columns, and in any order", "[dataset][kinetics]") {
  Layout layout(DatasetFormat::kinetics);
  layout.file("k700_train.csv",
              "\xEF\xBB\xBFyoutube_id, time_start ,time_end,label,is_cc,split\r\n"
              "x,1,11,\"playing \"\"hangman\"\", at home\",0,train\r\n\r\n"
              "y,2,12,passing American football (in game),1,train");
  layout.file("x_000001_000011.mp4");
  layout.file("y_000002_000012.mp4");
  CHECK(layout.load().classes ==
        std::vector<std::string>{"passing American football (in game)", "playing \"hangman\", at home"});
  CHECK(layout.rows() == Rows{{"x_000001_000011.mp4", 1}, {"y_000002_000012.mp4", 0}});
}

TEST_CASE("kinetics: no times and no split in the list", "[dataset][kinetics]") {
  Layout layout(DatasetFormat::kinetics);
  layout.file("train.csv", "label,youtube_id\na,x\n");
  layout.file("x.mp4");
  CHECK(layout.rows() == Rows{{"x.mp4", 0}});
}

TEST_CASE("kinetics: one CSV for all subsets, told apart by the column split", "[dataset][kinetics]") {
  Layout layout(DatasetFormat::kinetics);
  layout.file("all.csv", header + "a,x,1,2,train\na,y,1,2,validate\na,z,1,2,test\nb,w,1,2,train\n");
  for (const char* id : {"x", "y", "z", "w"}) layout.file(std::string(id) + "_000001_000002.mp4");
  layout.config.train_files = layout.config.test_files = {"all.csv"};
  CHECK(layout.rows() == Rows{{"x_000001_000002.mp4", 0}, {"w_000001_000002.mp4", 1}});
  CHECK(layout.rows(Subset::test) == Rows{{"y_000001_000002.mp4", 0}});
  layout.file("all.csv", header + "a,x,1,2,train\na,z,1,2,test\n");
  CHECK(layout.rows(Subset::test) == Rows{{"z_000001_000002.mp4", 0}});
  layout.file("all.csv", header + "a,x,1,2,train\n");
  check_error(layout, "all.csv", "no row of test videos", Subset::test);
}

TEST_CASE("kinetics: what is gone from the net is left out and counted", "[dataset][kinetics]") {
  const TwoClasses layout;
  layout.file("train.csv",
              header + "zumba,aaaaaaaaaaa,10,20,train\nzumba,gone,10,20,train\nabseiling,also,1,2,train\n");
  const Dataset dataset = layout.load();
  CHECK(dataset.videos.size() == 1);
  CHECK(dataset.absent == 2);
  // Its class keeps its id.
  CHECK(dataset.classes.size() == 2);
  CHECK(dataset.videos[0].label == 1);
  layout.file("train.csv", header + "zumba,gone,10,20,train\n");
  check_error(layout, "none of 1 listed videos", "gone_000010_000020");
}

TEST_CASE("kinetics: rows that are wrong are refused with file and line", "[dataset][kinetics]") {
  const TwoClasses layout;
  const std::string good = "zumba,aaaaaaaaaaa,10,20,train\n\n";
  const auto row = [&](const std::string& text) { layout.file("train.csv", header + good + text); };
  row("zumba,bbb,10,20\n");
  check_error(layout, "train.csv:4", "expected 5 columns, got 4");
  row("zumba,bbb,10,20,train,\n");
  check_error(layout, "train.csv:4", "expected 5 columns, got 6");
  row("zumba\n");
  check_error(layout, "train.csv:4", "got 1");
  row("\"zumba,bbb,10,20,train\n");
  check_error(layout, "train.csv:4", "a quote that does not end");
  row("zum\"ba,bbb,10,20,train\n");
  check_error(layout, "train.csv:4", "a quote in the middle");
  row("\"zumba\"x,bbb,10,20,train\n");
  check_error(layout, "train.csv:4", "expected a comma");
  row(std::string("zum\0ba,bbb,10,20,train\n", 23));
  check_error(layout, "train.csv:4", "NUL");
  row(std::string("\"zum\0ba\",bbb,10,20,train\n", 25));
  check_error(layout, "train.csv:4", "NUL");
  for (const char* time : {"", "-1", "1e3", "nan", "inf", "0x10", "1.2.3", "1000000", "99999999999999999999999999"}) {
    row(std::string("zumba,bbb,10,") + time + ",train\n");
    check_error(layout, "train.csv:4", "expected times in seconds");
  }
  row(",bbb,10,20,train\n");
  check_error(layout, "train.csv:4", "expected a label and an id");
  row("zumba,,10,20,train\n");
  check_error(layout, "train.csv:4", "expected a label and an id");
  row("zumba,bbb,10,20,Training\n");
  check_error(layout, "train.csv:4", "got \"Training\"");
  row("zumba,bbb,10,20,\n");
  check_error(layout, "train.csv:4", "expected a split");
  row(good);
  check_error(layout, "train.csv:4", "duplicate of " + layout.path("train.csv") + ":2");
  row("zumba,\"a\nb\",10,20,train\nzumba,bbb,10,20\n");
  check_error(layout, "train.csv:6", "got 4");
}

TEST_CASE("kinetics: headers that are wrong, and files that are empty", "[dataset][kinetics]") {
  const TwoClasses layout;
  layout.file("train.csv", "zumba,aaaaaaaaaaa,10,20,train\n");
  check_error(layout, "train.csv:1", "no column label");
  layout.file("train.csv", "youtube_id,time_start,time_end,split\nx,1,2,train\n");
  check_error(layout, "train.csv:1", "no column label");
  layout.file("train.csv", "label,label,youtube_id\n");
  check_error(layout, "train.csv:1", "two columns of one name");
  for (const char* text : {"", "\n\r\n \n", "\xEF\xBB\xBF"}) {
    layout.file("train.csv", text);
    check_error(layout, "train.csv", "empty");
  }
  layout.file("train.csv", header);
  check_error(layout, "train.csv", "no row of train videos");
}

TEST_CASE("kinetics: a test class that was not trained on is refused", "[dataset][kinetics]") {
  const TwoClasses layout;
  layout.file("val.csv", header + "zumba,ccccccccccc,123,133,val\nyoga,ddd,1,2,val\n");
  check_error(layout, "val.csv:3", "class \"yoga\" is not in " + layout.path("train.csv"), Subset::test);
}

TEST_CASE("kinetics: a clip in another class's folder, and a file for two rows", "[dataset][kinetics]") {
  Layout layout(DatasetFormat::kinetics);
  layout.file("train.csv", header + "a,x,1,2,train\nb_b,y,1,2,train\n");
  layout.file("b b/x_000001_000002.mp4");
  layout.file("b_b/y_000001_000002.mp4");
  check_error(layout, "train.csv:2", "listed as \"a\" and in the folder " + layout.path("b b"));
  Layout shared(DatasetFormat::kinetics);
  shared.file("train.csv", header + "a,x,1,2,train\na,x,5,6,train\n");
  shared.file("x.mp4");
  check_error(shared, "train.csv:3", "is the file of " + shared.path("train.csv") + ":2");
}

TEST_CASE("kinetics: several lists, or none, for a subset", "[dataset][kinetics]") {
  TwoClasses layout;
  layout.file("kinetics_train.csv", header + "zumba,aaaaaaaaaaa,10,20,train\n");
  check_error(layout, "kinetics_train.csv and train.csv", "say which it is");
  layout.config.train_files = {"kinetics_train.csv"};
  CHECK(layout.rows().size() == 1);
  // A Mac's metadata of a list are no second list.
  layout.config.train_files = {};
  std::filesystem::remove(layout.path("kinetics_train.csv"));
  layout.file("._train.csv", std::string("\0\5\26", 3));
  layout.file("._kinetics_train.csv", std::string("\0\5\26", 3));
  CHECK(layout.rows().size() == 2);
  layout.config.train_files = {"absent.csv"};
  check_error(layout, "absent.csv", "no such file");
  layout.config.train_files = {};
  layout.config.splits_dir = layout.path("train");
  check_error(layout, layout.path("train"), "no CSV of train videos");
  layout.config.splits_dir.clear();
  layout.config.split = 2;
  CHECK_THROWS_AS(layout.load(), UsageError);
}

}  // namespace
}  // namespace mcn
