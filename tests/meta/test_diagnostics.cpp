// Accuracies and update ratios, worked out by hand.
#include <cmath>
#include <limits>

#include "engine/device.h"
#include "meta/train/diagnostics.h"
#include "tests/catch.h"

namespace mcn {
namespace {

Tensor tensor(const Shape& shape, const std::vector<double>& values) {
  return Tensor::from(open_device("ref"), DType::f64, shape, std::span<const double>(values));
}

}  // namespace

TEST_CASE("InfoNCE top-1 counts both ways, and pairs count both kinds alike") {
  ObjectiveParts parts;
  // Views a: e0, e1, e2; views b: e0, between e0 and e1 but nearer to e0, e2. Similarities, rows a, columns b:
  //   1 .8 0;  0 .6 0;  0 0 1.  From a: all three hit. From b: 0 and 2 hit, 1 is nearer to a_0.
  parts.z = tensor({6, 3}, {1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, .8, .6, 0, 0, 0, 1});
  const Accuracies without = accuracies(parts);
  CHECK(std::abs(without.top1 - 5.0 / 6) <= 1e-12);
  CHECK(std::abs(without.top1_chance - 1.0 / 3) <= 1e-12);
  CHECK_FALSE(without.pairs);
  // One of three pairs of one video is right, and five of six pairs of two.
  parts.logits = tensor({9, 1}, {2, -1, -1, -1, -3, -1, 4, -1, -.5});
  CHECK(std::abs(*accuracies(parts).pairs - 0.5 * (1.0 / 3 + 5.0 / 6)) <= 1e-12);
}

TEST_CASE("features that have collapsed, and those that are not finite, hit nothing") {
  ObjectiveParts parts;
  for (const double value : {1.0, std::nan("")}) {
    parts.z = tensor({4, 2}, {value, 0, value, 0, value, 0, value, 0});
    parts.logits = tensor({4, 1}, {std::nan(""), std::nan(""), 0, 0});
    CHECK(accuracies(parts).top1 == 0);
    CHECK(*accuracies(parts).pairs == 0);
  }
}

TEST_CASE("embeddings spread over all directions deviate by 1 / sqrt(features), collapsed ones not at all") {
  // The first feature is 1, 0, -1, .6 with mean .15, the second 0, 1, 0, .8 with mean .45. By numpy: std(0).mean().
  CHECK(std::abs(embedding_std(tensor({4, 2}, {1, 0, 0, 1, -1, 0, .6, .8})) - 0.6044238188115916) <= 1e-12);
  CHECK(std::abs(embedding_std(tensor({4, 2}, {1, 0, 0, 1, -1, 0, 0, -1})) - 1 / std::sqrt(2.0)) <= 1e-12);
  CHECK(embedding_std(tensor({3, 2}, {.6, .8, .6, .8, .6, .8})) <= 1e-12);
  CHECK(std::isnan(embedding_std(tensor({2, 2}, {1, 0, std::nan(""), 0}))));
}

TEST_CASE("an update is measured against the weights of its group") {
  CHECK(parameter_group("stem.0.weight") == "stem");
  CHECK(parameter_group("layer3.0.conv1.0.1.bias") == "layer3");
  CHECK(parameter_group("features.15.branch1.1.0.1.weight") == "features.15");
  CHECK(parameter_group("classifier.1.weight") == "heads");
  CHECK(parameter_group("fc_feat.weight") == "heads");
  CHECK(parameter_group("fcm.bias") == "heads");
  const ParameterSpecs specs{{"stem.0.weight", {2}}, {"fc_feat.weight", {1}}, {"stem.1.bias", {1}},
                             {"fcm.bias", {1}},      {"layer1.x", {1}},       {"layer2.x", {1}}};
  Tensors before{tensor({2}, {3, 0}), tensor({1}, {2}), tensor({1}, {4}),
                 tensor({1}, {0}),    tensor({1}, {0}), tensor({1}, {0})};
  const Tensors after{tensor({2}, {3, 3}), tensor({1}, {2}), tensor({1}, {0}),
                      tensor({1}, {1}),    tensor({1}, {0}), tensor({1}, {1})};
  const std::vector<GroupUpdate> ratios = update_ratios(specs, before, after);
  REQUIRE(ratios.size() == 4);
  CHECK(ratios[0].group == "stem");
  CHECK(std::abs(ratios[0].ratio - 1) <= 1e-12);  // |(0, 3, -4)| / |(3, 0, 4)|
  CHECK(ratios[1].group == "heads");
  CHECK(std::abs(ratios[1].ratio - 0.5) <= 1e-12);
  CHECK(ratios[2].group == "layer1");
  CHECK(ratios[2].ratio == 0);
  CHECK(std::isinf(ratios[3].ratio));
}

}  // namespace mcn
