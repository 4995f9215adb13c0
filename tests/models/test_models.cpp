// Models: torchvision's names, shapes and sizes; the layout at the edges; what normalisation passes leave.
#include <algorithm>
#include <cmath>
#include <set>

#include "benchmarks/shapes.h"
#include "engine/device.h"
#include "models/mcn_model.h"
#include "models/walk.h"
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
  CHECK(count(make_backbone({"r2plus1d_18", 1, 400})->parameters()) == 31505325);
  CHECK(count(make_backbone({"r3d_18", 1, 400})->parameters()) == 33371472);
  CHECK(make_backbone({"r2plus1d_18", 1, 400})->parameters().size() == 113);
}

TEST_CASE("multiply-accumulates of a forward pass are torchvision's") {
  // The GFLOPS that torchvision documents of its weights, which are multiply-accumulates; its counter looks at a clip
  // of 16 frames of 112 x 112 pixels.
  const Shape clip{1, 16, 112, 112, 3};
  CHECK(std::abs(multiply_accumulates(*make_backbone({"r2plus1d_18", 1, 400}), clip) / 1e9 - 40.519) <= 5e-4);
  CHECK(std::abs(multiply_accumulates(*make_backbone({"r3d_18", 1, 400}), clip) / 1e9 - 40.697) <= 5e-4);
}

TEST_CASE("names and midplanes are torchvision's") {
  const auto model = make_backbone({"r2plus1d_18", 1, 400});
  const ParameterSpecs& specs = model->parameters();
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
  CHECK_THROWS_AS(make_backbone({"resnet50", 1, 0}), UsageError);
  CHECK_THROWS_AS(make_backbone({"r2plus1d_18", 0, 0}), UsageError);
  CHECK_THROWS_AS(make_backbone({"r2plus1d_18", -1, 0}), UsageError);
}

