// Tensors and the tape: sharing, sweeps over graphs with fan-out, what is kept and what is refused.
#include <cmath>
#include <limits>

#include "engine/device.h"
#include "engine/ops.h"
#include "engine/tape.h"
#include "tests/catch.h"

namespace mcn {
namespace {

Backend& ref() { return open_device("ref"); }

Tensor vec(std::vector<double> v) {
  return Tensor::from(ref(), DType::f64, {static_cast<std::int64_t>(v.size())}, std::span<const double>(v));
}
Tensor matrix(std::int64_t rows, std::int64_t columns, std::vector<double> v) {
  return Tensor::from(ref(), DType::f64, {rows, columns}, std::span<const double>(v));
}

// x^T x for a 1 x N row, as a linear layer of x with itself: the same variable enters twice.
Var square(Tape& tape, const Var& x) { return tape.apply(ops::linear(), {x, x}); }

}  // namespace

TEST_CASE("tensors share memory until cloned") {
  Tensor a = vec({1, 2, 3, 4});
  const Tensor b = a.reshaped({2, 2});
  const Tensor c = a.clone();
  a.backend().run(kernel::Fill{.value = 7, .y = a});
  CHECK(b.to_doubles() == std::vector<double>{7, 7, 7, 7});
  CHECK(c.to_doubles() == std::vector<double>{1, 2, 3, 4});
  CHECK(b.rows(1, 2).shape() == Shape{1, 2});
  CHECK(c.reshaped({2, 2}).rows(1, 2).to_doubles() == std::vector<double>{3, 4});
  CHECK_FALSE(b.unique());
  CHECK(c.unique());
}

TEST_CASE("tensors refuse what does not fit") {
  CHECK_THROWS_AS(vec({1, 2}).reshaped({3}), UsageError);
  CHECK_THROWS_AS(vec({1, 2}).rows(1, 3), UsageError);
  CHECK_THROWS_AS(vec({1, 2}).rows(-1, 1), UsageError);
  CHECK_THROWS_AS(vec({1, 2}).item(), UsageError);
  CHECK_THROWS_AS(Tensor().backend(), UsageError);
  CHECK_THROWS_AS(accumulate(vec({1, 2}), vec({1})), UsageError);
  CHECK_THROWS_AS((Shape{1, -1}), UsageError);
  const std::vector<double> three{1, 2, 3};
  CHECK_THROWS_AS(Tensor::from(ref(), DType::f32, {2}, std::span<const double>(three)), UsageError);
}

TEST_CASE("accumulate writes in place only where nobody else looks") {
  const Tensor shared = vec({1, 2});
  const Tensor also = shared;
  const Tensor sum = accumulate(shared, vec({10, 20}));
  CHECK(also.to_doubles() == std::vector<double>{1, 2});
  CHECK(sum.to_doubles() == std::vector<double>{11, 22});
}

TEST_CASE("an unknown device is refused with the names that exist") {
  try {
    open_device("tpu");
    FAIL("expected UsageError");
  } catch (const UsageError& e) {
    CHECK(std::string(e.what()).find("ref") != std::string::npos);
  }
}

TEST_CASE("gradient and Hessian of a square are 2x and 2") {
  Tape tape;
  const Var x = tape.variable(matrix(1, 3, {1, -2, 3}));
  const Var y = square(tape, x);
  CHECK(y.value.item() == 14);
  const std::vector<Var> xs{x};
  CHECK(tape.backward(y, xs, After::keep)[0].to_doubles() == std::vector<double>{2, -4, 6});
  const Tensors v{matrix(1, 3, {1, 0, -1})};
  CHECK(tape.hessian_vector(xs, v, After::keep)[0].to_doubles() == std::vector<double>{2, 0, -2});
  // A kept tape may be swept again, and remembers no tangent.
  CHECK(tape.hessian_vector(xs, v, After::keep)[0].to_doubles() == std::vector<double>{2, 0, -2});
  CHECK_FALSE(bool(tape.hessian_vector(xs, Tensors(1), After::release)[0]));
}

TEST_CASE("a fourth power has a Hessian that depends on the point") {
  Tape tape;
  const Var x = tape.variable(matrix(1, 2, {1, 2}));
  const Var s = square(tape, x);
  const Var y = square(tape, s);  // |x|^4: gradient 4 |x|^2 x, Hessian 4 |x|^2 I + 8 x x^T
  const std::vector<Var> xs{x};
  CHECK(tape.backward(y, xs, After::keep)[0].to_doubles() == std::vector<double>{20, 40});
  CHECK(tape.hessian_vector(xs, Tensors{matrix(1, 2, {1, 0})})[0].to_doubles() == std::vector<double>{28, 16});
}

TEST_CASE("what a loss does not depend on has no gradient") {
  Tape tape;
  const Var x = tape.variable(matrix(1, 2, {1, 2}));
  const Var unused = tape.variable(matrix(1, 2, {5, 6}));
  const Var dead_end = square(tape, unused);
  const Var y = square(tape, x);
  const std::vector<Var> xs{x, unused};
  const Tensors g = tape.backward(y, xs, After::keep);
  CHECK(bool(g[0]));
  CHECK_FALSE(bool(g[1]));
  const Tensors hv = tape.hessian_vector(xs, Tensors{matrix(1, 2, {1, 1}), matrix(1, 2, {1, 1})});
  CHECK(hv[0].to_doubles() == std::vector<double>{2, 2});
  CHECK_FALSE(bool(hv[1]));
}

TEST_CASE("constants keep nothing alive") {
  Tape tape;
  const Var c = tape.constant(matrix(1, 2, {1, 2}));
  square(tape, c);
  CHECK(tape.size() == 0);
  CHECK(tape.saved_bytes() == 0);
}

TEST_CASE("a released tape, a foreign value and a vector loss are refused") {
  Tape tape;
  const Var x = tape.variable(matrix(1, 2, {1, 2}));
  const Var y = square(tape, x);
  const std::vector<Var> xs{x};
  CHECK_THROWS_AS(tape.hessian_vector(xs, Tensors(1)), UsageError);
  CHECK_THROWS_AS(tape.backward(x, xs), UsageError);
  tape.backward(y, xs, After::release);
  CHECK_THROWS_AS(tape.backward(y, xs), UsageError);
  CHECK_THROWS_AS(tape.hessian_vector(xs, Tensors(1)), UsageError);
  Tape other;
  CHECK_THROWS_AS(square(other, y), UsageError);
}

TEST_CASE("a Jacobian-vector product is the tangent of a value") {
  Tape tape;
  const Var x = tape.variable(matrix(1, 2, {1, 2}));
  const Var y = square(tape, x);
  const std::vector<Var> xs{x};
  CHECK(tape.jacobian_vector(y, xs, Tensors{matrix(1, 2, {3, 5})}).item() == 26);
  CHECK_THROWS_AS(tape.jacobian_vector(y, xs, Tensors{matrix(2, 1, {3, 5})}), UsageError);
}

TEST_CASE("a watching tape names the first value that is not finite") {
  Tape tape;
  tape.watch_finite();
  const Var x = tape.variable(matrix(1, 2, {1, std::numeric_limits<double>::infinity()}));
  square(tape, square(tape, x));
  CHECK(tape.first_non_finite().op == "linear");
  CHECK(tape.first_non_finite().inputs == std::vector<int>{0, 0});
}

TEST_CASE("operators refuse mixed dtypes, mixed devices and shapes that do not fit") {
  Tape tape;
  const Var x = tape.variable(matrix(2, 3, {1, 2, 3, 4, 5, 6}));
  const Var f32 = tape.variable(Tensor::full(ref(), DType::f32, {2, 3}, 1));
  const Var elsewhere = tape.variable(Tensor::full(open_device("cpu"), DType::f64, {2, 3}, 1));
  CHECK_THROWS_AS(tape.apply(ops::add(), {x, f32}), UsageError);
  CHECK_THROWS_AS(tape.apply(ops::add(), {x, elsewhere}), UsageError);
  CHECK_THROWS_AS(tape.apply(ops::add(), {x}), UsageError);
  CHECK_THROWS_AS(tape.apply(ops::linear(), {x, tape.variable(matrix(3, 2, {1, 2, 3, 4, 5, 6}))}), UsageError);
  CHECK_THROWS_AS(tape.apply(ops::conv3d({}), {x, x}), UsageError);
  CHECK_THROWS_AS(tape.apply(ops::slice_rows(1, 4), {x}), UsageError);
  CHECK_THROWS_AS(tape.apply(ops::cross_entropy(Tensor::from(ref(), std::vector<std::int64_t>{0, 3})), {x}),
                  UsageError);
  CHECK_THROWS_AS(tape.apply(ops::cross_entropy(Tensor::from(ref(), std::vector<std::int64_t>{0, -1})), {x}),
                  UsageError);
  CHECK_THROWS_AS(tape.apply(ops::info_nce(0), {x, x}), UsageError);
  const Var clip = tape.variable(Tensor::full(ref(), DType::f64, {1, 2, 2, 2, 3}, 1));
  const Var weight = tape.variable(Tensor::full(ref(), DType::f64, {4, 3, 1, 1, 3}, 1));
  CHECK_THROWS_AS(tape.apply(ops::conv3d({}), {clip, weight}), UsageError);
  CHECK_THROWS_AS(tape.apply(ops::max_pool({{2, 2, 2}, {1, 1, 1}, {2, 0, 0}}), {clip}), UsageError);
}

}  // namespace mcn
