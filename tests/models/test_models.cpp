// Models: torchvision's names, shapes and sizes; the layout at the edges; what normalisation passes leave.
#include <algorithm>
#include <cmath>
#include <set>

#include "engine/device.h"
#include "models/mcn_model.h"
#include "tests/catch.h"

namespace mcn {
namespace {

std::int64_t count(const ParameterSpecs& specs) {
  std::int64_t n = 0;
  for (const ParameterSpec& spec : specs) n += spec.shape.numel();
  return n;
}

const ParameterSpec& find(const ParameterSpecs& specs, const std::string& name) {
  const auto found = std::find_if(specs.begin(), specs.end(), [&](const auto& s) { return s.name == name; });
  REQUIRE(found != specs.end());
  return *found;
}

}  // namespace

TEST_CASE("parameter counts are torchvision's") {
  CHECK(count(VideoResNet({"r2plus1d_18", 1, 400}).parameters()) == 31505325);
  CHECK(count(VideoResNet({"r3d_18", 1, 400}).parameters()) == 33371472);
  CHECK(VideoResNet({"r2plus1d_18", 1, 400}).parameters().size() == 113);
}

TEST_CASE("multiplications of a forward pass are torchvision's") {
  // The GFLOPS that torchvision documents of its weights, which are multiplications; its counter looks at a clip of 16
  // frames of 112 x 112 pixels.
  const Shape clip{1, 16, 112, 112, 3};
  CHECK(std::abs(VideoResNet({"r2plus1d_18", 1, 400}).multiplications(clip) / 1e9 - 40.519) <= 5e-4);
  CHECK(std::abs(VideoResNet({"r3d_18", 1, 400}).multiplications(clip) / 1e9 - 40.697) <= 5e-4);
}

TEST_CASE("names and midplanes are torchvision's") {
  const VideoResNet model({"r2plus1d_18", 1, 400});
  const ParameterSpecs& specs = model.parameters();
  CHECK(find(specs, "stem.0.weight").shape == Shape{45, 1, 7, 7, 3});
  CHECK(find(specs, "stem.3.weight").shape == Shape{64, 3, 1, 1, 45});
  CHECK(find(specs, "layer1.0.conv1.0.0.weight").shape == Shape{144, 1, 3, 3, 64});
  CHECK(find(specs, "layer2.0.conv1.0.0.weight").shape == Shape{230, 1, 3, 3, 64});
  CHECK(find(specs, "layer2.0.conv2.0.3.weight").shape == Shape{128, 3, 1, 1, 230});
  CHECK(find(specs, "layer3.0.downsample.0.weight").shape == Shape{256, 1, 1, 1, 128});
  CHECK(find(specs, "layer4.0.conv1.0.0.weight").shape == Shape{921, 1, 3, 3, 256});
  CHECK(find(specs, "layer4.1.conv2.1.bias").shape == Shape{512});
  CHECK(find(specs, "fc.weight").shape == Shape{400, 512});
  std::set<std::string> names;
  for (const ParameterSpec& spec : specs) names.insert(spec.name);
  CHECK(names.size() == specs.size());
}

TEST_CASE("an unknown arch and an empty width are refused") {
  CHECK_THROWS_AS(VideoResNet({"resnet50", 1, 0}), UsageError);
  CHECK_THROWS_AS(VideoResNet({"r2plus1d_18", 0, 0}), UsageError);
  CHECK_THROWS_AS(VideoResNet({"r2plus1d_18", -1, 0}), UsageError);
}

TEST_CASE("layouts convert there and back") {
  const Shape first{2, 3, 1, 2, 2};
  std::vector<double> values(static_cast<std::size_t>(first.numel()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i);
  const Shape last = channels_last_shape(first);
  CHECK(last == Shape{2, 1, 2, 2, 3});
  CHECK(channels_first_shape(last) == first);
  const std::vector<double> converted = to_channels_last(values, first);
  CHECK(converted[1] == 4);  // n 0, d 0, h 0, w 0, c 1
  CHECK(to_channels_first(converted, last) == values);
}

TEST_CASE("initial weights depend on the seed and the name alone") {
  Backend& backend = open_device("ref");
  const McnModel small({{"r2plus1d_10", 0.1, 0}, 8});
  const McnModel other({{"r2plus1d_10", 0.1, 0}, 16});
  const Tensors a = initialise(small.parameters(), backend, DType::f32, 1);
  const Tensors b = initialise(other.parameters(), backend, DType::f32, 1);
  const Tensors c = initialise(small.parameters(), backend, DType::f32, 2);
  CHECK(a[0].to_doubles() == b[0].to_doubles());
  CHECK(a[0].to_doubles() != c[0].to_doubles());
}

TEST_CASE("batch statistics are collected where asked, and evaluation uses given ones") {
  Backend& backend = open_device("ref");
  const VideoResNet model({"r2plus1d_10", 0.1, 0});
  const Tensors theta = initialise(model.parameters(), backend, DType::f64, 1);
  std::vector<double> pixels(static_cast<std::size_t>(4 * 2 * 8 * 8 * 3));
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<double>(i % 17) / 8 - 1;
  const Tensor clips = Tensor::from(backend, DType::f64, {4, 2, 8, 8, 3}, std::span<const double>(pixels));
  Tape tape;
  const std::vector<Var> vars = tape.variables(theta);
  std::vector<ops::BatchStatistics> collected;
  const Tensor trained = model.pooled(tape, vars, tape.constant(clips), {.collect = &collected}).value;
  CHECK(trained.shape() == Shape{4, model.features()});
  REQUIRE(collected.size() == model.norms().size());

  // Evaluated with the batch's own (biased) statistics, the network gives the same features.
  std::vector<RunningStatistics> running;
  for (const ops::BatchStatistics& s : collected) {
    REQUIRE(s.count > 1);
    std::vector<double> variance = s.unbiased_variance();
    for (double& v : variance) v *= static_cast<double>(s.count - 1) / static_cast<double>(s.count);
    running.push_back({s.mean, Tensor::from(backend, DType::f64, s.mean.shape(), std::span<const double>(variance))});
  }
  Tape evaluation;
  const std::vector<Var> vars2 = evaluation.variables(theta);
  const std::vector<double> a = trained.to_doubles();
  const std::vector<double> b =
      model.pooled(evaluation, vars2, evaluation.constant(clips), {.running = &running}).value.to_doubles();
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(std::abs(a[i] - b[i]) <= 1e-8);
  running.pop_back();
  CHECK_THROWS_AS(model.pooled(evaluation, vars2, evaluation.constant(clips), {.running = &running}), UsageError);
}

}  // namespace mcn
