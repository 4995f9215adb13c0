// Progress: times, lines and their width; when a line is due away from a terminal.
#include <algorithm>
#include <cmath>

#include "tests/catch.h"
#include "tests/tools/run_command.h"
#include "tools/progress.h"

namespace mcn {

TEST_CASE("times are minutes and seconds, hours when there are any") {
  CHECK(clock_time(0) == "0:00");
  CHECK(clock_time(5.4) == "0:05");
  CHECK(clock_time(59.6) == "1:00");
  CHECK(clock_time(185) == "3:05");
  CHECK(clock_time(3729) == "1:02:09");
  CHECK(clock_time(360000) == "100:00:00");
  CHECK(clock_time(-1) == "--:--");
  CHECK(clock_time(std::nan("")) == "--:--");
  CHECK(clock_time(1e300) == "--:--");
}

TEST_CASE("a plain line holds name, share, count, time left and status") {
  CHECK(progress_line("train", 45, 180, 185, "L_S 1.5  L_Q 2.5", 0) ==
        "train:  25%  45/180  3:05 left  L_S 1.5  L_Q 2.5");
  CHECK(progress_line("synth", 0, 10, std::nan(""), "", 0) == "synth:   0%  0/10  --:-- left");
}

TEST_CASE("a bar fills up and never wraps") {
  CHECK(progress_line("x", 0, 4, 9, "", 100) == "x [....................]   0%  0/4  0:09 left");
  CHECK(progress_line("x", 1, 4, 9, "", 100) == "x [#####...............]  25%  1/4  0:09 left");
  CHECK(progress_line("x", 4, 4, 0, "", 100) == "x [####################] 100%  4/4  0:00 left");
  for (const int width : {1, 2, 10, 30, 60}) {
    const std::string line = progress_line("train", 3, 7, 1e5, "a long status that does not fit", width);
    CHECK(line.size() < static_cast<std::size_t>(std::max(width, 2)));
  }
}

TEST_CASE("the pace is that of the last reports, not of the whole work") {
  Pace pace;
  CHECK(std::isnan(pace.per_second()));
  pace.report(0, 5);
  CHECK(std::isnan(pace.per_second()));
  pace.report(100, 6);
  CHECK(pace.per_second() == 0.01);
  for (int i = 1; i <= 20; ++i) pace.report(100 + 10 * i, 6 + i);  // ten times as fast
  CHECK(pace.per_second() == 0.1);
  for (int i = 1; i <= 100; ++i) pace.report(300 + 0.5 * i, 26 + i);  // all of the last minute count
  CHECK(std::abs(pace.per_second() - 101.0 / 60) <= 1e-12);
}

TEST_CASE("shares beyond all and of nothing stay in range") {
  CHECK(progress_line("x", 9, 4, 0, "", 100).find("100%") != std::string::npos);
  CHECK(progress_line("x", 0, 0, 0, "", 100).find("100%") != std::string::npos);
}

TEST_CASE("away from a terminal about twenty plain lines are printed, the last one at the end") {
  test::TemporaryFolder folder;
  const auto result = test::mcn_command({"synth", "--out", folder.file("v"), "--classes", "2", "--train", "90",
                                         "--test", "10", "--frames", "1", "--height", "16", "--width", "16"});
  CHECK(result.exit_code == 0);
  const auto lines = std::count(result.err.begin(), result.err.end(), '\n');
  CHECK(lines >= 20);
  CHECK(lines <= 30);
  CHECK(result.err.find('\r') == std::string::npos);
  CHECK(result.err.find("100/100") != std::string::npos);
}

}  // namespace mcn
