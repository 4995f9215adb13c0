// S3D through the commands: its names differ from those of the other architectures in every file.
#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "engine/device.h"
#include "engine/safetensors.h"
#include "meta/checkpoint.h"
#include "tests/catch.h"
#include "tests/tools/small_run.h"

namespace mcn {

using test::mcn_command;

namespace {

std::vector<std::string> training(const std::string& data, const std::string& run,
                                  const std::vector<std::string>& more) {
  std::vector<std::string> arguments = test::small_training(data, run, more);
  std::ranges::replace(arguments, std::string("r2plus1d_10"), std::string("s3d"));
  return arguments;
}

nlohmann::json last_json(const std::vector<std::string>& arguments) {
  const auto result = mcn_command(arguments);
  CAPTURE(arguments, result.err);
  REQUIRE(result.exit_code == 0);
  return nlohmann::json::parse(result.last_line());
}

// A file as torchvision would have it: no metadata, a prefix, and a classifier of other classes.
SafetensorsFile as_another_program_has_it(const SafetensorsFile& exported) {
  SafetensorsFile file;
  for (const auto& [name, entry] : exported.tensors) file.tensors["module." + name] = entry;
  Backend& backend = open_device("ref");
  const std::int64_t features = exported.tensors.at("features.15.branch0.1.weight").shape[0] +
                                exported.tensors.at("features.15.branch1.1.1.1.weight").shape[0] +
                                exported.tensors.at("features.15.branch2.1.1.1.weight").shape[0] +
                                exported.tensors.at("features.15.branch3.1.1.weight").shape[0];
  put(file, "module.classifier.1.weight", Tensor::full(backend, DType::f32, {400, 1, 1, 1, features}, 1));
  put(file, "module.classifier.1.bias", Tensor::full(backend, DType::f32, {400}, 1));
  return file;
}

}  // namespace

TEST_CASE("S3D is trained, exported, evaluated, and starts another run", "[slow]") {
  const test::TemporaryFolder folder;
  const std::string data = test::small_videos(folder, 8), run = folder.file("run");
  const auto trained = mcn_command(training(data, run, {"--iterations", "2"}));
  CAPTURE(trained.err);
  REQUIRE(trained.exit_code == 0);
  const std::string checkpoint = run + "/last.safetensors", backbone = folder.file("b.safetensors");
  REQUIRE(mcn_command({"export", "--checkpoint", checkpoint, "--out", backbone}).exit_code == 0);
  const SafetensorsFile file = read_safetensors(backbone);
  CHECK(file.metadata.at("architecture") == "s3d");
  CHECK(file.tensors.size() == 462);  // of torchvision's 464, all but the classifier
  for (const auto& [name, entry] : file.tensors) CHECK(name.starts_with("features."));
  CHECK(file.tensors.at("features.0.0.0.weight").shape == Shape{4, 3, 1, 7, 7});

  const std::string other = folder.file("other.safetensors");
  write_safetensors(other, as_another_program_has_it(file));
  const auto second = mcn_command(training(data, folder.file("second"), {"--iterations", "1", "--init", other}));
  CAPTURE(second.err);
  CHECK(second.exit_code == 0);
  const auto evaluated = mcn_command({"evaluate", "--data", data, "--weights", other, "--frames", "4", "--size", "16",
                                      "--resize-height", "18", "--resize-width", "18", "--clips", "1"});
  CAPTURE(evaluated.err);
  CHECK(evaluated.exit_code == 0);

  const auto tuned = mcn_command({"finetune", "--data", data, "--out", folder.file("tuned"), "--epochs", "1", "--clips",
                                  "1", "--checkpoint", checkpoint});
  CAPTURE(tuned.err);
  REQUIRE(tuned.exit_code == 0);
  const SafetensorsFile classifier = read_safetensors(folder.file("tuned/finetuned.safetensors"));
  const std::int64_t features = 27 + 27 + 9 + 9;  // 0.07 of 384, 384, 128, 128
  CHECK(classifier.tensors.at("classifier.1.weight").shape == Shape{2, features, 1, 1, 1});
  CHECK(classifier.tensors.at("classifier.1.bias").shape == Shape{2});

  const auto refused =
      mcn_command(training(data, folder.file("third"), {"--iterations", "1", "--inner-params", "heads+layer4"}));
  CHECK(refused.exit_code == 2);
  CHECK(test::one_line_error(refused, "train", {"s3d has no layer4"}));
}

TEST_CASE("grad and bench take S3D", "[slow]") {
  const test::TemporaryFolder folder;
  Backend& backend = open_device("ref");
  const auto model = make_backbone({.arch = "s3d", .classes = 3});
  SafetensorsFile file;
  const Tensors theta = initialise(model->parameters(), backend, DType::f32, 0);
  for (std::size_t i = 0; i < theta.size(); ++i) put(file, "model." + model->parameters()[i].name, theta[i]);
  const std::vector<std::int64_t> labels{0, 2};
  for (const std::string set : {"support", "query"}) {
    std::vector<double> pixels(static_cast<std::size_t>(2 * 14 * 16 * 16 * 3));
    for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<double>(i * i % 1009) / 500 - 1;
    put(file, set + ".x", Tensor::from(backend, DType::f32, {2, 14, 16, 16, 3}, pixels));
    SafetensorsEntry y{DType::i64, {2}, std::vector<std::byte>(2 * sizeof(std::int64_t))};
    std::memcpy(y.data.data(), labels.data(), y.data.size());
    file.tensors[set + ".y"] = y;
  }
  const std::string problem = folder.file("p.safetensors"), out = folder.file("g.safetensors");
  write_safetensors(problem, file);
  const auto result = mcn_command(
      {"grad", "--arch", "s3d", "--problem", problem, "--out", out, "--inner-steps", "1", "--inner-lr", "1e-6"});
  CAPTURE(result.err);
  REQUIRE(result.exit_code == 0);
  const SafetensorsFile got = read_safetensors(out);
  CHECK(got.tensors.size() == 233 + 2);
  CHECK(got.tensors.at("grad.classifier.1.weight").shape == Shape{3, 1024, 1, 1, 1});

  const auto step =
      last_json({"bench", "step", "--arch", "s3d", "--batch", "2", "--frames", "4", "--size", "32", "--runs", "1"});
  CHECK(step.at("arch") == "s3d");
  CHECK(step.at("gflops").get<double>() > 0);
  const auto meta =
      last_json({"bench", "meta", "--arch", "s3d", "--way", "2", "--frames", "4", "--size", "32", "--runs", "1"});
  CHECK(meta.at("arch") == "s3d");
  CHECK(last_json({"bench", "train", "--arch", "s3d", "--iterations", "1", "--frames", "4", "--size", "16"})
            .at("iterations") == 1);
}

}  // namespace mcn
