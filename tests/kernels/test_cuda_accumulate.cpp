// The CUDA backend's exact products and sums in the mode that adds to what is there, against the oracle's. Training
// writes convolutions or adds them up in pairs, so that no operator's rules run this.
#include <cmath>

#include "benchmarks/shapes.h"
#include "engine/device.h"
#include "engine/gradcheck.h"
#include "tests/catch.h"
#include "tests/device_here.h"

namespace mcn {
namespace {

using Results = std::vector<std::vector<double>>;

Results accumulated(Backend& backend, DType dtype) {
  Results results;
  GradcheckDraw draw(backend, dtype, 5);
  const auto uniform = [&](const Shape& shape) { return draw.uniform(shape, -1, 1); };
  for (const shapes::ConvCase& c : shapes::odd_convs()) {
    const Tensor x = uniform(c.x), w = uniform(c.w), g = uniform(c.y());
    Tensor y = uniform(c.y()), x_bar = uniform(c.x), w_bar = uniform(c.w);
    backend.run(kernel::Conv3dFprop{
        .params = c.params, .products = std::array{ConvProduct{x, w}}, .y = y, .mode = Mode::accumulate});
    backend.run(kernel::Conv3dDgrad{
        .params = c.params, .products = std::array{ConvProduct{g, w}}, .x_bar = x_bar, .mode = Mode::accumulate});
    backend.run(kernel::Conv3dWgrad{
        .params = c.params, .products = std::array{ConvProduct{x, g}}, .w_bar = w_bar, .mode = Mode::accumulate});
    for (const Tensor& t : {y, x_bar, w_bar}) results.push_back(t.to_doubles());
  }
  for (const Shape& s : {Shape{1, 1}, Shape{70, 33}, Shape{513, 5}}) {
    const Tensor a = uniform(s);
    Tensor c = uniform({s[0], s[0]}), sums = uniform({s[1]});
    backend.run(kernel::Gemm{.transpose_b = Transpose::yes, .a = a, .b = a, .c = c, .mode = Mode::accumulate});
    backend.run(kernel::SumRows{.x = a, .out = sums, .mode = Mode::accumulate});
    for (const Tensor& t : {c, sums}) results.push_back(t.to_doubles());
  }
  return results;
}

void compare_with_ref(const std::string& device) {
  const DType dtype = GENERATE(DType::f32, DType::f64);
  const double tolerance = dtype == DType::f32 ? 1e-5 : 1e-14;
  const Results expected = accumulated(open_device("ref"), dtype), got = accumulated(open_device(device), dtype);
  REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    double squares = 0, norm = 0;
    for (std::size_t j = 0; j < got[i].size(); ++j) {
      squares += (got[i][j] - expected[i][j]) * (got[i][j] - expected[i][j]);
      norm += expected[i][j] * expected[i][j];
    }
    INFO(name_of(dtype) << ", result " << i);
    CHECK(std::sqrt(squares) <= tolerance * std::sqrt(norm));
  }
}

}  // namespace

TEST_CASE("simt adds products and sums to what is there", "[slow]") { compare_with_ref("simt"); }

TEST_CASE("cuda adds products and sums to what is there", "[cuda]") {
  if (test::device_here("cuda")) compare_with_ref("cuda");
}

}  // namespace mcn
