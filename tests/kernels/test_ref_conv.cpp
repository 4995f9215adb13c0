// The reference convolution against the definition with every index spelled out, and its adjoints.
#include "tests/kernels/test_ref_helpers.h"

namespace mcn::test {
namespace {

struct Case {
  Shape x, w;
  Conv3dParams params;
};

const Case cases[] = {
    {{2, 3, 5, 7, 3}, {4, 1, 3, 3, 3}, {{1, 1, 1}, {0, 1, 1}}},
    {{1, 5, 4, 4, 5}, {2, 3, 1, 1, 5}, {{2, 1, 1}, {1, 0, 0}}},
    {{1, 2, 11, 12, 3}, {5, 1, 7, 7, 3}, {{1, 2, 2}, {0, 3, 3}}},
    {{2, 4, 5, 6, 2}, {3, 3, 3, 3, 2}, {{2, 2, 2}, {1, 1, 1}}},
    {{1, 3, 5, 5, 1}, {1, 1, 1, 1, 1}, {{2, 2, 2}, {0, 0, 0}}},
    {{1, 1, 1, 1, 2}, {3, 3, 3, 3, 2}, {{1, 1, 1}, {1, 1, 1}}},
    {{1, 2, 3, 2, 2}, {2, 2, 5, 4, 2}, {{3, 1, 2}, {2, 4, 3}}},  // taps that see nothing but padding
};

Shape output_shape(const Case& c) {
  Shape y{c.x.n()};
  for (int a = 1; a <= 3; ++a) {
    const auto i = static_cast<std::size_t>(a - 1);
    y.append((c.x[a] + 2 * c.params.padding[i] - c.w[a]) / c.params.stride[i] + 1);
  }
  y.append(c.w.o());
  return y;
}

Array by_definition(const Case& c, const Array& x, const Array& w) {
  Array y(output_shape(c));
  const auto at = [](const Shape& s, std::int64_t a, std::int64_t b, std::int64_t d, std::int64_t e, std::int64_t f) {
    return static_cast<std::size_t>((((a * s[1] + b) * s[2] + d) * s[3] + e) * s[4] + f);
  };
  for (std::int64_t n = 0; n < y.shape.n(); ++n)
    for (std::int64_t d = 0; d < y.shape.d(); ++d)
      for (std::int64_t h = 0; h < y.shape.h(); ++h)
        for (std::int64_t v = 0; v < y.shape.w(); ++v)
          for (std::int64_t o = 0; o < c.w.o(); ++o)
            for (std::int64_t kd = 0; kd < c.w.kd(); ++kd)
              for (std::int64_t kh = 0; kh < c.w.kh(); ++kh)
                for (std::int64_t kw = 0; kw < c.w.kw(); ++kw)
                  for (std::int64_t i = 0; i < c.w.i(); ++i) {
                    const std::int64_t xd = d * c.params.stride[0] - c.params.padding[0] + kd;
                    const std::int64_t xh = h * c.params.stride[1] - c.params.padding[1] + kh;
                    const std::int64_t xw = v * c.params.stride[2] - c.params.padding[2] + kw;
                    if (xd < 0 || xd >= c.x.d() || xh < 0 || xh >= c.x.h() || xw < 0 || xw >= c.x.w()) continue;
                    y[at(y.shape, n, d, h, v, o)] +=
                        x[at(x.shape, n, xd, xh, xw, i)] * w[at(w.shape, o, kd, kh, kw, i)];
                  }
  return y;
}

}  // namespace

TEST_CASE("ref conv3d: fprop is the definition, dgrad and wgrad are its adjoints") {
  const auto ref = make_ref_backend();
  std::uint64_t stream = 0;
  for (const Case& c : cases) {
    CAPTURE(c.x.str(), c.w.str());
    const Array x = Array::random(c.x, ++stream);
    const Array w = Array::random(c.w, ++stream);
    Array y(output_shape(c));
    ref->run(kernel::Conv3dFprop{.params = c.params, .products = std::array{ConvProduct{x, w}}, .y = y});
    CHECK(difference(y, by_definition(c, x, w)) <= tolerances::formula);

    const Array y_bar = Array::random(y.shape, ++stream);
    Array x_bar(c.x);
    Array w_bar(c.w);
    ref->run(kernel::Conv3dDgrad{.params = c.params, .products = std::array{ConvProduct{y_bar, w}}, .x_bar = x_bar});
    ref->run(kernel::Conv3dWgrad{.params = c.params, .products = std::array{ConvProduct{x, y_bar}}, .w_bar = w_bar});
    const double expected = inner(y_bar, y);
    CHECK(inner(x_bar, x) == Catch::Approx(expected).epsilon(tolerances::identity));
    CHECK(inner(w_bar, w) == Catch::Approx(expected).epsilon(tolerances::identity));
  }
}

TEST_CASE("ref conv3d: pairs are sums, accumulate adds") {
  const auto ref = make_ref_backend();
  const Case& c = cases[3];
  const Array x = Array::random(c.x, 1);
  const Array w = Array::random(c.w, 2);
  const Array x2 = Array::random(c.x, 3);
  const Array w2 = Array::random(c.w, 4);
  const Array g = Array::random(output_shape(c), 5);
  const Array g2 = Array::random(output_shape(c), 6);
  const Conv3dParams& p = c.params;

  Array sum(g.shape);
  Array pair(g.shape);
  ref->run(kernel::Conv3dFprop{.params = p, .products = std::array{ConvProduct{x, w}}, .y = sum});
  ref->run(kernel::Conv3dFprop{
      .params = p, .products = std::array{ConvProduct{x2, w2}}, .y = sum, .mode = Mode::accumulate});
  ref->run(kernel::Conv3dFprop{.params = p, .products = std::array{ConvProduct{x, w}, ConvProduct{x2, w2}}, .y = pair});
  CHECK(difference(pair, sum) <= tolerances::formula);

  sum = Array(c.x);
  pair = Array(c.x);
  ref->run(kernel::Conv3dDgrad{.params = p, .products = std::array{ConvProduct{g, w}}, .x_bar = sum});
  ref->run(kernel::Conv3dDgrad{
      .params = p, .products = std::array{ConvProduct{g2, w2}}, .x_bar = sum, .mode = Mode::accumulate});
  ref->run(
      kernel::Conv3dDgrad{.params = p, .products = std::array{ConvProduct{g, w}, ConvProduct{g2, w2}}, .x_bar = pair});
  CHECK(difference(pair, sum) <= tolerances::formula);

  sum = Array(c.w);
  pair = Array(c.w);
  ref->run(kernel::Conv3dWgrad{.params = p, .products = std::array{ConvProduct{x, g}}, .w_bar = sum});
  ref->run(kernel::Conv3dWgrad{
      .params = p, .products = std::array{ConvProduct{x2, g2}}, .w_bar = sum, .mode = Mode::accumulate});
  ref->run(
      kernel::Conv3dWgrad{.params = p, .products = std::array{ConvProduct{x, g}, ConvProduct{x2, g2}}, .w_bar = pair});
  CHECK(difference(pair, sum) <= tolerances::formula);
}

TEST_CASE("ref conv3d: float32 is the float64 result, rounded once") {
  const auto ref = make_ref_backend();
  // 4096 products of which the first is large: sums in float32 would lose the others.
  const Shape shape{1, 1, 1, 1, 4097};
  std::vector<float> x(4097, 1.0F);
  std::vector<float> w(4097, 1.0F);
  x[0] = 16777216.0F;
  float y = 0;
  ref->run(kernel::Conv3dFprop{.products = std::array{ConvProduct{ConstView{x.data(), DType::f32, shape},
                                                                  ConstView{w.data(), DType::f32, shape}}},
                               .y = View{&y, DType::f32, {1, 1, 1, 1, 1}}});
  CHECK(y == 16777216.0F + 4096.0F);
}

TEST_CASE("ref conv3d: NaN reaches the outputs whose window holds it, and no other") {
  const auto ref = make_ref_backend();
  Array x({1, 1, 1, 6, 1});
  x[2] = std::nan("");
  const Array w({1, 1, 1, 3, 1}, {0, 0, 0});
  Array y({1, 1, 1, 6, 1});
  ref->run(kernel::Conv3dFprop{.params = {{1, 1, 1}, {0, 0, 1}}, .products = std::array{ConvProduct{x, w}}, .y = y});
  for (std::size_t i = 0; i < 6; ++i) CHECK(std::isnan(y[i]) == (i >= 1 && i <= 3));
}

}  // namespace mcn::test
