// The harness itself must be able to fail: operators with a planted mistake are flagged by the rules that should.
#include <cmath>
#include <limits>

#include "tests/catch.h"
#include "tests/ops/guarded_backend.h"
#include "tests/ops/harness.h"
#include "tests/tolerances.h"

namespace mcn::test {
namespace {

enum class Mistake {
  none,
  jvp_constant_statistic,      // m_dot = 0 where y_dot needs it
  vjp_constant_statistic,      // the statistic's share of x_bar is missing
  vjp_dot_constant_statistic,  // m_dot = 0 where x_bar_dot needs it: the classic of batch normalisation
  vjp_dot_without_second,      // the second derivative of the statistic is missing
  vjp_dot_without_bar_dot,
  vjp_dot_asymmetric,
  absent_is_not_zero,
  nan_in_vjp_dot,
  infinity_in_vjp,
  unwanted_cotangent,
  wrong_shape,
  writes_into_argument,
  depends_on_dtype,
};

// y = m x with the statistic m = mean(x^2).
class Planted final : public Operator {
 public:
  explicit Planted(Mistake mistake) : mistake_(mistake) {}
  [[nodiscard]] std::string_view name() const override { return "planted"; }

  Tensor forward(std::span<const Tensor> x) override {
    x_.value = x[0];
    count_ = static_cast<double>(x[0].numel());
    m_ = product(x[0], x[0]) / count_;
    const bool off = has(Mistake::depends_on_dtype) && x[0].dtype() == DType::f32;
    return combination(m_ + (off ? 10 * tolerances::planted : 0), x[0], 0, x[0]);
  }

  Tensors vjp(const Tensor& y_bar, Wanted wanted) override {
    if (!wanted[0] && !has(Mistake::unwanted_cotangent)) return Tensors(1);
    if (Tensor same = y_bar; has(Mistake::writes_into_argument))
      same.backend().run(kernel::Fill{.value = 0, .y = same});
    const double along = has(Mistake::vjp_constant_statistic) ? 0 : 2 * product(y_bar, x_.value) / count_;
    Tensor bar = combination(m_, y_bar, along, x_.value);
    if (has(Mistake::infinity_in_vjp))
      bar.backend().run(kernel::Fill{.value = std::numeric_limits<double>::infinity(), .y = bar.rows(0, 1)});
    if (has(Mistake::wrong_shape)) bar = bar.reshaped({1, bar.numel()});
    return {bar};
  }

  Tensor jvp(std::span<const Tensor> x_dot) override {
    x_.dot = x_dot[0];
    const double m_dot = has(Mistake::jvp_constant_statistic) ? 0 : 2 * product(x_.value, x_.dot) / count_;
    return combination(m_, x_.dot, m_dot, x_.value);
  }

  Tensors vjp_dot(const Tensor& y_bar, const Tensor& y_bar_dot, Wanted wanted) override {
    if (!wanted[0]) return Tensors(1);
    Tensor dot = Tensor::full(y_bar.backend(), y_bar.dtype(), y_bar.shape(), 0);
    if (x_.dot) {
      const double m_dot = 2 * product(x_.value, x_.dot) / count_;
      const double second = has(Mistake::vjp_dot_without_second) ? 0 : 2 / count_;
      if (!has(Mistake::vjp_dot_constant_statistic)) add(m_dot, y_bar, dot);
      if (!has(Mistake::vjp_dot_asymmetric)) add(second * product(y_bar, x_.dot), x_.value, dot);
      add(second * product(y_bar, x_.value), x_.dot, dot);
    }
    const Tensor& incoming = has(Mistake::absent_is_not_zero) && !y_bar_dot ? y_bar : y_bar_dot;
    if (incoming && !has(Mistake::vjp_dot_without_bar_dot)) {
      add(m_, incoming, dot);
      add(2 * product(incoming, x_.value) / count_, x_.value, dot);
    }
    if (has(Mistake::nan_in_vjp_dot)) dot.backend().run(kernel::Fill{.value = std::nan(""), .y = dot.rows(2, 3)});
    return {dot};
  }

 private:
  [[nodiscard]] bool has(Mistake m) const { return mistake_ == m; }
  static double product(const Tensor& a, const Tensor& b) { return mcn::dot(a.backend(), a, b); }
  static void add(double factor, const Tensor& x, Tensor& sum) { mcn::axpy(sum.backend(), factor, x, sum); }
  static Tensor combination(double a, const Tensor& x, double b, const Tensor& y) {
    Tensor sum = Tensor::like(x);
    sum.backend().run(kernel::Scale{.alpha = a, .x = x, .y = sum});
    add(b, y, sum);
    return sum;
  }

