// HMDB51: the split files, the folders that its .rar files make, and what is refused.
#include "tests/data/layout.h"

namespace mcn {
namespace {

using test::check_error;
using test::Layout;
using test::Rows;

const std::string splits = "../testTrainMulti_7030_splits/";

struct TwoClasses : Layout {
  TwoClasses() : Layout(DatasetFormat::hmdb51) {
    file("wave/a_wave_u_cm_np1_fr_med_3.avi");
    file("wave/b_wave.avi");
    file("wave/c_wave.avi");
    file("brush_hair/brush_hair/d.avi");
    file(splits + "wave_test_split1.txt", "a_wave_u_cm_np1_fr_med_3.avi 1 \nb_wave.avi 2 \nc_wave.avi 0 \n");
    file(splits + "brush_hair_test_split1.txt", "d.avi 1 \n");
  }
};

TEST_CASE("hmdb51: 1 trains, 2 tests, 0 does neither, classes in byte order", "[dataset][hmdb51]") {
  const TwoClasses layout;
  layout.file(splits + "._wave_test_split1.txt", std::string("\0\5\26", 3));  // a Mac's metadata of the list
  CHECK(layout.load().classes == std::vector<std::string>{"brush_hair", "wave"});
  CHECK(layout.rows() == Rows{{"brush_hair/brush_hair/d.avi", 0}, {"wave/a_wave_u_cm_np1_fr_med_3.avi", 1}});
  CHECK(layout.rows(Subset::test) == Rows{{"wave/b_wave.avi", 1}});
}

TEST_CASE("hmdb51: class order is that of the names, not of the files", "[dataset][hmdb51]") {
  Layout layout(DatasetFormat::hmdb51);
  // As file names, fall_floor_test... comes before fall_test...
  for (const char* name : {"fall", "fall_floor", "fall2"}) {
    layout.file(name + std::string("/x.avi"));
    layout.file(splits + name + std::string("_test_split1.txt"), "x.avi 1\n");
  }
  CHECK(layout.load().classes == std::vector<std::string>{"fall", "fall2", "fall_floor"});
}

TEST_CASE("hmdb51: the split is chosen by its number, and splits are found where the archives put them",
          "[dataset][hmdb51]") {
  for (const std::string place : {"", "testTrainMulti_7030_splits/", "../testTrainMulti_7030_splits/",
                                  "../test_train_splits/testTrainMulti_7030_splits/", "test_train_splits/"}) {
    INFO(place);
    Layout layout(DatasetFormat::hmdb51);
    layout.file("hmdb51_org/wave/a.avi");
    layout.file("hmdb51_org/wave/b.avi");
    layout.file(place + "wave_test_split1.txt", "a.avi 1\nb.avi 2\n");
    layout.file(place + "wave_test_split3.txt", "a.avi 2\nb.avi 1\n");
    CHECK(layout.rows() == Rows{{"hmdb51_org/wave/a.avi", 0}});
    layout.config.split = 3;
    CHECK(layout.rows() == Rows{{"hmdb51_org/wave/b.avi", 0}});
    layout.config.split = 2;
    CHECK(layout.error().find("test_split2.txt") != std::string::npos);
  }
  Layout named(DatasetFormat::hmdb51);
  named.file("wave/a.avi");
  named.file("../elsewhere/wave_test_split1.txt", "a.avi 1\n");
  named.config.splits_dir = named.path("../elsewhere");
  CHECK(named.rows() == Rows{{"wave/a.avi", 0}});
}

TEST_CASE("hmdb51: odd file names are names", "[dataset][hmdb51]") {
  const std::vector<std::string> names{"#20_Rhythm_clap_u_nm_np1_fr_goo_0.avi",
                                       "(HQ)_Rock'n'Roll_&_more;_100%_clap.avi",
                                       "Two Words  and 2.avi",
                                       "-dash=,[x]{y}!$`.avi",
                                       "caf\xC3\xA9_clap.avi",
                                       "caf\xE9_clap.avi",
                                       "a:b@c~.avi"};
  Layout layout(DatasetFormat::hmdb51);
  std::string list;
  Rows expected;
  for (const std::string& name : names) {
    layout.file("clap/" + name);
    list += name + " 1 \r\n";
    expected.emplace_back("clap/" + name, 0);
  }
  layout.file(splits + "clap_test_split1.txt", "\xEF\xBB\xBF" + list);
  CHECK(layout.rows() == expected);
}

TEST_CASE("hmdb51: lines that are wrong are refused with file and line", "[dataset][hmdb51]") {
  const TwoClasses layout;
  const auto list = [&](const std::string& text) { layout.file(splits + "wave_test_split1.txt", text); };
  for (const char* use : {"3", "-1", "01", "x", "99999999999999999999999"}) {
    list(std::string("b_wave.avi 2\n\na_wave_u_cm_np1_fr_med_3.avi ") + use + "\n");
    check_error(layout, "wave_test_split1.txt:3", "expected \"VIDEO 0\", 1 or 2");
  }
  list("b_wave.avi\n");
  check_error(layout, "wave_test_split1.txt:1", "got \"b_wave.avi\"");
  list("../wave/b_wave.avi 1\n");
  check_error(layout, "wave_test_split1.txt:1", "without a folder");
  list("b_wave.avi 1\nb_wave.avi 2\n");
  check_error(layout, "wave_test_split1.txt:2", "duplicate of line 1");
  list("b_wave.avi 1\nabsent.avi 1\n");
  check_error(layout, "wave_test_split1.txt:2", "wave/absent.avi is not in");
  for (const std::string folder : {".", ".."}) {
    list("b_wave.avi 1\n" + folder + " 1\n");
    check_error(layout, "wave_test_split1.txt:2", "wave/" + folder + " is not in");
  }
  list(std::string("b_wave.avi\0 1\n", 14));
  check_error(layout, "wave_test_split1.txt:1", "NUL");
  list("");
  check_error(layout, "wave_test_split1.txt", "empty");
}

TEST_CASE("hmdb51: a video in another class's folder is said to be there", "[dataset][hmdb51]") {
  const TwoClasses layout;
  for (const std::string folder : {"brush_hair", "brush_hair/brush_hair"}) {
    const std::string name = std::to_string(folder.size()) + ".avi";
    layout.file(folder + "/" + name);
    layout.file(splits + "wave_test_split1.txt", name + " 1\n");
    check_error(layout, "wave_test_split1.txt:1", "is in the folder " + layout.path(folder));
  }
}

TEST_CASE("hmdb51: options that it has no use for", "[dataset][hmdb51]") {
  TwoClasses layout;
  layout.config.train_files = {"x.txt"};
  CHECK_THROWS_AS(layout.load(), UsageError);
  layout.config.train_files.clear();
  layout.config.split = 4;
  CHECK_THROWS_AS(layout.load(), UsageError);
}

}  // namespace
}  // namespace mcn
