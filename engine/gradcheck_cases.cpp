// The operators that gradcheck covers, a row or several for each: a new operator without a row fails the suite.
#include "engine/gradcheck.h"

namespace mcn {
namespace {

using Inputs = std::vector<std::optional<Shape>>;

// Few enough values that a ReLU has room between them (GradcheckCase::before_relu).
const Shape activation{2, 2, 3, 2, 3};
const Shape channels{3};

GradcheckCase conv(std::string label, const Shape& x, const Shape& w, const Conv3dParams& params) {
  return {"conv3d", std::move(label), {x, w}, [params](GradcheckDraw&) { return ops::conv3d(params); }};
}

GradcheckCase norm(std::string label, Inputs inputs, bool relu) {
  GradcheckCase c{"batch_norm", std::move(label), std::move(inputs),
                  [relu](GradcheckDraw&) { return ops::batch_norm({.relu = relu}); }};
  if (relu) c.before_relu = [](GradcheckDraw&) { return ops::batch_norm({}); };
  return c;
}

GradcheckCase fixed_norm(std::string label, Inputs inputs, bool relu) {
  const auto maker = [](bool with_relu) {
    return [with_relu](GradcheckDraw& draw) {
      const Tensor mean = draw.uniform(channels, -1, 1);
      return ops::batch_norm_fixed({.relu = with_relu}, mean, draw.uniform(channels, 0.5, 2));
    };
  };
  GradcheckCase c{"batch_norm_fixed", std::move(label), std::move(inputs), maker(relu)};
  if (relu) c.before_relu = maker(false);
  return c;
}

GradcheckCase relu_case(std::string label, const Shape& x) {
  GradcheckCase c{"relu", std::move(label), {x}, [](GradcheckDraw&) { return ops::relu(); }};
  c.distinct = true;
  return c;
}

GradcheckCase max_pool(std::string label, const Shape& x, const PoolParams& params) {
  GradcheckCase c{"max_pool", std::move(label), {x}, [params](GradcheckDraw&) { return ops::max_pool(params); }};
  c.distinct = true;
  return c;
}

GradcheckCase avg_pool(std::string label, const Shape& x, const PoolParams& params) {
  return {"avg_pool", std::move(label), {x}, [params](GradcheckDraw&) { return ops::avg_pool(params); }};
}

GradcheckCase add(std::string label, double alpha, double beta) {
  return {"add", std::move(label), {activation, activation}, [=](GradcheckDraw&) { return ops::add(alpha, beta); }};
}

GradcheckCase slice(std::string label, const Shape& x, std::int64_t begin, std::int64_t end) {
  return {"slice_rows", std::move(label), {x}, [=](GradcheckDraw&) { return ops::slice_rows(begin, end); }};
}

GradcheckCase concat(std::string label, Inputs inputs) {
  return {"concat_channels", std::move(label), std::move(inputs),
          [](GradcheckDraw&) { return ops::concat_channels(); }};
}

GradcheckCase l2(std::string label, double eps) {
  return {"l2_normalize", std::move(label), {Shape{3, 4}}, [eps](GradcheckDraw&) { return ops::l2_normalize(eps); }};
}

// Features as short as unit vectors: at this temperature longer ones saturate the softmax.
GradcheckCase info_nce(std::string label, const std::function<ops::InfoNceBank(GradcheckDraw&)>& bank) {
  GradcheckCase c{"info_nce", std::move(label), {Shape{4, 5}, Shape{4, 5}}, [bank](GradcheckDraw& draw) {
                    return ops::info_nce(0.07, bank ? bank(draw) : ops::InfoNceBank{});
                  }};
  c.scale = 0.3;
  // The temperature multiplies the roundings of a logit by 14, and the loss cancels between its two terms.
  c.slack = 14;
  return c;
}

Tensor ids(GradcheckDraw& draw, const std::vector<std::int64_t>& values) {
  return Tensor::from(draw.backend(), values);
}

std::vector<GradcheckCase> make_cases() {
  return {
      conv("1x3x3", {2, 2, 4, 3, 3}, {4, 1, 3, 3, 3}, {{1, 1, 1}, {0, 1, 1}}),
      conv("1x3x3 stride 2", {1, 2, 5, 4, 3}, {4, 1, 3, 3, 3}, {{1, 2, 2}, {0, 1, 1}}),
      conv("3x1x1", {1, 4, 2, 3, 3}, {2, 3, 1, 1, 3}, {{1, 1, 1}, {1, 0, 0}}),
      conv("3x1x1 stride 2", {1, 5, 2, 3, 2}, {3, 3, 1, 1, 2}, {{2, 1, 1}, {1, 0, 0}}),
      conv("1x7x7 stride 2", {1, 2, 6, 5, 3}, {2, 1, 7, 7, 3}, {{1, 2, 2}, {0, 3, 3}}),
      conv("1x1x1 stride 2", {2, 3, 4, 5, 3}, {2, 1, 1, 1, 3}, {{2, 2, 2}, {0, 0, 0}}),
      conv("3x3x3", {1, 3, 4, 3, 2}, {3, 3, 3, 3, 2}, {{1, 1, 1}, {1, 1, 1}}),
      conv("3x3x3 stride 2", {2, 4, 3, 5, 2}, {3, 3, 3, 3, 2}, {{2, 2, 2}, {1, 1, 1}}),
      conv("one element", {1, 1, 1, 1, 1}, {1, 1, 1, 1, 1}, {}),
      conv("3x3x3 on one voxel", {1, 1, 1, 1, 2}, {3, 3, 3, 3, 2}, {{1, 1, 1}, {1, 1, 1}}),

      norm("", {activation, channels, channels}, false),
      norm("ReLU", {activation, channels, channels}, true),
      norm("residual", {activation, channels, channels, activation}, false),
      norm("residual, ReLU", {activation, channels, channels, activation}, true),
      norm("residual absent, ReLU", {activation, channels, channels, std::nullopt}, true),
      norm("rows of features", {Shape{7, 4}, Shape{4}, Shape{4}}, false),
      norm("one channel", {Shape{2, 1, 3, 2, 1}, Shape{1}, Shape{1}}, false),
      fixed_norm("", {activation, channels, channels}, false),
      fixed_norm("residual, ReLU", {activation, channels, channels, activation}, true),

      relu_case("", activation),
      relu_case("one element", {1}),
      add("", 1, 1),
      add("weighted", 0.5, -2),
      add("weight one and another", 1, 0.25),
      slice("features", {5, 3}, 1, 4),
      slice("clips", {3, 2, 2, 1, 2}, 0, 1),
      slice("all rows", {2, 3}, 0, 2),
      concat("four branches", {Shape{2, 2, 1, 2, 1}, Shape{2, 2, 1, 2, 4}, Shape{2, 2, 1, 2, 3}, Shape{2, 2, 1, 2, 2}}),
      concat("whole vectors", {Shape{3, 8}, Shape{3, 4}}),
      concat("pairs", {Shape{3, 2}, Shape{3, 6}, Shape{3, 4}}),
      concat("one input", {Shape{3, 5}}),
      concat("one axis", {Shape{1}, Shape{2}}),

      max_pool("1x3x3 stride 2", {2, 2, 5, 4, 3}, {{1, 3, 3}, {1, 2, 2}, {0, 1, 1}}),
      max_pool("2x2x2 overlapping", {1, 3, 3, 4, 2}, {{2, 2, 2}, {1, 1, 1}, {0, 0, 0}}),
      max_pool("3x3x3 padded", {1, 3, 2, 4, 2}, {{3, 3, 3}, {1, 1, 1}, {1, 1, 1}}),
      max_pool("3x3x3 stride 2, padded", {1, 4, 3, 5, 2}, {{3, 3, 3}, {2, 2, 2}, {1, 1, 1}}),
      max_pool("one voxel", {2, 1, 1, 1, 3}, {{3, 3, 3}, {2, 2, 2}, {1, 1, 1}}),
      avg_pool("2x2x2", {2, 2, 4, 4, 3}, {{2, 2, 2}, {2, 2, 2}, {0, 0, 0}}),
      avg_pool("3x3x3 stride 2, padded", {1, 3, 5, 4, 2}, {{3, 3, 3}, {2, 2, 2}, {1, 1, 1}}),
      {"global_avg_pool", "", {Shape{2, 2, 3, 2, 4}}, [](GradcheckDraw&) { return ops::global_avg_pool(); }},
      {"global_avg_pool", "one voxel", {Shape{2, 1, 1, 1, 3}}, [](GradcheckDraw&) { return ops::global_avg_pool(); }},

      {"linear", "", {Shape{3, 4}, Shape{5, 4}, Shape{5}}, [](GradcheckDraw&) { return ops::linear(); }},
      {"linear",
       "weight of a 1x1x1 convolution",
       {Shape{3, 4}, Shape{2, 1, 1, 1, 4}, Shape{2}},
       [](GradcheckDraw&) { return ops::linear(); }},
      {"linear", "no bias", {Shape{3, 4}, Shape{5, 4}}, [](GradcheckDraw&) { return ops::linear(); }},
      {"linear", "bias absent", {Shape{1, 4}, Shape{1, 4}, std::nullopt}, [](GradcheckDraw&) { return ops::linear(); }},
      l2("", 1e-12),
      l2("rows shorter than eps", 10),
      {"pairing", "", {Shape{3, 4}, Shape{3, 4}}, [](GradcheckDraw&) { return ops::pairing(); }},
      {"pairing", "scaled", {Shape{2, 3}, Shape{2, 3}}, [](GradcheckDraw&) { return ops::pairing(8); }},
      {"pairing", "one pair", {Shape{1, 1}, Shape{1, 1}}, [](GradcheckDraw&) { return ops::pairing(); }},

      {"cross_entropy", "", {Shape{4, 5}}, [](GradcheckDraw& d) { return ops::cross_entropy(d.integers(4, 5)); }},
      {"cross_entropy",
       "one row",
       {Shape{1, 3}},
       [](GradcheckDraw& d) { return ops::cross_entropy(d.integers(1, 3)); }},
      {"bce_with_logits",
       "",
       {Shape{9}},
       [](GradcheckDraw& d) { return ops::bce_with_logits(d.uniform({9}, 0, 1), 7); }},
      {"bce_with_logits",
       "column",
       {Shape{6, 1}},
       [](GradcheckDraw& d) {
         return ops::bce_with_logits(d.uniform({6, 1}, 0, 1));
       }},

      info_nce("in-batch negatives", nullptr),
      info_nce("bank",
               [](GradcheckDraw& draw) {
                 return ops::InfoNceBank{draw.uniform({7, 5}, -0.5, 0.5), {}, {}};
               }),
      info_nce("bank with the anchors' own past",
               [](GradcheckDraw& draw) {
                 const Tensor features = draw.uniform({6, 5}, -0.5, 0.5);
                 return ops::InfoNceBank{features, ids(draw, {3, 9, 1, 3, 0, 8}), ids(draw, {3, 1, 2, 0})};
               }),
  };
}

}  // namespace

const std::vector<GradcheckCase>& gradcheck_cases() {
  static const std::vector<GradcheckCase> cases = make_cases();
  return cases;
}

}  // namespace mcn
