// `mcn finetune` on a small set: what it writes, from pre-trained and from random weights, and what it refuses.
#include <nlohmann/json.hpp>

#include "engine/safetensors.h"
#include "tests/catch.h"
#include "tests/files.h"
#include "tests/tools/run_command.h"

namespace mcn {

using test::mcn_command;

TEST_CASE("finetune writes a classifier and figures that add up") {
  const test::TemporaryFolder folder;
  const std::string data = folder.file("data"), weights = test::source_file("tests/golden/weights.pth");
  REQUIRE(mcn_command({"synth", "--out", data, "--classes", "3", "--train", "24", "--test", "9", "--frames", "8",
                       "--height", "32", "--width", "32"})
              .exit_code == 0);
  const auto finetune = [&](const std::string& out, const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"finetune",
                                       "--data",
                                       data,
                                       "--out",
                                       folder.file(out),
                                       "--epochs",
                                       "2",
                                       "--clips",
                                       "2",
                                       "--frames",
                                       "4",
                                       "--size",
                                       "16",
                                       "--resize-height",
                                       "18",
                                       "--resize-width",
                                       "18",
                                       "--weights",
                                       weights};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return mcn_command(arguments);
  };
  const auto result = finetune("tuned", {});
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK(result.out.find("top-1 ") != std::string::npos);
  CHECK(result.out.find("chance 33.3%") != std::string::npos);
  const auto json = nlohmann::json::parse(test::read_file(folder.file("tuned/finetune.json")));
  CHECK(json.at("epochs").size() == 2);
  CHECK(json.at("classes").size() == 3);
  std::int64_t videos = 0, right = 0;
  for (std::size_t c = 0; c < 3; ++c)
    for (std::size_t p = 0; p < 3; ++p) {
      const auto count = json.at("confusion").at(c).at(p).get<std::int64_t>();
      videos += count;
      if (c == p) right += count;
    }
  CHECK(videos == 9);
  CHECK(std::abs(json.at("top1").at("value").get<double>() - 100.0 * static_cast<double>(right) / 9) < 1e-9);
  CHECK(json.at("top1").at("low").get<double>() <= json.at("top1").at("value").get<double>());
  const SafetensorsFile network = read_safetensors(folder.file("tuned/finetuned.safetensors"));
  CHECK(network.tensors.at("fc.weight").shape == Shape{3, 15});
  CHECK(network.metadata.at("origin") == weights);

  // The same seed gives the same figures; random weights give others.
  REQUIRE(finetune("again", {}).exit_code == 0);
  CHECK(test::read_file(folder.file("again/finetune.json")) == test::read_file(folder.file("tuned/finetune.json")));
  REQUIRE(finetune("scratch", {"--from-scratch"}).exit_code == 0);
  const auto scratch = nlohmann::json::parse(test::read_file(folder.file("scratch/finetune.json")));
  CHECK(scratch.at("from_scratch") == true);
  CHECK(scratch.at("epochs") != json.at("epochs"));

  CHECK(finetune("no", {"--lr", "-1"}).exit_code == 2);
  CHECK(finetune("no", {"--held-out", "100"}).exit_code == 2);
  const auto blown_up = finetune("blown", {"--lr", "1000000", "--train-batch", "4"});
  CHECK(blown_up.exit_code == 5);
  CHECK(blown_up.err.find("mcn: [finetune] epoch 0: the loss is ") != std::string::npos);
  CHECK(mcn_command({"finetune", "--data", data, "--out", folder.file("no")}).exit_code == 2);
  test::write_file(folder.file("file"), "");
  CHECK(finetune("file", {}).exit_code == 3);
}

}  // namespace mcn