  Mistake mistake_;
  double m_ = 0, count_ = 0;
  Saved x_{*this};
};

// y = a + b, whose cotangent of b is right only where that of a is wanted as well.
class PlantedSum final : public Operator {
 public:
  [[nodiscard]] std::string_view name() const override { return "planted_sum"; }
  Tensor forward(std::span<const Tensor> x) override { return accumulate(x[0].clone(), x[1]); }
  Tensors vjp(const Tensor& y_bar, Wanted wanted) override {
    return {wanted[0] ? y_bar : Tensor(), !wanted[1] ? Tensor() : wanted[0] ? y_bar : accumulate(y_bar, y_bar)};
  }
  Tensor jvp(std::span<const Tensor> x_dot) override { return accumulate(x_dot[0], x_dot[1]); }
  Tensors vjp_dot(const Tensor&, const Tensor& y_bar_dot, Wanted wanted) override {
    return {wanted[0] ? y_bar_dot : Tensor(), wanted[1] ? y_bar_dot : Tensor()};
  }
};

GradcheckCase planted(Mistake mistake) {
  return {"planted", "", {Shape{5}}, [mistake](GradcheckDraw&) { return std::make_unique<Planted>(mistake); }};
}

std::set<std::string> flagged_in(Mistake mistake, DType dtype) {
  const auto ref = make_ref_backend();
  return flagged(check_rules(planted(mistake), *ref, dtype, seed));
}

}  // namespace

TEST_CASE("planted mistakes: an operator without any passes") {
  CHECK(flagged_in(Mistake::none, DType::f64).empty());
  CHECK(flagged_in(Mistake::none, DType::f32).empty());
}

TEST_CASE("planted mistakes: each is flagged by the rules that should see it") {
  const std::pair<Mistake, std::set<std::string>> table[] = {
      {Mistake::jvp_constant_statistic, {"jvp", "vjp"}},
      {Mistake::vjp_constant_statistic, {"vjp", "vjp_dot"}},
      {Mistake::vjp_dot_constant_statistic, {"vjp_dot", "symmetry"}},
      {Mistake::vjp_dot_without_second, {"vjp_dot", "symmetry"}},
      {Mistake::vjp_dot_without_bar_dot, {"vjp_dot"}},
      {Mistake::vjp_dot_asymmetric, {"vjp_dot", "symmetry"}},
      {Mistake::absent_is_not_zero, {"absent"}},
      {Mistake::nan_in_vjp_dot, {"vjp_dot", "symmetry", "absent", "wanted"}},
      {Mistake::infinity_in_vjp, {"vjp", "vjp_dot", "wanted"}},
      {Mistake::unwanted_cotangent, {"wanted"}},
      {Mistake::wrong_shape, {"wanted"}},
      {Mistake::writes_into_argument, {"arguments"}},
  };
  for (const auto& [mistake, rules] : table) {
    CAPTURE(static_cast<int>(mistake));
    const std::set<std::string> found = flagged_in(mistake, DType::f64);
    for (const std::string& rule : rules) {
      INFO(rule);
      CHECK(found.count(rule) == 1);
    }
  }
  // In float32 there are no differences, but what does not hold together is seen all the same.
  CHECK(flagged_in(Mistake::vjp_dot_constant_statistic, DType::f32).count("symmetry") == 1);
  CHECK(flagged_in(Mistake::jvp_constant_statistic, DType::f32).count("vjp") == 1);
  CHECK(flagged_in(Mistake::nan_in_vjp_dot, DType::f32).count("symmetry") == 1);
}

TEST_CASE("planted mistakes: a cotangent that depends on which others are wanted") {
  const auto ref = make_ref_backend();
  const GradcheckCase sum{
      "planted_sum", "", {Shape{5}, Shape{5}}, [](GradcheckDraw&) { return std::make_unique<PlantedSum>(); }};
  CHECK(flagged(check_rules(sum, *ref, DType::f64, seed)) == std::set<std::string>{"wanted"});
}

TEST_CASE("planted mistakes: a backend that is off is flagged against ref") {
  const auto ref = make_ref_backend();
  const GradcheckCase off = planted(Mistake::depends_on_dtype);
  const auto rows =
      compare_rules(off, DType::f32, run_rules(off, *ref, DType::f32, seed), run_rules(off, *ref, DType::f64, seed));
  CHECK(flagged(rows) == std::set<std::string>{"forward = ref"});
  const GradcheckCase nan = planted(Mistake::nan_in_vjp_dot);
  const auto nan_rows =
      compare_rules(nan, DType::f32, run_rules(nan, *ref, DType::f32, seed), run_rules(nan, *ref, DType::f64, seed));
  CHECK(flagged(nan_rows) == std::set<std::string>{"vjp_dot = ref"});
}

TEST_CASE("planted mistakes: a write one byte outside a buffer breaks its guard") {
  const auto ref = make_ref_backend();
  for (const int offset : {-1, 12}) {
    GuardedBackend guarded(*ref);
    Tensor t(guarded, DType::f32, {3});
    for (const double v : t.to_doubles()) CHECK(std::isnan(v));
    CHECK(guarded.guards_intact());
    auto* bytes = static_cast<unsigned char*>(t.view().data);
    const unsigned char before = bytes[offset];
    bytes[offset] = 0;
    CHECK_FALSE(guarded.guards_intact());
    t = Tensor();
    CHECK_FALSE(guarded.guards_intact());
    CHECK(before == 0xA5);
  }
}

}  // namespace mcn::test
