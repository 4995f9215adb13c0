// The reference kernels on feature vectors.
#include "tests/kernels/test_ref_helpers.h"

namespace mcn::test {

TEST_CASE("ref l2_normalize: values, short rows, NaN") {
  const auto ref = make_ref_backend();
  const Array x({3, 2}, {3, 4, 0, 1e-3, 0, 0});
  Array y({3, 2});
  Array norm({3});
  ref->run(kernel::L2NormalizeForward{.eps = 1e-2, .x = x, .y = y, .norm = norm});
  CHECK(norm.values == std::vector<double>{5, 1e-2, 1e-2});
  CHECK(y[0] == Catch::Approx(0.6));
  CHECK(y[3] == Catch::Approx(0.1));
  // A constant divisor: the derivative is division by it.
  Array x_bar({3, 2});
  ref->run(kernel::L2NormalizeVjp{
      .eps = 1e-2, .y = y, .norm = norm, .y_bar = Array({3, 2}, {3, 4, 0, 1, 1, 0}), .x_bar = x_bar});
  CHECK(std::abs(x_bar[0]) <= 1e-15);  // along the row
  CHECK(x_bar[3] == Catch::Approx(100));
  CHECK(x_bar[4] == Catch::Approx(100));

  ref->run(
      kernel::L2NormalizeForward{.eps = 1e-2, .x = Array({3, 2}, {std::nan(""), 1, 1, 1, 1, 1}), .y = y, .norm = norm});
  CHECK(std::isnan(norm[0]));
  CHECK(std::isnan(y[1]));
  CHECK(y[2] == Catch::Approx(std::sqrt(0.5)));
}

TEST_CASE("ref l2_normalize: derivatives against central differences") {
  const auto ref = make_ref_backend();
  const Array x = Array::random({3, 4}, 1);
  const Array x_dot = Array::random({3, 4}, 2);
  const Array g = Array::random({3, 4}, 3);
  const Array g_dot = Array::random({3, 4}, 4);
  Array norm({3});
  const auto forward = [&](double t) {
    Array y({3, 4});
    ref->run(kernel::L2NormalizeForward{.eps = 1e-12, .x = x.moved(t, x_dot), .y = y, .norm = norm});
    return y;
  };
  const auto vjp = [&](double t) {
    const Array y = forward(t);
    Array x_bar({3, 4});
    ref->run(kernel::L2NormalizeVjp{.eps = 1e-12, .y = y, .norm = norm, .y_bar = g.moved(t, g_dot), .x_bar = x_bar});
    return x_bar;
  };
  const Array slope = central_difference(forward);
  const Array expected = central_difference(vjp);
  const Array y = forward(0);
  Array y_dot({3, 4});
  Array norm_dot({3});
  ref->run(
      kernel::L2NormalizeJvp{.eps = 1e-12, .y = y, .norm = norm, .x_dot = x_dot, .y_dot = y_dot, .norm_dot = norm_dot});
  CHECK(difference(y_dot, slope) <= tolerances::central_difference);
  CHECK(inner(vjp(0), x_dot) == Catch::Approx(inner(g, y_dot)).epsilon(tolerances::identity));
  Array dot({3, 4});
  ref->run(kernel::L2NormalizeVjpDot{.eps = 1e-12,
                                     .y = y,
                                     .norm = norm,
                                     .y_dot = y_dot,
                                     .norm_dot = norm_dot,
                                     .y_bar = g,
                                     .y_bar_dot = g_dot,
                                     .x_bar_dot = dot});
  CHECK(difference(dot, expected) <= tolerances::central_difference);
}

TEST_CASE("ref pairing: values, adjoint, tangent of the adjoint") {
  const auto ref = make_ref_backend();
  const Array a({2, 1}, {1, 2});
  const Array b({2, 1}, {3, 5});
  Array y({4, 2});
  ref->run(kernel::PairingForward{.scale = 0.5, .a = a, .b = b, .y = y});
  CHECK(y.values == std::vector<double>{1.5, 2, 2.5, 8, 3, 0.5, 5, 4.5});

  const Array a_dot = Array::random({2, 1}, 1);
  const Array b_dot = Array::random({2, 1}, 2);
  const Array g = Array::random({4, 2}, 3);
  const Array g_dot = Array::random({4, 2}, 4);
  const Array slope = central_difference([&](double t) {
    Array out({4, 2});
    ref->run(kernel::PairingForward{.scale = 0.5, .a = a.moved(t, a_dot), .b = b.moved(t, b_dot), .y = out});
    return out;
  });
  Array y_dot({4, 2});
  ref->run(kernel::PairingJvp{.scale = 0.5, .a = a, .b = b, .a_dot = a_dot, .b_dot = b_dot, .y_dot = y_dot});
  CHECK(difference(y_dot, slope) <= tolerances::central_difference);
  const auto vjp = [&](double t, bool first) {
    Array a_bar({2, 1});
    Array b_bar({2, 1});
    ref->run(kernel::PairingVjp{.scale = 0.5,
                                .a = a.moved(t, a_dot),
                                .b = b.moved(t, b_dot),
                                .y_bar = g.moved(t, g_dot),
                                .a_bar = a_bar,
                                .b_bar = b_bar});
    return first ? a_bar : b_bar;
  };
  CHECK(inner(vjp(0, true), a_dot) + inner(vjp(0, false), b_dot) ==
        Catch::Approx(inner(g, y_dot)).epsilon(tolerances::identity));
  Array a_bar_dot({2, 1});
  Array b_bar_dot({2, 1});
  ref->run(kernel::PairingVjpDot{.scale = 0.5,
                                 .a = a,
                                 .b = b,
                                 .a_dot = a_dot,
                                 .b_dot = b_dot,
                                 .y_bar = g,
                                 .y_bar_dot = g_dot,
                                 .a_bar_dot = a_bar_dot,
                                 .b_bar_dot = b_bar_dot});
  CHECK(difference(a_bar_dot, central_difference([&](double t) { return vjp(t, true); })) <=
        tolerances::central_difference);
  CHECK(difference(b_bar_dot, central_difference([&](double t) { return vjp(t, false); })) <=
        tolerances::central_difference);
}

TEST_CASE("ref feature bank: gather and momentum update of rows") {
  const auto ref = make_ref_backend();
  Array bank({3, 2}, {1, 0, 0, 1, 5, 6});
  const Labels rows{{2, 0}};
  Array out({2, 2});
  ref->run(kernel::GatherRows{.bank = bank, .rows = rows, .out = out});
  CHECK(out.values == std::vector<double>{5, 6, 1, 0});
  ref->run(kernel::UpdateRows{.momentum = 0.5, .z = Array({2, 2}, {1, 2, 0, 1}), .rows = rows, .bank = bank});
  CHECK(bank[2] == 0);
  CHECK(bank[3] == 1);
  CHECK(bank[4] == Catch::Approx(0.6));  // (3, 4) / 5
  CHECK(bank[5] == Catch::Approx(0.8));
  CHECK(bank[0] == Catch::Approx(std::sqrt(0.5)));
  // .2 (0, 4) + .8 (.75, 0) = (.6, .8): which of the two the momentum weighs shows where they are not alike.
  bank[2] = 0;
  bank[3] = 4;
  ref->run(kernel::UpdateRows{.momentum = 0.2, .z = Array({1, 2}, {0.75, 0}), .rows = Labels{{1}}, .bank = bank});
  CHECK(bank[2] == Catch::Approx(0.6).epsilon(tolerances::formula));
  CHECK(bank[3] == Catch::Approx(0.8).epsilon(tolerances::formula));
}

}  // namespace mcn::test
