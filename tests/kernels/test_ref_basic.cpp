// The reference backend's memory, elementwise kernels, matrix products, pools and optimisers.
#include <cstdint>
#include <limits>

#include "tests/kernels/test_ref_helpers.h"

namespace mcn::test {
namespace {
const double nan_value = std::nan("");
const double infinity = std::numeric_limits<double>::infinity();
}  // namespace

TEST_CASE("ref backend: memory is aligned and accounted for, its absence named") {
  const auto ref = make_ref_backend();
  CHECK(ref->name() == "ref");
  void* p = ref->allocate(100);
  CHECK(reinterpret_cast<std::uintptr_t>(p) % 64 == 0);
  void* q = ref->allocate(0);
  CHECK(q != nullptr);
  CHECK(ref->memory().current == 100);
  ref->release(p, 100);
  ref->release(q, 0);
  ref->release(nullptr, 5);
  CHECK(ref->memory().current == 0);
  CHECK(ref->memory().peak == 100);
  for (const std::size_t bytes : {std::numeric_limits<std::size_t>::max(), std::size_t{1} << 62U})
    CHECK_THROWS_WITH(ref->allocate(bytes), Catch::Matchers::ContainsSubstring(std::to_string(bytes)));
  CHECK_THROWS_AS(ref->allocate(std::numeric_limits<std::size_t>::max()), DeviceError);
  CHECK(ref->memory().current == 0);
}

TEST_CASE("ref elementwise: values, aliasing, NaN and infinity") {
  const auto ref = make_ref_backend();
  const std::int64_t before = ref->kernel_calls();
  Array y({3});
  ref->run(kernel::Fill{.value = 2, .y = y});
  mcn::axpy(*ref, 0.5, Array({3}, {2, 4, 6}), y);
  CHECK(y.values == std::vector<double>{3, 4, 5});
  ref->run(kernel::Scale{.alpha = -1, .x = y, .y = y});
  ref->run(kernel::Add{.a = y, .b = Array({3}, {1, 4, 9}), .y = y});
  CHECK(y.values == std::vector<double>{-2, 0, 4});
  CHECK(mcn::dot(*ref, y, y) == 20);
  CHECK(mcn::all_finite(*ref, y));
  ref->run(kernel::ReluMask{.y = Array({3}, {1, 0, -1}), .g = Array({3}, {7, 8, 9}), .out = y});
  CHECK(y.values == std::vector<double>{7, 0, 0});
  CHECK(ref->kernel_calls() == before + 7);

  ref->run(kernel::Relu{.x = Array({3}, {nan_value, infinity, -infinity}), .y = y});
  CHECK(std::isnan(y[0]));
  CHECK(y[1] == infinity);
  CHECK(y[2] == 0);
  CHECK_FALSE(mcn::all_finite(*ref, Array({2}, {0, infinity})));
  CHECK_FALSE(mcn::all_finite(*ref, Array({2}, {nan_value, 0})));
  CHECK(std::isnan(mcn::dot(*ref, Array({2}, {0, 1}), Array({2}, {nan_value, 1}))));
  ref->run(kernel::ReluMask{.y = Array({3}, {nan_value, 1, -1}), .g = Array({3}, {7, nan_value, 9}), .out = y});
  CHECK(y[0] == 7);
  CHECK(std::isnan(y[1]));

  std::vector<float> single{1.5F, -2.0F};
  ref->run(kernel::Scale{
      .alpha = 2, .x = ConstView{single.data(), DType::f32, {2}}, .y = View{single.data(), DType::f32, {2}}});
  CHECK(single == std::vector<float>{3.0F, -4.0F});
}

TEST_CASE("ref matrix: every transposition, accumulation, bias and row sums") {
  const auto ref = make_ref_backend();
  const Array a({2, 3}, {1, 2, 3, 4, 5, 6});
  const Array a_t({3, 2}, {1, 4, 2, 5, 3, 6});
  const Array b({3, 2}, {1, 0, 2, 1, 0, 3});
  const Array b_t({2, 3}, {1, 2, 0, 0, 1, 3});
  const std::vector<double> expected{5, 11, 14, 23};
  for (const bool ta : {false, true})
    for (const bool tb : {false, true}) {
      Array c({2, 2});
      ref->run(kernel::Gemm{.transpose_a = ta ? Transpose::yes : Transpose::no,
                            .transpose_b = tb ? Transpose::yes : Transpose::no,
                            .a = ta ? a_t : a,
                            .b = tb ? b_t : b,
                            .c = c});
      CHECK(c.values == expected);
      ref->run(kernel::Gemm{.transpose_a = ta ? Transpose::yes : Transpose::no,
                            .transpose_b = tb ? Transpose::yes : Transpose::no,
                            .a = ta ? a_t : a,
                            .b = tb ? b_t : b,
                            .c = c,
                            .mode = Mode::accumulate});
      CHECK(c[3] == 46);
    }
  Array y = a;
  ref->run(kernel::AddBias{.bias = Array({3}, {10, 20, 30}), .y = y});
  CHECK(y.values == std::vector<double>{11, 22, 33, 14, 25, 36});
  Array sums({3}, {1, 1, 1});
  ref->run(kernel::SumRows{.x = a, .out = sums, .mode = Mode::accumulate});
  CHECK(sums.values == std::vector<double>{6, 8, 10});
  ref->run(kernel::SumRows{.x = a, .out = sums});
  CHECK(sums.values == std::vector<double>{5, 7, 9});
}

TEST_CASE("ref max_pool: first of equals, NaN wins, padding never does") {
  const auto ref = make_ref_backend();
  const PoolParams p{{1, 1, 3}, {1, 1, 2}, {0, 0, 1}};
  Array y({1, 1, 1, 3, 1});
  std::vector<std::int32_t> index(3);
  const View index_view{index.data(), DType::i32, y.shape};
  ref->run(
      kernel::MaxPool{.params = p, .x = Array({1, 1, 1, 5, 1}, {-3, -3, -1, -1, -2}), .y = y, .index = index_view});
  CHECK(y.values == std::vector<double>{-3, -1, -1});
  CHECK(index == std::vector<std::int32_t>{0, 2, 3});
  ref->run(kernel::MaxPool{
      .params = p, .x = Array({1, 1, 1, 5, 1}, {-infinity, -infinity, 1, nan_value, 9}), .y = y, .index = index_view});
  CHECK(index == std::vector<std::int32_t>{0, 3, 3});
  CHECK(y[0] == -infinity);
  CHECK(std::isnan(y[1]));
  Array x_bar({1, 1, 1, 5, 1}, {9, 9, 9, 9, 9});
  ref->run(kernel::MaxPoolScatter{.y_bar = Array({1, 1, 1, 3, 1}, {1, 2, 4}), .index = index_view, .x_bar = x_bar});
  CHECK(x_bar.values == std::vector<double>{1, 0, 0, 6, 0});
  ref->run(kernel::MaxPoolGather{.x_dot = Array({1, 1, 1, 5, 1}, {1, 2, 3, 4, 5}), .index = index_view, .y_dot = y});
  CHECK(y.values == std::vector<double>{1, 4, 4});
}

TEST_CASE("ref pools: indices are a sample's own, adjoint identities") {
  const auto ref = make_ref_backend();
  const Shape x_shape{2, 3, 5, 4, 3};
  const Shape y_shape{2, 2, 3, 2, 3};
  const PoolParams p{{3, 3, 2}, {2, 2, 2}, {1, 1, 0}};
  const Array x = Array::random(x_shape, 1);
  const Array g = Array::random(y_shape, 2);
  const Array x_dot = Array::random(x_shape, 3);
  Array y(y_shape);
  std::vector<std::int32_t> index(static_cast<std::size_t>(y.shape.numel()));
  const View index_view{index.data(), DType::i32, y_shape};
  ref->run(kernel::MaxPool{.params = p, .x = x, .y = y, .index = index_view});
  Array gathered(y_shape);
  ref->run(kernel::MaxPoolGather{.x_dot = x, .index = index_view, .y_dot = gathered});
  CHECK(gathered.values == y.values);
  ref->run(kernel::MaxPoolGather{.x_dot = x_dot, .index = index_view, .y_dot = gathered});
  Array x_bar(x_shape);
  ref->run(kernel::MaxPoolScatter{.y_bar = g, .index = index_view, .x_bar = x_bar});
  CHECK(inner(x_bar, x_dot) == Catch::Approx(inner(g, gathered)).epsilon(tolerances::identity));

  ref->run(kernel::AvgPool{.params = p, .x = x_dot, .y = y});
  ref->run(kernel::AvgPoolAdjoint{.params = p, .y_bar = g, .x_bar = x_bar});
  CHECK(inner(x_bar, x_dot) == Catch::Approx(inner(g, y)).epsilon(tolerances::identity));
  // Padding counts: a corner window of ones holds 2 * 2 * 2 of its 18 values.
  Array ones(x_shape);
  ref->run(kernel::Fill{.value = 1, .y = ones});
  ref->run(kernel::AvgPool{.params = p, .x = ones, .y = y});
  CHECK(y[0] == Catch::Approx(8.0 / 18.0));
}

TEST_CASE("ref optimisers: three steps by hand") {
  const auto ref = make_ref_backend();
  const std::vector<double> decay{0.1};
  const double gradients[] = {1, -2, 0.5};

  Array p({1}, {2});
  Array buffer({1});
  double q = 2;
  double b = 0;
  for (const double g : gradients) {
    const Array gradient({1}, {g});
    const ConstView gradient_list[] = {gradient};
    const View parameters[] = {p};
    const View buffers[] = {buffer};
    ref->run(kernel::SgdStep{.params = {.lr = 0.1, .momentum = 0.9},
                             .weight_decay = decay,
                             .gradients = gradient_list,
                             .parameters = parameters,
                             .buffers = buffers});
    b = 0.9 * b + g + 0.1 * q;
    q -= 0.1 * b;
    CHECK(p[0] == Catch::Approx(q).epsilon(tolerances::formula));
  }
  CHECK(buffer[0] == Catch::Approx(b).epsilon(tolerances::formula));

  p[0] = 2;
  Array m({1});
  Array v({1});
  AdamWParams adam{.lr = 0.1};
  // torch.optim.AdamW([p], lr=.1, weight_decay=.1) in float64, after each step.
  const double expected[] = {1.880000001, 1.897810353462075, 1.8925013161292008};
  for (const double g : gradients) {
    const Array gradient({1}, {g});
    const ConstView gradient_list[] = {gradient};
    const View parameters[] = {p};
    const View firsts[] = {m};
    const View seconds[] = {v};
    ref->run(kernel::AdamWStep{.params = adam,
                               .weight_decay = decay,
                               .gradients = gradient_list,
                               .parameters = parameters,
                               .first_moments = firsts,
                               .second_moments = seconds});
    CHECK(p[0] == Catch::Approx(expected[adam.step - 1]).epsilon(tolerances::formula));
    ++adam.step;
  }
  CHECK(m[0] == Catch::Approx(0.1 * (0.81 * 1 + 0.9 * -2 + 0.5)).epsilon(tolerances::formula));
  CHECK(v[0] == Catch::Approx(0.001 * (0.999 * 0.999 + 0.999 * 4 + 0.25)).epsilon(tolerances::formula));
}

}  // namespace mcn::test