TEST_CASE("a feature size that no network has is refused") {
  for (const std::int64_t size : {std::int64_t{1}, std::int64_t{65537}, std::int64_t{2305843009213693951}})
    CHECK_THROWS_AS(McnModel({{"r2plus1d_10", 0.1, 0}, size}), UsageError);
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

TEST_CASE("weights of convolutions and fully connected layers decay, biases and normalization do not") {
  const std::string arch = GENERATE(from_range(backbone_archs()));
  const McnModel model({{arch, 0.1, 0}, 8});
  const auto classifier = make_backbone({arch, 0.1, 5});
  std::set<std::string> norms;
  for (const std::string& name : model.backbone().norms()) norms.insert(name);
  for (const ParameterSpecs& specs : {model.parameters(), classifier->parameters()})
    for (const ParameterSpec& spec : specs) {
      INFO(spec.name);
      const std::size_t dot = spec.name.rfind('.');
      const bool weight = spec.name.substr(dot) == ".weight" && !norms.contains(spec.name.substr(0, dot));
      CHECK(spec.decays == weight);
    }
  const std::vector<std::string> some = arch == "s3d"
                                            ? std::vector<std::string>{"features.0.0.1", "features.15.branch3.1.1"}
                                            : std::vector<std::string>{"stem.1", "layer2.0.downsample.1"};
  for (const std::string& name : some) CHECK(norms.contains(name));
}

TEST_CASE("a convolution starts with a deviation of sqrt(2 / fan_out), a head with 1 / sqrt(inputs), biases at 0") {
  Backend& backend = open_device("ref");
  const McnModel model({{"r2plus1d_10", 0.5, 0}, 48});
  const Tensors theta = initialise(model.parameters(), backend, DType::f64, 5);
  const auto values = [&](const std::string& name) {
    for (std::size_t i = 0; i < theta.size(); ++i)
      if (model.parameters()[i].name == name) return theta[i].to_doubles();
    return std::vector<double>();
  };
  const auto moments = [](const std::vector<double>& v) {
    double sum = 0;
    double squares = 0;
    for (const double x : v) sum += x, squares += x * x;
    const auto n = static_cast<double>(v.size());
    return std::pair{sum / n, std::sqrt(squares / n)};
  };
  struct Row {
    std::string name;
    double deviation;
  };
  // fan_out: output channels times the kernel; the inputs are others in each.
  for (const Row& row : {Row{"stem.0.weight", std::sqrt(2.0 / (23 * 7 * 7))},           // 3 -> 23, 1 x 7 x 7
                         Row{"stem.3.weight", std::sqrt(2.0 / (32 * 3))},               // 23 -> 32, 3 x 1 x 1
                         Row{"layer2.0.conv1.0.0.weight", std::sqrt(2.0 / (115 * 9))},  // 32 -> 115, 1 x 3 x 3
                         Row{"layer4.0.downsample.0.weight", std::sqrt(2.0 / 256)},     // 128 -> 256, 1 x 1 x 1
                         Row{"fc_feat.weight", std::sqrt(1.0 / 256)}, Row{"fcm.weight", std::sqrt(1.0 / 96)}}) {
    INFO(row.name);
    const std::vector<double> v = values(row.name);
    REQUIRE(v.size() > 2000);
    const auto [mean, deviation] = moments(v);
    // Four standard errors of each.
    const auto n = static_cast<double>(v.size());
    CHECK(std::abs(mean) <= 4 * row.deviation / std::sqrt(n));
    CHECK(std::abs(deviation - row.deviation) <= 4 * row.deviation / std::sqrt(2 * n));
  }
  for (const auto& [name, value] : {std::pair{"stem.1.weight", 1.0}, std::pair{"stem.1.bias", 0.0},
                                    std::pair{"fc_feat.bias", 0.0}, std::pair{"fc_meta.bias", 0.0}})
    CHECK(values(name) == std::vector<double>(values(name).size(), value));
}

TEST_CASE("logits of the meta branch by hand: pairs, a hidden layer with ReLU, a weight for each of its units") {
  Backend& backend = open_device(GENERATE(as<std::string>{}, "ref", "cpu", "simt"));
  const McnModel model({{"r2plus1d_10", 0.03, 0}, 2});
  Tensors theta = initialise(model.parameters(), backend, DType::f64, 1);
  const auto set = [&](const std::string& name, std::vector<double> v) {
    for (std::size_t i = 0; i < theta.size(); ++i)
      if (model.parameters()[i].name == name) theta[i].copy_from(v);
  };
  // Of a pair: 2 (a0 b0, a1 b1, (a0 - b0)^2, (a1 - b1)^2).
  set("fcm.weight", {1, 0, 0, -1,  //
                     -1, 2, 1, 0});
  set("fcm.bias", {0.5, -1});
  set("fc_meta.weight", {3, -2});
  set("fc_meta.bias", {0.25});
  const auto rows = [&](std::vector<double> v) {
    return Tensor::from(backend, DType::f64, {2, 2}, std::span<const double>(v));
  };
  Tape tape;
  const std::vector<Var> vars = tape.variables(theta);
  const Var a = tape.constant(rows({1, 0, 0.6, 0.8}));
  const Var b = tape.constant(rows({0, 1, 1, 0}));
  const std::vector<double> logits = model.meta_logits(tape, vars, a, b).value.to_doubles();
  // (a0, b0): pairs (0, 0, 2, 2): hidden (0 - 2 + .5, 0 + 2 - 1) = (-1.5 -> 0, 1)
  // (a0, b1): (2, 0, 0, 0): (2.5, -3 -> 0)
  // (a1, b0): (0, 1.6, .72, .08): (.42, 3.2 + .72 - 1 = 2.92)
  // (a1, b1): (1.2, 0, .32, 1.28): (1.2 - 1.28 + .5 = .42, -1.2 + .32 - 1 -> 0)
  const std::vector<double> expected{0.25 - 2, 0.25 + 7.5, 0.25 + 1.26 - 5.84, 0.25 + 1.26};
  REQUIRE(logits.size() == 4);
  for (std::size_t i = 0; i < 4; ++i) CHECK(std::abs(logits[i] - expected[i]) <= 1e-14);
}

TEST_CASE("batch statistics are collected where asked, and evaluation uses given ones") {
  Backend& backend = open_device("ref");
  const std::string arch = GENERATE("r2plus1d_10", "s3d");
  const auto model = make_backbone({arch, 0.1, 0});
  const Tensors theta = initialise(model->parameters(), backend, DType::f64, 1);
  std::vector<double> pixels(static_cast<std::size_t>(4 * 2 * 8 * 8 * 3));
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<double>(i % 17) / 8 - 1;
  const Tensor clips = Tensor::from(backend, DType::f64, {4, 2, 8, 8, 3}, std::span<const double>(pixels));
  Tape tape;
  const std::vector<Var> vars = tape.variables(theta);
  std::vector<ops::BatchStatistics> collected;
  const Tensor trained = model->pooled(tape, vars, tape.constant(clips), {.collect = &collected}).value;
  CHECK(trained.shape() == Shape{4, model->features()});
  REQUIRE(collected.size() == model->norms().size());

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
      model->pooled(evaluation, vars2, evaluation.constant(clips), {.running = &running}).value.to_doubles();
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(std::abs(a[i] - b[i]) <= 1e-8);
  running.pop_back();
  CHECK_THROWS_AS(model->pooled(evaluation, vars2, evaluation.constant(clips), {.running = &running}), UsageError);
}

}  // namespace mcn
