// The smallest data set and the smallest training that are of use.
#pragma once

#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/temporary_folder.h"
#include "tests/tools/run_command.h"

namespace mcn::test {

/// Synthetic videos of two classes; the folder they are in.
inline std::string small_videos(const TemporaryFolder& folder, int training_videos = 4) {
  std::string data = folder.file("data");
  REQUIRE(mcn_command({"synth", "--out", data, "--classes", "2", "--train", std::to_string(training_videos), "--test",
                       "2", "--frames", "8", "--height", "32", "--width", "32"})
              .exit_code == 0);
  return data;
}

/// `mcn train` on them, and what else is said. Nothing of it depends on the number of iterations, which a resumed run
/// may then change.
inline std::vector<std::string> small_training(const std::string& data, const std::string& run,
                                               const std::vector<std::string>& more) {
  std::vector<std::string> arguments{
      "train",   "--data",         data,         "--out",    run,        "--arch",   "r2plus1d_10",
      "--width", "0.07",           "--size",     "16",       "--batch",  "4",        "--resize-height",
      "18",      "--resize-width", "24",         "--frames", "4",        "--stride", "1",
      "--bank",  "none",           "--schedule", "constant", "--warmup", "0",        "--first-order-for",
      "0"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

}  // namespace mcn::test
