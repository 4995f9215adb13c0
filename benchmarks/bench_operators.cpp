// The four rules of every operator on the cpu backend, at the sizes that MCN uses. An operator's rules are verified
// against ref in float64 on a small shape before they are timed.
//   taskset -c 0,1 build/bench_operators --benchmark_filter='conv3d.*vjp_dot'
#include <benchmark/benchmark.h>

#include <functional>
#include <string>
#include <vector>

#include "benchmarks/shapes.h"
#include "engine/device.h"
#include "engine/gradcheck.h"

namespace mcn {
namespace {

/// An operator at a small size, to verify, and at the size to time.
struct Row {
  GradcheckCase small, large;
  double flops = 0;  ///< of forward; 0: memory is what it costs
};

GradcheckCase make_case(const std::string& op, const std::string& label, std::vector<std::optional<Shape>> inputs,
                        GradcheckCase::Make make) {
  GradcheckCase c;
  c.op = op;
  c.label = label;
  c.inputs = std::move(inputs);
  c.make = std::move(make);
  return c;
}

Row conv_row(const shapes::ConvCase& c) {
  const auto at = [](const shapes::ConvCase& k) {
    return make_case("conv3d", k.name, {k.x, k.w}, [p = k.params](GradcheckDraw&) { return ops::conv3d(p); });
  };
  return {at(shapes::scaled_down(c)), at(c), c.flops()};
}

Row norm_row(const shapes::NormCase& c) {
  const auto at = [&](std::int64_t rows) {
    const Shape x{rows, c.channels};
    std::vector<std::optional<Shape>> inputs{x, Shape{c.channels}, Shape{c.channels}};
    if (c.residual) inputs.emplace_back(x);
    BatchNormParams p;
    p.relu = c.relu;
    return make_case("batch_norm", c.name, inputs, [p](GradcheckDraw&) { return ops::batch_norm(p); });
  };
  return {at(64), at(c.rows), 0};
}

std::vector<Row> rows() {
  std::vector<Row> out;
  const std::vector<shapes::ConvCase> convs = shapes::r2plus1d_18_convs(4, 16, 112);
  for (const shapes::ConvCase& c : convs) out.push_back(conv_row(c));
  for (const shapes::NormCase& c : shapes::r2plus1d_18_norms(4, 16, 112)) out.push_back(norm_row(c));

  const Shape activation = convs[1].y();
  const Shape small{2, 2, 4, 4, 8};
  const auto add = [&](const std::string& op, std::vector<std::optional<Shape>> s, std::vector<std::optional<Shape>> l,
                       const GradcheckCase::Make& make, double flops = 0) {
    out.push_back({make_case(op, "", std::move(s), make), make_case(op, "", std::move(l), make), flops});
  };
  add("relu", {small}, {activation}, [](GradcheckDraw&) { return ops::relu(); });
  add("add", {small, small}, {activation, activation}, [](GradcheckDraw&) { return ops::add(); });
  add("slice_rows", {small}, {activation}, [](GradcheckDraw&) { return ops::slice_rows(0, 1); });
  const PoolParams window{{2, 2, 2}, {2, 2, 2}, {0, 0, 0}};
  add("max_pool", {small}, {activation}, [window](GradcheckDraw&) { return ops::max_pool(window); });
  add("avg_pool", {small}, {activation}, [window](GradcheckDraw&) { return ops::avg_pool(window); });
  add("global_avg_pool", {small}, {Shape{32, 2, 7, 7, 512}}, [](GradcheckDraw&) { return ops::global_avg_pool(); });
  add(
      "linear", {Shape{3, 8}, Shape{5, 8}, Shape{5}}, {Shape{256, 512}, Shape{128, 512}, Shape{128}},
      [](GradcheckDraw&) { return ops::linear(); }, 2.0 * 256 * 512 * 128);
  add("l2_normalize", {Shape{3, 8}}, {Shape{256, 128}}, [](GradcheckDraw&) { return ops::l2_normalize(); });
  add("pairing", {Shape{3, 8}, Shape{3, 8}}, {Shape{32, 128}, Shape{32, 128}},
      [](GradcheckDraw&) { return ops::pairing(128); });

  const auto classes = [&](std::int64_t n, std::int64_t c) {
    return make_case("cross_entropy", "", {Shape{n, c}},
                     [=](GradcheckDraw& draw) { return ops::cross_entropy(draw.integers(n, c)); });
  };
  out.push_back({classes(3, 5), classes(256, 400), 0});
  const auto pairs = [&](std::int64_t m) {
    return make_case("bce_with_logits", "", {Shape{m, 1}},
                     [=](GradcheckDraw& draw) { return ops::bce_with_logits(draw.uniform({m}, 0, 1), 7); });
  };
  out.push_back({pairs(9), pairs(1024), 0});
  const auto nce = [&](std::int64_t n, std::int64_t bank, std::int64_t features) {
    return make_case("info_nce", "", {Shape{n, features}, Shape{n, features}}, [=](GradcheckDraw& draw) {
      return ops::info_nce(
          1, {draw.uniform({bank, features}, -1, 1), draw.integers(bank, 1 << 20), draw.integers(n, 1 << 20)});
    });
  };
  out.push_back({nce(3, 5, 8), nce(64, 2048, 128), 2.0 * 64 * (64 + 2048) * 128});
  return out;
}

bool verified(const GradcheckCase& c, std::string& what) {
  constexpr std::uint64_t seed = 1;
  const GradcheckValues actual = run_rules(c, open_device("cpu"), DType::f32, seed);
  const GradcheckValues expected = run_rules(c, open_device("ref"), DType::f64, seed);
  for (const GradcheckRow& row : compare_rules(c, DType::f32, actual, expected))
    if (!row.ok) what = row.rule + " is off by " + std::to_string(row.error);
  return what.empty();
}

enum class Rule : std::uint8_t { forward, vjp, jvp, vjp_dot };

void time_rule(benchmark::State& state, const Row& row, Rule rule) {
  std::string what;
  if (!verified(row.small, what)) {
    state.SkipWithError(what.c_str());
    return;
  }
  GradcheckDraw draw(open_device("cpu"), DType::f32, 2);
  Tensors x, x_dot;
  for (const auto& shape : row.large.inputs) {
    x.push_back(shape ? draw.uniform(*shape, -1, 1) : Tensor());
    x_dot.push_back(shape ? draw.uniform(*shape, -1, 1) : Tensor());
  }
  const ops::OperatorPtr op = row.large.make(draw);
  const Tensor y = op->forward(x);
  const Tensor y_bar = draw.uniform(y.shape(), -1, 1);
  const Tensor y_bar_dot = draw.uniform(y.shape(), -1, 1);
  op->vjp(y_bar, Wanted::all());
  op->jvp(x_dot);
  for (auto _ : state) {
    switch (rule) {
      case Rule::forward:
        op->forward(x);
        break;
      case Rule::vjp:
        op->vjp(y_bar, Wanted::all());
        break;
      case Rule::jvp:
        op->jvp(x_dot);
        break;
      case Rule::vjp_dot:
        op->vjp_dot(y_bar, y_bar_dot, Wanted::all());
        break;
    }
  }
  // Bilinear operators: vjp and jvp cost two forward passes, vjp_dot four.
  constexpr double passes[] = {1, 2, 2, 4};
  double bytes = static_cast<double>(y.bytes());
  for (const Tensor& t : x) bytes += t ? static_cast<double>(t.bytes()) : 0;
  const double factor = passes[static_cast<int>(rule)];
  const auto rate = benchmark::Counter::kIsIterationInvariantRate;
  if (row.flops > 0) state.counters["GFLOP/s"] = benchmark::Counter(factor * row.flops * 1e-9, rate);
  // What must at least be read and written once.
  state.counters["GB/s"] = benchmark::Counter(factor * bytes * 1e-9, rate);
}

}  // namespace
}  // namespace mcn

int main(int argc, char** argv) {
  using mcn::Rule;
  for (const mcn::Row& row : mcn::rows())
    for (const auto& [name, rule] : {std::pair{"forward", Rule::forward}, std::pair{"vjp", Rule::vjp},
                                     std::pair{"jvp", Rule::jvp}, std::pair{"vjp_dot", Rule::vjp_dot}})
      benchmark::RegisterBenchmark((row.large.name() + "/" + name).c_str(),
                                   [row, timed = rule](benchmark::State& state) { time_rule(state, row, timed); })
          ->Unit(benchmark::kMillisecond)
          ->UseRealTime();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
