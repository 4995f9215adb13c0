// The ranges that a profiler sees of a training run: they nest as docs/profile.md says, on every thread.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include "kernels/range.h"
#include "tests/catch.h"
#include "tests/tools/run_command.h"

namespace mcn::test {
#ifdef MCN_NVTX_INJECTION
namespace {

// Every range of the log as its path from the outermost, by thread; fails where one is not closed.
std::vector<std::string> paths(const std::string& log) {
  std::map<int, std::vector<std::string>> open;
  std::vector<std::string> result;
  std::istringstream lines(log);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    int thread = 0;
    std::string sign, domain, name;
    words >> thread >> sign >> domain;
    std::getline(words >> std::ws, name);
    if (sign == "-") {
      REQUIRE(!open[thread].empty());
      open[thread].pop_back();
      continue;
    }
    REQUIRE(domain == "mcn");
    open[thread].push_back(name);
    std::string path;
    for (const std::string& part : open[thread]) path += (path.empty() ? "" : " > ") + part;
    result.push_back(path);
  }
  for (const auto& [thread, ranges] : open) CHECK(ranges.empty());
  return result;
}

}  // namespace
#endif

TEST_CASE("an NVTX profiler sees a training run's ranges nested as documented") {
#ifndef MCN_NVTX_INJECTION
  MCN_SKIPPED("this build has no NVTX header");
#else
  const TemporaryFolder folder;
  const std::string data = folder.file("data"), log = folder.file("ranges.log");
  REQUIRE(mcn_command({"synth", "--out", data, "--classes", "2", "--train", "4", "--test", "1", "--frames", "8",
                       "--height", "32", "--width", "32"})
              .exit_code == 0);
  const CommandResult run = mcn_command({"train",
                                         "--data",
                                         data,
                                         "--out",
                                         folder.file("run"),
                                         "--arch",
                                         "r2plus1d_10",
                                         "--width",
                                         "0.07",
                                         "--size",
                                         "16",
                                         "--resize-height",
                                         "18",
                                         "--resize-width",
                                         "24",
                                         "--batch",
                                         "4",
                                         "--frames",
                                         "4",
                                         "--stride",
                                         "1",
                                         "--iterations",
                                         "3",
                                         "--report",
                                         "curves",
                                         "--inner-steps",
                                         "2",
                                         "--bank",
                                         "none",
                                         "--first-order-for",
                                         "0",
                                         "--profile-steps",
                                         "1:3"},
                                        {{"NVTX_INJECTION64_PATH", MCN_NVTX_INJECTION}, {"MCN_NVTX_LOG", log}});
  INFO(run.err);
  REQUIRE(run.exit_code == 0);

  const std::vector<std::string> seen = paths(read_file(log));
  const std::set<std::string> all(seen.begin(), seen.end());
  const auto count = [&](const std::string& path) { return std::count(seen.begin(), seen.end(), path); };
  // Iteration 0 stands alone, 1 and 2 in the profiled window.
  for (const std::string& iteration : {std::string("iteration 0"), std::string("profiled steps > iteration 1"),
                                       std::string("profiled steps > iteration 2")}) {
    INFO(iteration);
    CHECK(count(iteration) == 1);
    CHECK(count(iteration + " > wait") == 1);
    // Support and query, two views each.
    for (const char* step : {"copy", "augment"}) CHECK(count(fmt::format("{} > {}", iteration, step)) == 4);
    for (const char* step : {"inner step 0", "inner step 1", "outer step"})
      for (const char* sweep : {"forward", "backward"}) {
        CHECK(count(fmt::format("{} > {} > {}", iteration, step, sweep)) == 1);
        for (const char* op : {"conv3d", "batch_norm", "info_nce", "bce_with_logits"})
          CHECK(count(fmt::format("{} > {} > {} > {}", iteration, step, sweep, op)) > 0);
      }
    for (const char* step : {"Hessian product 0", "Hessian product 1"})
      for (const char* sweep : {"tangent-forward", "tangent-backward"}) {
        CHECK(count(fmt::format("{} > {} > {}", iteration, step, sweep)) == 1);
        CHECK(count(fmt::format("{} > {} > {} > conv3d", iteration, step, sweep)) > 0);
      }
    CHECK(count(iteration + " > update") == 1);
    // A kernel has a range of its name in that of its operator.
    for (const char* path :
         {"outer step > forward > conv3d > conv3d_fprop", "outer step > backward > conv3d > conv3d_dgrad",
          "Hessian product 0 > tangent-backward > batch_norm > batch_norm_vjp_dot", "augment > augment",
          "update > adamw_step"})
      CHECK(count(fmt::format("{} > {}", iteration, path)) > 0);
  }
  CHECK(count("profiled steps") == 1);
  // Measured at iteration 0, and then every 20.
  for (const char* part : {"curvature", "query loss"}) {
    CHECK(count(fmt::format("iteration 0 > {}", part)) == 1);
    CHECK(count(fmt::format("profiled steps > iteration 1 > {}", part)) == 0);
  }
  CHECK(count("decode") >= 3 * 4 * 2);
  CHECK(!all.contains("iteration 1"));
#endif
}

TEST_CASE("the ranges that an exception left are named from the outermost") {
  const auto failing = [](int depth, const auto& self) -> void {
    const Range range(fmt::format("depth {}", depth));
    if (depth == 2) throw std::runtime_error("planted");
    self(depth + 1, self);
  };
  CHECK_THROWS(failing(0, failing));
  CHECK(failed_range() == "depth 0 > depth 1 > depth 2");
  {
    const Range outer("outer");
    try {
      const Range inner("inner");
      throw std::runtime_error("caught");
    } catch (const std::runtime_error&) {
    }
    CHECK(failed_range() == "outer > inner");
  }
  CHECK(failed_range().empty());  // what was caught is over
}

}  // namespace mcn::test
