// Which format a folder shows, and the two parsers that most formats share.
#include "data/listing.h"
#include "engine/random.h"
#include "tests/data/layout.h"

namespace mcn {
namespace {

using test::Layout;

const std::string kinetics_csv = "label,youtube_id,time_start,time_end,split\na,x,1,2,train\n";

void make_ucf101(const Layout& layout) {
  layout.file("ucfTrainTestlist/classInd.txt", "1 Archery\n");
  layout.file("Archery/a.avi");
}
void make_hmdb51(const Layout& layout) {
  layout.file("wave/a.avi");
  layout.file("testTrainMulti_7030_splits/wave_test_split1.txt", "a.avi 1\n");
}

std::string detected(const Layout& layout) {
  try {
    return name_of(detect_format(layout.config));
  } catch (const DataError& e) {
    return e.what();
  }
}

TEST_CASE("a format is known by its files", "[dataset][format]") {
  Layout layout(DatasetFormat::automatic);
  SECTION("ucf101") {
    make_ucf101(layout);
    CHECK(detected(layout) == "ucf101");
  }
  SECTION("hmdb51") {
    make_hmdb51(layout);
    CHECK(detected(layout) == "hmdb51");
  }
  SECTION("kinetics") {
    layout.file("annotations/kinetics600_train.csv", kinetics_csv);
    CHECK(detected(layout) == "kinetics");
  }
  SECTION("webdataset") {
    layout.file("train/shard-000000.tar");
    CHECK(detected(layout) == "webdataset");
  }
  SECTION("list") {
    layout.file("train.txt", "a.mp4 0\n");
    CHECK(detected(layout) == "list");
  }
  SECTION("files that are named decide") {
    layout.file("train.txt", "a.mp4 0\n");
    layout.config.train_files = {"shard-{0..1}.tar"};
    CHECK(detected(layout) == "webdataset");
    layout.config.train_files = {"my.csv"};
    CHECK(detected(layout) == "kinetics");
    layout.config.train_files.clear();
    layout.config.test_files = {"my.txt"};
    CHECK(detected(layout) == "list");
  }
}

TEST_CASE("no format and two formats are errors that name what was looked for", "[dataset][format]") {
  Layout layout(DatasetFormat::automatic);
  CHECK(detected(layout).find("the folder is empty") != std::string::npos);
  layout.file("something.pdf");
  const std::string none = detected(layout);
  for (const char* word : {"ucf101", "hmdb51", "kinetics", "webdataset", "list", "folder", "classInd.txt", "train.csv"})
    CHECK(none.find(word) != std::string::npos);
  make_ucf101(layout);
  layout.file("train.txt", "a.mp4 0\n");
  CHECK(detected(layout).find("it may be ucf101 and list") != std::string::npos);
  CHECK_THROWS_AS(layout.load(), DataError);
  layout.config.format = DatasetFormat::list;
  CHECK(detected(layout) == "list");
}

TEST_CASE("split files beside two data sets are each one's own", "[dataset][format]") {
  Layout layout(DatasetFormat::automatic);
  layout.file("../ucfTrainTestlist/classInd.txt", "1 Archery\n");
  layout.file("../testTrainMulti_7030_splits/wave_test_split1.txt", "a.avi 1\n");
  layout.file("wave/a.avi");
  CHECK(detected(layout) == "hmdb51");
  std::filesystem::rename(layout.path("wave"), layout.path("Archery"));
  CHECK(detected(layout) == "ucf101");
}

TEST_CASE("CSV: rows and fields as RFC 4180 has them", "[csv]") {
  const auto rows = parse_csv("a,\"b,c\",\"d\"\"e\",\n\n\"two\nlines\",x\r\n,,\n\"\"\nlast", "f.csv");
  REQUIRE(rows.size() == 4);
  CHECK(rows[0].fields == std::vector<std::string>{"a", "b,c", "d\"e", ""});
  CHECK(rows[1].fields == std::vector<std::string>{"two\nlines", "x"});
  CHECK(rows[1].line == 3);
  CHECK(rows[2].fields == std::vector<std::string>{"", "", ""});
  CHECK(rows[2].line == 5);
  CHECK(rows[3].fields == std::vector<std::string>{"last"});
  CHECK(rows[3].line == 7);
  CHECK(parse_csv("a,", "f.csv")[0].fields == std::vector<std::string>{"a", ""});
  CHECK(parse_csv("a,b\r", "f.csv")[0].fields == std::vector<std::string>{"a", "b"});
  CHECK(parse_csv("a\rb,c", "f.csv")[0].fields == std::vector<std::string>{"a\rb", "c"});
}

TEST_CASE("a text cut off or changed anywhere is parsed or refused, nothing else", "[csv]") {
  const std::string text = "\xEF\xBB\xBFlabel,id\r\n\"a, \"\"b\"\"\",x\r\n\nc,\"d\ne\"\r\n";
  int parsed = 0, refused = 0;
  const auto take = [&](const std::string& t) {
    for (const bool csv : {true, false}) try {
        if (csv)
          for (const CsvRow& row : parse_csv(t, "f")) CHECK(row.line >= 1);
        else
          for (const Line& line : parse_lines(t, "f")) CHECK(line.number >= 1);
        ++parsed;
      } catch (const DataError& e) {
        CHECK(std::string(e.what()).starts_with("[dataset] f:"));
        ++refused;
      }
  };
  for (std::size_t length = 0; length <= text.size(); ++length) take(text.substr(0, length));
  Philox random(3, 4);
  for (int i = 0; i < 2000; ++i) {
    std::string changed = text;
    for (int k = 0; k < 3; ++k)
      changed[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(text.size())))] =
          "\"\0,\n\rx"[random.below(6)];
    take(changed);
  }
  CHECK(parsed > 1000);
  CHECK(refused > 1000);
}

TEST_CASE("links to folders are followed, each folder once", "[dataset]") {
  const Layout layout(DatasetFormat::list);
  layout.file("a/x.mp4");
  layout.file("../elsewhere/y.AVI");
  layout.file("a/readme.txt");
  std::filesystem::create_directory_symlink("..", layout.path("a/loop"));
  std::filesystem::create_directory_symlink("../elsewhere", layout.path("b"));
  std::filesystem::create_symlink("nowhere", layout.path("dangling"));
  const auto files = files_below(layout.config.root);
  REQUIRE(files.size() == 2);
  CHECK(files[0] == layout.path("a/x.mp4"));
  CHECK(files[1] == layout.path("b/y.AVI"));
}

}  // namespace
}  // namespace mcn
