// The tensor-core paths of the CUDA convolutions on the device simt: exact where the factors are representable, and as
// far off as their rounding where not; the same bits in every order of threads.
#include <cmath>
#include <vector>

#include "benchmarks/shapes.h"
#include "engine/device.h"
#include "engine/gradcheck.h"
#include "kernels/cuda/cuda_backend.h"
#include "tests/catch.h"
#include "tests/device_here.h"
#include "tests/simt/orders.h"

namespace mcn {
namespace {

// Multiples of 1/8 in [-1, 1] are representable in every precision, and so are their sums in float32.
Tensor operand(Backend& backend, const Shape& shape, std::uint64_t seed, bool representable) {
  std::vector<double> values = GradcheckDraw(open_device("ref"), DType::f64, seed).uniform(shape, -1, 1).to_doubles();
  if (representable)
    for (double& v : values) v = std::round(8 * v) / 8;
  return Tensor::from(backend, DType::f32, shape, std::span<const double>(values));
}

// fprop, dgrad, wgrad, each written, added to what is there (once is enough), and in pairs.
std::vector<std::vector<double>> all_products(Backend& backend, const shapes::ConvCase& c, Precision precision,
                                              bool representable) {
  Conv3dParams params = c.params;
  params.precision = precision;
  const auto draw = [&](const Shape& shape, std::uint64_t seed) {
    return operand(backend, shape, seed, representable);
  };
  const Tensor x1 = draw(c.x, 1), x2 = draw(c.x, 2), w1 = draw(c.w, 3), w2 = draw(c.w, 4);
  const Tensor g1 = draw(c.y(), 5), g2 = draw(c.y(), 6);
  Tensor y(backend, DType::f32, c.y()), x(backend, DType::f32, c.x), w(backend, DType::f32, c.w);
  std::vector<std::vector<double>> out;
  enum class Form : std::uint8_t { write, add, pair };
  for (const Form form : {Form::write, Form::add, Form::pair}) {
    if (form == Form::add && !representable) continue;
    const Mode mode = form == Form::add ? Mode::accumulate : Mode::overwrite;
    if (form == Form::pair) {
      backend.run(kernel::Conv3dFprop{
          .params = params, .products = std::array{ConvProduct{x1, w1}, ConvProduct{x2, w2}}, .y = y});
      backend.run(kernel::Conv3dDgrad{
          .params = params, .products = std::array{ConvProduct{g1, w1}, ConvProduct{g2, w2}}, .x_bar = x});
      backend.run(kernel::Conv3dWgrad{
          .params = params, .products = std::array{ConvProduct{x1, g1}, ConvProduct{x2, g2}}, .w_bar = w});
    } else {
      backend.run(
          kernel::Conv3dFprop{.params = params, .products = std::array{ConvProduct{x1, w1}}, .y = y, .mode = mode});
      backend.run(
          kernel::Conv3dDgrad{.params = params, .products = std::array{ConvProduct{g1, w1}}, .x_bar = x, .mode = mode});
      backend.run(
          kernel::Conv3dWgrad{.params = params, .products = std::array{ConvProduct{x1, g1}}, .w_bar = w, .mode = mode});
    }
    for (const Tensor& t : {y, x, w}) out.push_back(t.to_doubles());
  }
  return out;
}

double relative_error(const std::vector<double>& a, const std::vector<double>& b) {
  double squares = 0, norm = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    squares += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return norm == 0 ? std::sqrt(squares) : std::sqrt(squares / norm);
}

// In tf32 and bf16: as near ref as the format allows, and the same bits whenever again(run) calls run().
template <class Again>
void compare_with_ref(Backend& backend, const Again& again) {
  const auto [precision, rounding] = GENERATE(
      table<Precision, double>({{Precision::tf32, std::ldexp(1.0, -11)}, {Precision::bf16, std::ldexp(1.0, -8)}}));
  const bool representable = GENERATE(true, false);
  // Two rounded factors of a product are each off by at most `rounding`, by 1 / sqrt(3) of it or less as an RMS, and
  // the two are independent: sqrt(2 / 3) = .82 at most over many products, where truncated factors would be off by more
  // than 1. Of few products both may be at their worst. Sums of float32 add little.
  const auto tolerance = [representable, most = rounding](std::size_t results) {
    constexpr std::size_t few = 64;
    return representable ? 2e-6 : (results < few ? 2 : 0.82) * most;
  };
  INFO("precision " << static_cast<int>(precision) << ", representable " << representable);
  const Precision used = precision;  // a binding cannot be captured
  double worst = 0;
  for (const shapes::ConvCase& c : shapes::odd_convs()) {
    INFO(c.name);
    const std::vector<std::vector<double>> expected =
        all_products(open_device("ref"), c, Precision::fp32, representable);
    std::vector<std::vector<double>> first;
    again([&] {
      const std::vector<std::vector<double>> got = all_products(backend, c, used, representable);
      if (first.empty()) {
        first = got;
        for (std::size_t k = 0; k < got.size(); ++k) {
          INFO("product " << k);
          const double error = relative_error(got[k], expected[k]);
          CHECK(error <= tolerance(expected[k].size()));
          worst = std::max(worst, error);
        }
      } else {
        CHECK((got == first));
      }
    });
  }
  // The precision was really used: float32 alone would be far closer.
  if (!representable) CHECK(worst > rounding / 50);
}

}  // namespace

TEST_CASE("tensor-core convolutions equal ref up to the rounding of their factors", "[slow]") {
  simt_device::CudaBackend backend("simt");
  compare_with_ref(backend, [](const auto& run) {
    for (const simt::Order o : test::every_order) {
      const test::ThreadOrder order(o);
      run();
    }
  });
}

TEST_CASE("cuda has tensor-core convolutions that equal ref up to the rounding of their factors", "[cuda]") {
  if (!test::device_here("cuda")) return;
  compare_with_ref(open_device("cuda"), [](const auto& run) {
    for (int i = 0; i < 3; ++i) run();
  });
}

TEST_CASE("float64 stays float64 in every precision") {
  simt_device::CudaBackend backend("simt");
  const shapes::ConvCase c = shapes::odd_convs().front();
  Conv3dParams params = c.params;
  params.precision = Precision::bf16;
  GradcheckDraw draw(backend, DType::f64, 1);
  GradcheckDraw same(open_device("ref"), DType::f64, 1);
  Tensor y(backend, DType::f64, c.y()), z(open_device("ref"), DType::f64, c.y());
  backend.run(
      kernel::Conv3dFprop{.params = params,
                          .products = std::array{ConvProduct{draw.uniform(c.x, -1, 1), draw.uniform(c.w, -1, 1)}},
                          .y = y});
  open_device("ref").run(
      kernel::Conv3dFprop{.params = c.params,
                          .products = std::array{ConvProduct{same.uniform(c.x, -1, 1), same.uniform(c.w, -1, 1)}},
                          .y = z});
  CHECK(relative_error(y.to_doubles(), z.to_doubles()) <= 1e-14);
}

}  // namespace mcn
