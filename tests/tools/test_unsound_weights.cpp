// Networks whose weights or statistics are no numbers, or none that can be: every way in and out refuses them.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>

#include "engine/safetensors.h"
#include "tests/catch.h"
#include "tests/tools/small_run.h"

namespace mcn {

using test::mcn_command;

namespace {

using Arguments = std::vector<std::string>;

struct Set {
  Set() {
    REQUIRE(mcn_command({"synth", "--out", data, "--classes", "2", "--train", "8", "--test", "4", "--frames", "8",
                         "--height", "32", "--width", "32"})
                .exit_code == 0);
    REQUIRE(mcn_command(train(folder.file("trained"))).exit_code == 0);
  }
  [[nodiscard]] Arguments train(const std::string& into, const Arguments& more = {}) const {
    Arguments arguments = test::small_training(data, into, {"--iterations", "1"});
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  // A copy of the checkpoint with another first value in a tensor.
  [[nodiscard]] std::string with(const std::string& tensor, float value) const {
    SafetensorsFile file = read_safetensors(checkpoint);
    std::memcpy(file.tensors.at(tensor).data.data(), &value, sizeof value);
    std::string path = folder.file("unsound.safetensors");
    write_safetensors(path, file);
    return path;
  }
  [[nodiscard]] std::vector<Arguments> uses(const std::string& path) const {
    return {{"evaluate", "--data", data, "--checkpoint", path, "--clips", "1"},
            {"embed", "--data", data, "--checkpoint", path, "--clips", "1", "--out", out + ".npz"},
            {"embed", "--data", data, "--weights", path, "--clips", "1", "--out", out + ".npz"},
            {"finetune", "--data", data, "--checkpoint", path, "--epochs", "1", "--held-out", "50", "--out", out},
            {"export", "--checkpoint", path, "--out", out + ".safetensors"},
            train(out, {"--init", path})};
  }

  test::TemporaryFolder folder;
  std::string data = folder.file("data"), checkpoint = folder.file("trained/last.safetensors"),
              out = folder.file("out");
};

constexpr float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();

}  // namespace

TEST_CASE("weights and statistics that are not finite, and variances below 0, are refused wherever they come in") {
  const Set set;
  struct Case {
    std::string name;
    float value;
    int code;
    std::string text;
  };
  const std::vector<Case> cases{{"stem.0.weight", nan, 5, "a value that is not finite"},
                                {"layer4.0.conv2.1.running_mean", nan, 5, "a value that is not finite"},
                                {"stem.1.running_var", infinity, 5, "a value that is not finite"},
                                {"layer1.0.conv1.1.running_var", -0.5F, 3, "a negative value, whose root is none"},
                                {"fc_feat.weight", -infinity, 5, "a value that is not finite"}};
  for (const auto& [name, value, code, text] : cases)
    for (const Arguments& arguments : set.uses(set.with("model." + name, value))) {
      const auto result = mcn_command(arguments);
      CAPTURE(arguments, result.err);
      CHECK(result.exit_code == code);
      CHECK(result.out.empty());
      for (const std::string& word : {std::string("mcn: ["), std::string("unsound.safetensors"), name + "\"", text})
        CHECK(result.err.find(word) != std::string::npos);
      CHECK(std::ranges::count(result.err, '\n') == 1);
      for (const char* end : {"", ".npz", ".safetensors"}) CHECK_FALSE(std::filesystem::is_regular_file(set.out + end));
    }
}

TEST_CASE("features that overflow are refused by what would write or judge them") {
  const Set set;
  // A variance of 0 is possible, and the layer's scale a number; together they are beyond float32.
  SafetensorsFile file = read_safetensors(set.checkpoint);
  const auto fill = [&](const std::string& name, float value) {
    std::vector<std::byte>& data = file.tensors.at(name).data;
    for (std::size_t at = 0; at < data.size(); at += sizeof value) std::memcpy(data.data() + at, &value, sizeof value);
  };
  fill("model.layer4.0.conv2.1.weight", 3e38F);
  fill("model.layer4.0.conv2.1.running_var", 0);
  const std::string path = set.folder.file("overflows.safetensors");
  write_safetensors(path, file);
  const Arguments common{"--data", set.data, "--checkpoint", path, "--clips", "1"};
  for (const Arguments& command : {Arguments{"evaluate"}, Arguments{"embed", "--out", set.out + ".csv"}}) {
    Arguments arguments = command;
    arguments.insert(arguments.end(), common.begin(), common.end());
    const auto result = mcn_command(arguments);
    CAPTURE(arguments, result.err);
    CHECK(result.exit_code == 5);
    CHECK(result.err.find("mcn: [embed] the features of ") != std::string::npos);
    CHECK(result.err.find(".mp4 are not finite\n") != std::string::npos);
    CHECK(result.out.empty());
  }
  CHECK_FALSE(std::filesystem::exists(set.out + ".csv"));
}

TEST_CASE("a checkpoint whose clips have impossible sides is named, before anything is read for it") {
  const Set set;
  SafetensorsFile file = read_safetensors(set.checkpoint);
  std::string& description = file.metadata.at("model");
  const std::string sane = "\"resize_height\":18";
  REQUIRE(description.find(sane) != std::string::npos);
  description.replace(description.find(sane), sane.size(), "\"resize_height\":1073741824");
  const std::string path = set.folder.file("large.safetensors");
  write_safetensors(path, file);
  for (const Arguments& arguments : set.uses(path)) {
    const auto result = mcn_command(arguments);
    CAPTURE(arguments, result.err);
    CHECK(result.exit_code == 3);
    CHECK(result.out.empty());
    for (const std::string& word : {path, std::string("\"resize_height\""), std::string("got 1073741824\n")})
      CHECK(result.err.find(word) != std::string::npos);
    CHECK(std::ranges::count(result.err, '\n') == 1);
  }
}

}  // namespace mcn
