// Weights that leave the command and come back.
#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/safetensors.h"
#include "tests/catch.h"
#include "tests/files.h"
#include "tests/tools/run_command.h"

namespace mcn {

using test::mcn_command;
using test::one_line_error;

namespace {

// Two classes of small videos, and runs of one iteration on them.
struct Set {
  Set() {
    const auto made = mcn_command({"synth", "--out", data, "--classes", "2", "--train", "8", "--test", "8", "--frames",
                                   "8", "--height", "32", "--width", "32"});
    REQUIRE(made.exit_code == 0);
  }
  [[nodiscard]] test::CommandResult train(const std::string& out, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments{
        "train",   "--data",         data,           "--out",    out,       "--arch",   "r2plus1d_10",
        "--width", "0.07",           "--size",       "16",       "--batch", "4",        "--resize-height",
        "18",      "--resize-width", "24",           "--frames", "4",       "--stride", "1",
        "--bank",  "none",           "--iterations", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return mcn_command(arguments);
  }

  test::TemporaryFolder folder;
  std::string data = folder.file("data"), run = folder.file("run"), backbone = folder.file("b.safetensors");
};

}  // namespace

TEST_CASE("an exported backbone starts another run") {
  const Set set;
  const test::TemporaryFolder& folder = set.folder;
  const std::string &run = set.run, &backbone = set.backbone;
  REQUIRE(set.train(run).exit_code == 0);
  const std::string checkpoint = run + "/last.safetensors";

  const auto exported = mcn_command({"export", "--checkpoint", checkpoint, "--out", backbone});
  INFO(exported.err);
  REQUIRE(exported.exit_code == 0);
  const SafetensorsFile file = read_safetensors(backbone);
  const SafetensorsFile whole = read_safetensors(checkpoint);
  CHECK(file.tensors.at("stem.0.weight").data == whole.tensors.at("model.stem.0.weight").data);
  CHECK(file.tensors.at("layer4.0.conv2.1.running_var").data ==
        whole.tensors.at("model.layer4.0.conv2.1.running_var").data);
  CHECK(file.tensors.at("stem.1.num_batches_tracked").shape == Shape{});
  for (const auto& [name, entry] : file.tensors) CHECK_FALSE(name.starts_with("fc"));
  CHECK(file.metadata.at("origin") == checkpoint);
  CHECK(file.metadata.at("frames") == "4");
  CHECK(file.metadata.at("resize") == "18x24");

  const auto second = set.train(folder.file("second"), {"--init", backbone, "--seed", "2", "--lr", "0"});
  INFO(second.err);
  REQUIRE(second.exit_code == 0);
  CHECK(second.err.find("fc_feat, fcm and fc_meta start at random") != std::string::npos);
  const SafetensorsFile next = read_safetensors(folder.file("second/last.safetensors"));
  CHECK(next.tensors.at("model.stem.0.weight").data == file.tensors.at("stem.0.weight").data);
  CHECK(next.tensors.at("model.fc_feat.weight").data != whole.tensors.at("model.fc_feat.weight").data);

  const auto wrong = set.train(folder.file("third"), {"--init", test::source_file("tests/golden/weights.pth")});
  CHECK(wrong.exit_code == 3);
  CHECK(one_line_error(wrong, "weights", {"another architecture or width", "stem.0.weight"}));
  const auto both = set.train(folder.file("third"), {"--init", backbone, "--resume", checkpoint});
  CHECK(both.exit_code == 2);
  test::write_file(folder.file("no.pth"), "not weights, whatever its name says");
  const auto text = set.train(folder.file("third"), {"--init", folder.file("no.pth")});
  CHECK(text.exit_code == 3);
  CHECK_FALSE(std::filesystem::exists(folder.file("third")));
}

TEST_CASE("an exported backbone is evaluated as its checkpoint is") {
  const Set set;
  const test::TemporaryFolder& folder = set.folder;
  const std::string &data = set.data, &run = set.run, &backbone = set.backbone;
  REQUIRE(set.train(run).exit_code == 0);
  REQUIRE(mcn_command({"export", "--checkpoint", run + "/last.safetensors", "--out", backbone}).exit_code == 0);
  const auto evaluated = [&](const std::string& option, const std::string& path) {
    const std::string json = folder.file("evaluated.json");
    const auto result = mcn_command({"evaluate", option, path, "--data", data, "--clips", "2", "--json", json});
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    const auto figures = nlohmann::json::parse(test::read_file(json));
    std::vector<nlohmann::json> values;
    for (const char* protocol : {"retrieval", "knn", "linear"}) values.push_back(figures.at(protocol).at("value"));
    values.push_back(figures.at("retrieval").at("map"));
    return values;
  };
  CHECK(evaluated("--weights", backbone) == evaluated("--checkpoint", run + "/last.safetensors"));

  CHECK(mcn_command({"evaluate", "--data", data}).exit_code == 2);
  CHECK(mcn_command({"evaluate", "--data", data, "--weights", backbone, "--checkpoint", backbone}).exit_code == 2);
  const auto short_videos =
      mcn_command({"embed", "--data", data, "--weights", test::source_file("tests/golden/weights.pth"), "--frames",
                   "64", "--out", folder.file("e.npz")});
  CHECK(short_videos.exit_code == 3);  // the videos have 8 frames
}

TEST_CASE("export says what is wrong before it writes") {
  const test::TemporaryFolder folder;
  const std::string golden = test::source_file("tests/golden/weights.pth");
  CHECK(mcn_command({"export", "--checkpoint", golden, "--out", folder.file("x.safetensors")}).exit_code == 3);
  CHECK(mcn_command({"export", "--checkpoint", golden, "--out", folder.file("no/x.safetensors")}).exit_code == 3);
  CHECK(mcn_command({"export", "--out", folder.file("x.safetensors")}).exit_code == 2);
  CHECK(folder.count() == 0);
}

}  // namespace mcn
