// Kernels over lists of tensors: more of them than a launch has room for, of every size near a chunk's, of both dtypes.
#include <cmath>

#include "engine/device.h"
#include "engine/gradcheck.h"
#include "engine/tensor.h"
#include "tests/catch.h"
#include "tests/simt/orders.h"

namespace mcn {
namespace {

struct Lists {
  Tensors x, y;
  std::vector<ConstView> x_views, y_views;
  std::vector<View> out;

  explicit Lists(Backend& backend) {
    const std::int64_t sizes[] = {3, 0, 1, 2047, 2048, 2049, 5000, 17};
    for (std::uint64_t i = 0; i < 150; ++i) {
      const Shape shape{sizes[i % std::size(sizes)]};
      const DType dtype = i / 20 % 2 == 0 ? DType::f32 : DType::f64;
      x.push_back(GradcheckDraw(backend, dtype, i).uniform(shape, -1, 1));
      y.push_back(GradcheckDraw(backend, dtype, 1000 + i).uniform(shape, -1, 1));
    }
    for (std::size_t i = 0; i < x.size(); ++i) {
      x_views.emplace_back(x[i]);
      y_views.emplace_back(y[i]);
      out.emplace_back(y[i]);
    }
  }
};

std::vector<std::vector<double>> after_axpy(Backend& backend) {
  Lists lists(backend);
  backend.run(kernel::Axpy{.alpha = -0.37, .x = lists.x_views, .y = lists.out});
  std::vector<std::vector<double>> values;
  for (const Tensor& t : lists.y) values.push_back(t.to_doubles());
  return values;
}

}  // namespace

TEST_CASE("axpy, dot and all_finite of long lists agree with ref", "[slow]") {
  const std::string device = GENERATE("cpu", "simt");
  const auto order = GENERATE(simt::Order::forward, simt::Order::reverse, simt::Order::shuffled);
  if (device == "cpu" && order != simt::Order::forward) return;
  const test::ThreadOrder set_order(order);
  Backend& backend = open_device(device);
  Backend& ref = open_device("ref");

  const auto got = after_axpy(backend), expected = after_axpy(ref);
  for (std::size_t i = 0; i < got.size(); ++i)
    for (std::size_t j = 0; j < got[i].size(); ++j) CHECK(std::abs(got[i][j] - expected[i][j]) <= 1.2e-7);

  Lists lists(backend), oracle(ref);
  const double dot = ref.run(kernel::Dot{.a = oracle.x_views, .b = oracle.y_views});
  CHECK(std::abs(backend.run(kernel::Dot{.a = lists.x_views, .b = lists.y_views}) - dot) <= 1e-10);
  const std::span<const ConstView> none;
  CHECK(backend.run(kernel::Dot{.a = none, .b = none}) == 0);
  CHECK(backend.run(kernel::AllFinite{.x = lists.x_views}));
  CHECK(backend.run(kernel::AllFinite{.x = none}));
  for (const std::size_t bad : {std::size_t{0}, std::size_t{69}, lists.x.size() - 1}) {
    if (lists.x[bad].numel() == 0) continue;
    std::vector<double> values = lists.x[bad].to_doubles();
    const std::vector<double> good = values;
    for (const double poison : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
      values.back() = poison;
      lists.x[bad].copy_from(values);
      CHECK_FALSE(backend.run(kernel::AllFinite{.x = lists.x_views}));
      CHECK(first_not_finite(lists.x) == bad);
      CHECK(!std::isfinite(backend.run(kernel::Dot{.a = lists.x_views, .b = lists.y_views})));
    }
    lists.x[bad].copy_from(good);
  }
  CHECK(!first_not_finite(lists.x).has_value());
}

}  // namespace mcn
