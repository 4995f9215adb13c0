// The cpu convolutions against the reference, over every layer shape of R(2+1)D-18 scaled down and odd shapes.
#include "benchmarks/shapes.h"
#include "tests/kernels/test_cpu_support.h"

namespace mcn::test {
namespace {

void check_conv(const shapes::ConvCase& c, DType t, bool all_forms) {
  // 0: x, 1: w, 2: y_bar, 3..5: a second set of them, 6..8: the outputs y, x_bar, w_bar.
  Buffers b;
  for (unsigned set = 0; set < 3; ++set) {
    b.emplace_back(t, c.x, 3 * set + 1);
    b.emplace_back(t, c.w, 3 * set + 2);
    b.emplace_back(t, c.y(), 3 * set + 3);
  }
  const auto& p = c.params;
  const double bar = tolerance(t);
  std::vector<Mode> modes{Mode::overwrite};
  if (all_forms) modes.push_back(Mode::accumulate);
  for (const Mode mode : modes) {
    const std::string how = c.name + (mode == Mode::accumulate ? ", accumulate" : ", overwrite");
    check_kernel(how, b, bar, [&](Backend& k, Buffers& v) {
      k.run(kernel::Conv3dFprop{.params = p, .products = std::array{ConvProduct{v[0], v[1]}}, .y = v[8], .mode = mode});
      k.run(kernel::Conv3dDgrad{
          .params = p, .products = std::array{ConvProduct{v[2], v[1]}}, .x_bar = v[6], .mode = mode});
      k.run(kernel::Conv3dWgrad{
          .params = p, .products = std::array{ConvProduct{v[0], v[2]}}, .w_bar = v[7], .mode = mode});
    });
  }
  if (!all_forms) return;
  check_kernel(c.name + ", pairs", b, bar, [&](Backend& k, Buffers& v) {
    k.run(kernel::Conv3dFprop{
        .params = p, .products = std::array{ConvProduct{v[0], v[1]}, ConvProduct{v[3], v[4]}}, .y = v[8]});
    k.run(kernel::Conv3dDgrad{
        .params = p, .products = std::array{ConvProduct{v[2], v[1]}, ConvProduct{v[5], v[4]}}, .x_bar = v[6]});
    k.run(kernel::Conv3dWgrad{
        .params = p, .products = std::array{ConvProduct{v[0], v[2]}, ConvProduct{v[3], v[5]}}, .w_bar = v[7]});
  });
}

TEST_CASE("cpu convolutions agree with ref on odd shapes, in every mode and form", "[cpu][conv]") {
  for (const DType t : {DType::f32, DType::f64})
    for (const auto& c : shapes::odd_convs()) check_conv(c, t, true);
}

TEST_CASE("cpu convolutions agree with ref on the layers of R(2+1)D-18", "[cpu][conv][slow]") {
  for (const auto& c : shapes::r2plus1d_18_convs(2, 16, 112)) {
    const bool all_forms = c.w.numel() < 200000;
    check_conv(shapes::scaled_down(c), DType::f32, all_forms);
    if (all_forms) check_conv(shapes::scaled_down(c), DType::f64, false);
  }
}

// Enough positions for many tasks and for weight gradients in several parts, which small shapes never reach.
TEST_CASE("cpu convolutions divide large work without changing its bits", "[cpu][conv]") {
  check_conv({"many positions", {2, 8, 24, 24, 16}, {36, 1, 3, 3, 16}, {{1, 1, 1}, {0, 1, 1}}}, DType::f32, true);
  check_conv({"many positions, temporal", {2, 8, 24, 24, 36}, {16, 3, 1, 1, 36}, {{1, 1, 1}, {1, 0, 0}}}, DType::f32,
             false);
  check_conv({"many positions, strided", {2, 8, 25, 24, 16}, {32, 3, 3, 3, 16}, {{2, 2, 2}, {1, 1, 1}}}, DType::f32,
             false);
}

TEST_CASE("cpu convolutions let NaN through", "[cpu][conv]") {
  const shapes::ConvCase c{"NaN", {1, 2, 4, 4, 5}, {6, 1, 3, 3, 5}, {{1, 1, 1}, {0, 1, 1}}};
  Buffers b{{DType::f32, c.x, 1}, {DType::f32, c.w, 2}, {DType::f32, c.y(), 3}};
  b[0].set(5 * 5 + 2, std::nan(""));
  for (const auto& cpu : cpu_of_every_level()) {
    INFO(cpu->detail());
    cpu->run(kernel::Conv3dFprop{.params = c.params, .products = std::array{ConvProduct{b[0], b[1]}}, .y = b[2]});
    CHECK(std::isnan(b[2].at(5 * 6)));
    CHECK(std::isfinite(b[2].at(15 * 6)));
  }
}

}  // namespace
}  // namespace mcn::test
