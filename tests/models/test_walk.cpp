// What a walk over a model says of its layers, and the tables of shapes that are made of it.
#include <cmath>
#include <map>

#include "benchmarks/shapes.h"
#include "models/walk.h"
#include "tests/catch.h"

namespace mcn {

TEST_CASE("a walk over R(2+1)D-18 meets every layer once, with the shapes that torchvision has there") {
  const auto model = make_backbone({.arch = "r2plus1d_18", .classes = 400});
  std::vector<std::string> order;
  std::map<std::string, ConvLayer> convs;
  std::map<std::string, NormLayer> norms;
  std::vector<LinearLayer> linears;
  walk(*model, {2, 16, 112, 112, 3},
       {.conv =
            [&](const ConvLayer& layer) {
              order.push_back(layer.name);
              CHECK(convs.emplace(layer.name, layer).second);
            },
        .norm = [&](const NormLayer& layer) { CHECK(norms.emplace(layer.name, layer).second); },
        .linear = [&](const LinearLayer& layer) { linears.push_back(layer); }});
  CHECK(convs.size() == 37);
  REQUIRE(norms.size() == 37);
  for (const std::string& name : model->norms()) CHECK(norms.contains(name));
  CHECK(order.front() == "stem.0");
  CHECK(order[1] == "stem.3");
  CHECK(order.back() == "layer4.1.conv2.0.3");

  const ConvLayer& conv = convs.at("layer2.0.conv1.0.3");
  CHECK(conv.x == Shape{2, 16, 28, 28, 230});
  CHECK(conv.w == Shape{128, 3, 1, 1, 230});
  CHECK(conv.y == Shape{2, 8, 28, 28, 128});
  CHECK(conv.params == Conv3dParams{{2, 1, 1}, {1, 0, 0}});
  CHECK(convs.at("layer4.0.downsample.0").x == Shape{2, 4, 14, 14, 256});
  CHECK(convs.at("layer4.0.downsample.0").y == Shape{2, 2, 7, 7, 512});

  CHECK(norms.at("stem.1").x == Shape{2, 16, 56, 56, 45});
  for (const auto& [name, relu, residual] :
       {std::tuple{"stem.4", true, false}, std::tuple{"layer1.0.conv1.1", true, false},
        std::tuple{"layer1.0.conv2.1", true, true}, std::tuple{"layer3.0.downsample.1", false, false}}) {
    CAPTURE(name);
    CHECK(norms.at(name).relu == relu);
    CHECK(norms.at(name).residual == residual);
  }
  REQUIRE(linears.size() == 1);
  CHECK(linears[0].name == "fc");
  CHECK(linears[0].x == Shape{2, 512});
  CHECK(linears[0].w == Shape{400, 512});
}

TEST_CASE("a walk without visitors, without a classifier, and over clips that a model refuses") {
  const auto model = make_backbone({.arch = "r3d_18", .width = 0.1});
  int linears = 0;
  walk(*model, {1, 4, 16, 16, 3}, {.linear = [&](const LinearLayer&) { ++linears; }});
  CHECK(linears == 0);
  walk(*model, {1, 4, 16, 16, 3}, {});
  CHECK_THROWS_AS(walk(*model, {1, 4, 16, 16, 4}, {}), UsageError);
}

TEST_CASE("the distinct layers of R(2+1)D-18 count up to all of it") {
  const auto convs = shapes::r2plus1d_18_convs(1, 16, 112);
  CHECK(convs.size() == 25);  // 2 of the stem, 2 of layer1, 7 of each other stage
  int all = 0;
  double flops = 0;
  for (const shapes::ConvCase& c : convs) {
    all += c.count;
    flops += c.count * c.flops();
  }
  CHECK(all == 37);
  CHECK(std::abs(flops / 2e9 - 40.519) <= 5e-4);  // torchvision's figure; fc has 2e5 of them
  CHECK(convs[1].y() == Shape{1, 16, 56, 56, 64});
  CHECK(convs[2].name == "layer1.0.conv1.0.0");
  CHECK(convs[2].count == 4);

  int norms = 0, residuals = 0, without_relu = 0;
  for (const shapes::NormCase& c : shapes::r2plus1d_18_norms(1, 16, 112)) {
    norms += c.count;
    residuals += c.residual ? c.count : 0;
    without_relu += c.relu ? 0 : c.count;
  }
  CHECK(norms == 37);
  CHECK(residuals == 8);
  CHECK(without_relu == 3);
}

}  // namespace mcn
