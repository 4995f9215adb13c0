// S3D: torchvision's names, sizes and shapes. That it computes what torchvision's does is in
// tests/meta/test_golden.cpp.
#include <cmath>
#include <map>

#include "engine/device.h"
#include "models/walk.h"
#include "tests/catch.h"

namespace mcn {

TEST_CASE("S3D has torchvision's parameters and multiply-accumulates") {
  const auto model = make_backbone({.arch = "s3d", .classes = 400});
  std::map<std::string, Shape> shapes;
  std::int64_t values = 0;
  for (const ParameterSpec& spec : model->parameters()) {
    CHECK(shapes.emplace(spec.name, spec.shape).second);
    values += spec.shape.numel();
  }
  CHECK(values == 8320048);
  CHECK(shapes.size() == 233);
  CHECK(model->norms().size() == 77);
  CHECK(model->features() == 1024);
  CHECK(shapes.at("features.0.0.0.weight") == Shape{64, 1, 7, 7, 3});
  CHECK(shapes.at("features.3.1.0.weight") == Shape{192, 3, 1, 1, 192});
  CHECK(shapes.at("features.8.branch2.1.0.0.weight") == Shape{48, 1, 3, 3, 16});
  CHECK(shapes.at("features.15.branch3.1.1.bias") == Shape{128});
  CHECK(shapes.at("classifier.1.weight") == Shape{400, 1, 1, 1, 1024});
  CHECK(shapes.at("classifier.1.bias") == Shape{400});
  // The figure that torchvision documents, of a clip of 16 frames of 224 x 224 pixels: its classifier is a convolution
  // of one position there.
  CHECK(std::abs(multiply_accumulates(*model, {1, 16, 224, 224, 3}) / 1e9 - 17.979) <= 5e-4);
}

TEST_CASE("activations of S3D have torchvision's shapes") {
  std::map<std::string, ConvLayer> convs;
  walk(*make_backbone({.arch = "s3d"}), {1, 16, 224, 224, 3},
       {.conv = [&](const ConvLayer& layer) { convs.emplace(layer.name, layer); }});
  CHECK(convs.size() == 77);
  CHECK(convs.at("features.0.1.0").x == Shape{1, 16, 112, 112, 64});
  CHECK(convs.at("features.0.1.0").y == Shape{1, 8, 112, 112, 64});
  CHECK(convs.at("features.8.branch2.1.1.0").y == Shape{1, 4, 14, 14, 48});
  CHECK(convs.at("features.14.branch0.0").x == Shape{1, 2, 7, 7, 832});
  CHECK(convs.at("features.15.branch3.1.0").y == Shape{1, 2, 7, 7, 128});
}

TEST_CASE("a width scales every layer of S3D, and clips smaller than its windows are taken") {
  Backend& backend = open_device("cpu");
  const auto model = make_backbone({.arch = "s3d", .width = 0.05, .classes = 3});
  CHECK(model->features() == 19 + 19 + 6 + 6);  // of 384, 384, 128, 128
  const Tensors theta = initialise(model->parameters(), backend, DType::f32, 1);
  for (const Shape& clips : {Shape{2, 1, 8, 8, 3}, Shape{2, 17, 9, 33, 3}}) {
    CAPTURE(clips.str());
    Tape tape;
    const Var x = tape.constant(Tensor::full(backend, DType::f32, clips, 0.5));
    CHECK(model->logits(tape, tape.variables(theta), x).value.shape() == Shape{2, 3});
  }
}

}  // namespace mcn
