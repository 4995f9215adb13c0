// Weights of other programs. tests/golden/make_weights.py had PyTorch write weights.pth, and compute the features.
#include <cmath>
#include <cstring>
#include <fstream>
#include <set>

#include "engine/io/torch_file.h"
#include "meta/trainer.h"
#include "meta/weights.h"
#include "tests/catch.h"
#include "tests/files.h"
#include "tests/meta/small_training.h"
#include "tests/temporary_folder.h"

namespace mcn {
namespace {

using Catch::Matchers::ContainsSubstring;

std::string golden() { return test::source_file("tests/golden/weights.pth"); }

McnModel model_of(const Weights& weights) { return McnModel({infer_backbone(weights), 8}); }

std::vector<double> features(const McnModel& model, const ModelState& state, Backend& backend) {
  constexpr std::int64_t frames = 4;
  constexpr std::int64_t size = 16;
  std::vector<double> clip(static_cast<std::size_t>(3 * frames * size * size));
  for (std::size_t i = 0; i < clip.size(); ++i) clip[i] = std::sin(0.7 * static_cast<double>(i) + 0.25);
  const Shape first{1, 3, frames, size, size};
  clip = to_channels_last(clip, first);
  Tape tape;
  std::vector<Var> theta;
  for (const Tensor& t : state.theta) theta.push_back(tape.constant(t));
  const Var x =
      tape.constant(Tensor::from(backend, DType::f64, channels_last_shape(first), std::span<const double>(clip)));
  return model.backbone().pooled(tape, theta, x, {.running = &state.running}).value.to_doubles();
}

const std::vector<double> features_of_pytorch{0.0,
                                              0.0,
                                              0.8603355594334735,
                                              0.22465777402332132,
                                              0.0,
                                              0.0,
                                              0.03713730183903832,
                                              0.07369813600730302,
                                              0.12153466944320501,
                                              0.06323656991824433,
                                              0.0,
                                              0.17102159613860557,
                                              0.0,
                                              0.40433952511022264,
                                              0.0};

// The golden weights under bare names, as a file of ours holds them.
SafetensorsFile bare() {
  SafetensorsFile file;
  file.tensors = read_weights(golden()).tensors;
  return file;
}

std::string refusal(const SafetensorsFile& file, bool strict = true) {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("weights.safetensors");
  write_safetensors(path, file);
  const Weights golden_weights = read_weights(golden());
  const McnModel model = model_of(golden_weights);
  ModelState state = initial_state(model, open_device("ref"), DType::f64, 1);
  const std::vector<double> before = state.theta.front().to_doubles();
  try {
    load_weights(read_weights(path), model, state, strict);
  } catch (const Error& error) {
    CHECK(state.theta.front().to_doubles() == before);
    return error.what();
  }
  return "nothing was refused";
}

}  // namespace

TEST_CASE("a network of PyTorch has PyTorch's features here") {
  const Weights weights = read_weights(golden());
  const BackboneConfig backbone = infer_backbone(weights);
  CHECK(backbone.arch == "r2plus1d_10");
  CHECK(backbone.width == 0.03);
  const McnModel model({backbone, 8});
  Backend& backend = open_device("ref");
  ModelState state = initial_state(model, backend, DType::f64, 1);
  const std::vector<double> head = state.theta.back().to_doubles();
  const WeightsReport report = load_weights(weights, model, state, true);
  CHECK(report.missing.empty());
  CHECK(report.extra.empty());
  CHECK_FALSE(report.heads);
  CHECK(state.theta.back().to_doubles() == head);
  const std::vector<double> found = features(model, state, backend);
  REQUIRE(found.size() == features_of_pytorch.size());
  for (std::size_t i = 0; i < found.size(); ++i) CHECK(std::abs(found[i] - features_of_pytorch[i]) < 1e-14);
}

TEST_CASE("an exported backbone is what PyTorch wrote, name by name and bit by bit") {
  const Weights weights = read_weights(golden());
  const McnModel model = model_of(weights);
  ModelState state = initial_state(model, open_device("cpu"), DType::f32, 1);
  load_weights(weights, model, state, true);
  ModelDescription description;
  description.model.backbone = infer_backbone(weights);
  const SafetensorsFile file = export_backbone(model, state, description, "run/last.safetensors");
  REQUIRE(file.tensors.size() == weights.tensors.size());
  for (const auto& [name, entry] : weights.tensors) {
    INFO(name);
    REQUIRE(file.tensors.contains(name));
    CHECK(file.tensors.at(name).shape == entry.shape);
    CHECK(file.tensors.at(name).dtype == entry.dtype);
    CHECK(file.tensors.at(name).data == entry.data);
  }
  CHECK(file.metadata.at("format") == "pt");  // transformers refuses safetensors files without it
  CHECK(file.metadata.at("architecture") == "r2plus1d_10");
  CHECK(file.metadata.at("mean") == "0.43216 0.394666 0.37645");
  CHECK(file.metadata.at("std") == "0.22803 0.22145 0.216989");
  CHECK(file.metadata.at("resize") == "128x171");
}

TEST_CASE("weights that do not fit are refused by name, and leave the network as it was") {
  SafetensorsFile file = bare();
  file.tensors.erase("layer2.0.conv1.0.3.weight");
  CHECK_THAT(refusal(file), ContainsSubstring("lacks layer2.0.conv1.0.3.weight"));
  CHECK(refusal(file, false) == "nothing was refused");
  file = bare();
  file.tensors["layer5.0.weight"] = file.tensors["stem.1.weight"];
  CHECK_THAT(refusal(file), ContainsSubstring("has layer5.0.weight, which the network lacks"));
  CHECK(refusal(file, false) == "nothing was refused");
  file = bare();
  file.tensors["stem.3.weight"].shape = {1, 2, 3, 1, 1};
  CHECK_THAT(refusal(file, false),
             ContainsSubstring("\"stem.3.weight\" has shape (1, 2, 3, 1, 1), expected (2, 1, 3, 1, 1)"));
  file = bare();
  const float nan = std::nanf("");
  std::memcpy(file.tensors["stem.4.bias"].data.data(), &nan, sizeof nan);
  CHECK_THAT(refusal(file, false), ContainsSubstring("\"stem.4.bias\" holds a value that is not finite"));
  file = bare();
  file.tensors["fc.weight"] = file.tensors["stem.1.weight"];  // a classifier: nobody's business
  CHECK(refusal(file) == "nothing was refused");
  file.tensors.erase("stem.0.weight");
  CHECK_THAT(refusal(file, false), ContainsSubstring("no tensor \"stem.0.weight\""));
}

TEST_CASE("of several networks in a file the prefix says which") {
  SafetensorsFile file;
  for (const auto& [name, entry] : bare().tensors) {
    file.tensors["encoder_q." + name] = entry;
    file.tensors["encoder_k." + name] = entry;
  }
  file.tensors["queue"] = file.tensors["encoder_q.stem.1.weight"];
  const test::TemporaryFolder folder;
  const std::string path = folder.file("moco.safetensors");
  write_safetensors(path, file);
  CHECK_THROWS_WITH(read_weights(path), ContainsSubstring("holds 2 networks") && ContainsSubstring("\"encoder_k.\""));
  CHECK_THROWS_WITH(read_weights(path, "encoder."), ContainsSubstring("no network under \"encoder.\""));
  CHECK(read_weights(path, "encoder_q.").tensors.size() == bare().tensors.size());
}

TEST_CASE("a file of PyTorch before 1.6 is refused by that name") {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("legacy.pth");
  std::ofstream(path, std::ios::binary) << "\x80\x02\x8a\nl\xfc\x9c"
                                           "F\xf9 j\xa8P\x19.";
  CHECK_THROWS_WITH(read_weights(path), ContainsSubstring("before 1.6"));
}

TEST_CASE("a width that no network has is refused with the first convolution's shape") {
  SafetensorsFile file = bare();
  file.tensors["layer4.0.conv2.0.3.weight"].shape = {5, 3, 3, 1, 1};
  file.tensors["layer4.0.conv2.0.3.weight"].data.resize(5 * 3 * 3 * sizeof(float));
  const test::TemporaryFolder folder;
  const std::string path = folder.file("weights.safetensors");
  write_safetensors(path, file);
  CHECK_THROWS_WITH(infer_backbone(read_weights(path)), ContainsSubstring("stem.0.weight is (1, 3, 1, 7, 7)"));
}

TEST_CASE("training starts from the weights of another run's checkpoint, heads included") {
  TrainConfig c = test::small_config();
  Backend& backend = open_device("cpu");
  const test::TemporaryFolder folder;
  const std::string path = folder.file("last.safetensors");
  Trainer first(c, test::videos(), backend);
  first.step();
  first.save(path);
  c.loader.seed += 1;
  Trainer second(c, test::videos(), backend);
  const WeightsReport report = second.initialize(read_weights(path), true);
  CHECK(report.heads);
  for (std::size_t i = 0; i < first.state().theta.size(); ++i)
    CHECK(second.state().theta[i].to_doubles() == first.state().theta[i].to_doubles());
  CHECK(second.iteration() == 0);
  second.step();
  CHECK_THROWS_AS(second.initialize(read_weights(path), true), UsageError);
}

}  // namespace mcn
