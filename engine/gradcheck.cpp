// How the four rules are checked. Values are compared on the host, as lists of double.
#include "engine/gradcheck.h"

#include <algorithm>
#include <cmath>

#include "engine/random.h"
#include "engine/tape.h"

namespace mcn {
namespace {

using Values = std::vector<double>;
using List = GradcheckValues::List;

// Purposes of random streams.
enum Stream : std::uint64_t { input = 1, input_dot, other_dot, output_bar, output_bar_dot, constants };

constexpr double infinite = std::numeric_limits<double>::infinity();
constexpr double difference_step = 1e-4;

std::size_t size(const Shape& shape) { return static_cast<std::size_t>(shape.numel()); }

// Numbers that are exact in float32.
Values uniform_values(const Shape& shape, double low, double high, std::uint64_t seed, std::uint64_t stream) {
  Philox philox(seed, stream);
  Values values(size(shape));
  for (double& v : values) v = static_cast<double>(static_cast<float>(philox.uniform(low, high)));
  return values;
}

Values distinct_values(const Shape& shape, std::uint64_t seed, std::uint64_t stream) {
  Values values(size(shape));
  const double centre = std::floor(static_cast<double>(values.size()) / 2);
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<double>(static_cast<float>(0.05 * (static_cast<double>(i) - centre + 0.5)));
  Philox philox(seed, stream);
  philox.shuffle(std::span(values));
  return values;
}

Values to_values(const Tensor& t) { return t ? t.to_doubles() : Values(); }
List to_values(const Tensors& tensors) {
  List list;
  for (const Tensor& t : tensors) list.push_back(to_values(t));
  return list;
}

// A tensor for every input of the case, absent where its values are.
Tensors to_tensors(const GradcheckCase& c, Backend& backend, DType dtype, const List& values) {
  Tensors tensors;
  for (std::size_t i = 0; i < values.size(); ++i)
    tensors.push_back(c.inputs[i] && !values[i].empty()
                          ? Tensor::from(backend, dtype, *c.inputs[i], std::span<const double>(values[i]))
                          : Tensor());
  return tensors;
}

List moved(const List& values, double step, const List& direction) {
  List sum = values;
  for (std::size_t i = 0; i < sum.size(); ++i)
    for (std::size_t k = 0; k < sum[i].size(); ++k) sum[i][k] += step * direction[i][k];
  return sum;
}

// Largest difference relative to the largest expected value; empty lists are zero. NaN if anything is NaN.
double error_of(const Values& actual, const Values& expected) {
  if (!actual.empty() && !expected.empty() && actual.size() != expected.size()) return infinite;
  const std::size_t count = std::max(actual.size(), expected.size());
  double worst = 0;
  double scale = 1e-3;
  for (std::size_t i = 0; i < count; ++i) {
    const double e = expected.empty() ? 0 : expected[i];
    const double difference = std::abs((actual.empty() ? 0 : actual[i]) - e);
    if (std::isnan(difference)) return difference;
    worst = std::max(worst, difference);
    scale = std::max(scale, std::abs(e));
  }
  return worst / scale;
}

// std::max would drop a NaN on one side.
double worse(double a, double b) { return a >= b || std::isnan(a) ? a : b; }

double error_of(const List& actual, const List& expected) {
  if (actual.size() != expected.size()) return infinite;
  double worst = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) worst = worse(worst, error_of(actual[i], expected[i]));
  return worst;
}

// The inner product, and the sum of its terms' magnitudes.
struct Product {
  double value = 0, magnitude = 0;
  void add(const Values& a, const Values& b) {
    for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
      value += a[i] * b[i];
      magnitude += std::abs(a[i] * b[i]);
    }
  }
  void add(const List& a, const List& b) {
    for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) add(a[i], b[i]);
  }
};
double error_of(const Product& a, const Product& b) {
  return std::abs(a.value - b.value) / worse(worse(a.magnitude, b.magnitude), 1e-3);
}

ops::OperatorPtr make(const GradcheckCase::Make& maker, Backend& backend, DType dtype, std::uint64_t seed) {
  GradcheckDraw draw(backend, dtype, hash_stream(seed, static_cast<std::uint64_t>(constants)));
  return maker(draw);
}

// Distance of the nearest value from the kink of a ReLU that the case ends with.
double margin(const GradcheckCase& c, const List& x, Backend& backend, std::uint64_t seed) {
  if (!c.before_relu) return infinite;
  const auto op = make(c.before_relu, backend, DType::f64, seed);
  double nearest = infinite;
  for (const double v : to_values(op->forward(to_tensors(c, backend, DType::f64, x))))
    nearest = std::min(nearest, std::abs(v));
  return nearest;
}

struct Point {
  List x, x_dot, other_dot;
};

Point draw_point(const GradcheckCase& c, Backend& backend, std::uint64_t seed) {
  const auto draw = [&](std::uint64_t stream, std::uint64_t attempt, bool inputs) {
    List list;
    for (std::size_t i = 0; i < c.inputs.size(); ++i) {
      const std::uint64_t key = hash_stream(stream, attempt, i);
      const double bound = inputs ? 1.7 * c.scale : 1.7;
      if (!c.inputs[i])
        list.emplace_back();
      else
        list.push_back(inputs && c.distinct ? distinct_values(*c.inputs[i], seed, key)
                                            : uniform_values(*c.inputs[i], -bound, bound, seed, key));
    }
    return list;
  };
  Point p{draw(Stream::input, 0, true), draw(Stream::input_dot, 0, false), draw(Stream::other_dot, 0, false)};
  // Wide enough for the steps of a difference, and narrow enough to be found by chance in a large case.
  const auto enough = std::min(5e-3, c.inputs[0] ? 0.5 / static_cast<double>(c.inputs[0]->numel()) : 0);
  for (std::uint64_t attempt = 1; !(margin(c, p.x, backend, seed) >= enough); ++attempt) {
    if (attempt == 1000) fail("gradcheck", "{}: no inputs away from the kink of ReLU", c.name());
    p.x = draw(Stream::input, attempt, true);
  }
  return p;
}

// An operator that has run forward at x, and cotangents of its output.
struct Application {
  Application(const GradcheckCase& c, Backend& backend, DType dtype, std::uint64_t seed, const List& at)
      : x(to_tensors(c, backend, dtype, at)), op(make(c.make, backend, dtype, seed)), y(op->forward(x)) {
    for (std::size_t i = 0; i < x.size(); ++i)
      if (x[i]) all.set(i);
    bar_values = uniform_values(y.shape(), -1.7, 1.7, seed, Stream::output_bar);
    bar_dot_values = uniform_values(y.shape(), -1.7, 1.7, seed, Stream::output_bar_dot);
    y_bar = like_y(bar_values);
    y_bar_dot = like_y(bar_dot_values);
  }
  [[nodiscard]] Tensor like_y(const Values& values) const {
    return Tensor::from(y.backend(), y.dtype(), y.shape(), std::span<const double>(values));
  }

  Tensors x;
  ops::OperatorPtr op;
  Tensor y;
  Wanted all;
  Values bar_values, bar_dot_values;
  Tensor y_bar, y_bar_dot;
};

// d f(t) / dt at 0, with an error of the fourth order.
List difference(const std::function<List(double)>& f) {
  const double h = difference_step;
  List result = f(h);
  const List minus = f(-h);
  const List plus2 = f(2 * h);
  const List minus2 = f(-2 * h);
  for (std::size_t i = 0; i < result.size(); ++i)
    for (std::size_t k = 0; k < result[i].size(); ++k)
      result[i][k] = (8 * (result[i][k] - minus[i][k]) - (plus2[i][k] - minus2[i][k])) / (12 * h);
  return result;
}

// <c, y> + <y, y> / 2: makes a loss with second derivatives of every output.
class Readout final : public Operator {
 public:
  explicit Readout(Tensor c) : c_(std::move(c)) {}
  [[nodiscard]] std::string_view name() const override { return "readout"; }
  Tensor forward(std::span<const Tensor> x) override {
    y_.value = x[0];
    return scalar(mcn::dot(c_.backend(), c_, x[0]) + 0.5 * mcn::dot(c_.backend(), x[0], x[0]));
  }
  Tensors vjp(const Tensor& loss_bar, Wanted) override {
    Tensor bar = Tensor::like(c_);
    bar.backend().run(kernel::Add{.a = c_, .b = y_.value, .y = bar});
    bar.backend().run(kernel::Scale{.alpha = loss_bar.item(), .x = bar, .y = bar});
    return {bar};
  }
  Tensor jvp(std::span<const Tensor> x_dot) override {
    y_.dot = x_dot[0];
    return scalar(mcn::dot(c_.backend(), c_, x_dot[0]) + mcn::dot(c_.backend(), y_.value, x_dot[0]));
  }
  Tensors vjp_dot(const Tensor& loss_bar, const Tensor& loss_bar_dot, Wanted wanted) override {
    Tensor sum = loss_bar_dot ? vjp(loss_bar_dot, wanted)[0] : Tensor();
    if (!y_.dot) return {sum};
    Tensor term = Tensor::like(c_);
    term.backend().run(kernel::Scale{.alpha = loss_bar.item(), .x = y_.dot, .y = term});
    return {accumulate(sum, term)};
  }

 private:
  [[nodiscard]] Tensor scalar(double value) const { return Tensor::full(c_.backend(), c_.dtype(), {1}, value); }
  Tensor c_;
  Saved y_{*this};
};

double symmetry_error(const GradcheckCase& c, Backend& backend, DType dtype, std::uint64_t seed, const Point& p) {
  Tape tape;
  std::vector<Var> inputs;
  std::vector<Var> variables;
  Tensors v;
  Tensors u;
  const Tensors x = to_tensors(c, backend, dtype, p.x);
  const Tensors x_dot = to_tensors(c, backend, dtype, p.x_dot);
  const Tensors other_dot = to_tensors(c, backend, dtype, p.other_dot);
  for (std::size_t i = 0; i < x.size(); ++i) {
    inputs.push_back(x[i] ? tape.variable(x[i]) : Var());
    if (!x[i]) continue;
    variables.push_back(inputs.back());
    v.push_back(x_dot[i]);
    u.push_back(other_dot[i]);
  }
  const Var y = tape.apply(make(c.make, backend, dtype, seed), inputs);
  const Values c_values = uniform_values(y.value.shape(), -1.7, 1.7, seed, Stream::output_bar);
  const Tensor weights = Tensor::from(backend, dtype, y.value.shape(), std::span<const double>(c_values));
  const Var loss = tape.apply(std::make_unique<Readout>(weights), {y});
  tape.backward(loss, variables, After::keep);
  const List hv = to_values(tape.hessian_vector(variables, v, After::keep));
  const List hu = to_values(tape.hessian_vector(variables, u, After::release));
  Product uhv;
  Product vhu;
  uhv.add(to_values(u), hv);
  vhu.add(to_values(v), hu);
  return error_of(uhv, vhu);
}

// Tangents outside the mask become what `rest` says.
Tensors masked(const Tensors& x_dot, std::uint32_t mask, const Tensors& rest) {
  Tensors result = x_dot;
  for (std::size_t i = 0; i < result.size(); ++i)
    if (((mask >> i) & 1U) == 0) result[i] = rest[i];
  return result;
}

double absent_error(const GradcheckCase& c, Application& a, const Tensors& x_dot) {
  const Tensors nothing(x_dot.size());
  Tensors zeros;
  for (const Tensor& t : x_dot) zeros.push_back(t ? Tensor::full(t.backend(), t.dtype(), t.shape(), 0) : Tensor());
  const Tensor zero_bar_dot = Tensor::full(a.y.backend(), a.y.dtype(), a.y.shape(), 0);
  double worst = 0;
  for (std::uint32_t mask = 0; mask < (1U << c.inputs.size()); ++mask) {
    const auto tangents_of = [&](bool zero_filled) {
      const Tensors tangents = masked(x_dot, mask, zero_filled ? zeros : nothing);
      const bool none = std::none_of(tangents.begin(), tangents.end(), [](const Tensor& t) { return bool(t); });
      // The tape does not call jvp where no input has a tangent.
      if (none) {
        a.op->forget_tangents();
        return Values();
      }
      return to_values(a.op->jvp(tangents));
    };
    const Values y_dot = tangents_of(true);
    const List with_zeros[] = {to_values(a.op->vjp_dot(a.y_bar, a.y_bar_dot, a.all)),
                               to_values(a.op->vjp_dot(a.y_bar, zero_bar_dot, a.all))};
    worst = worse(worst, error_of(tangents_of(false), y_dot));
    worst = worse(worst, error_of(to_values(a.op->vjp_dot(a.y_bar, a.y_bar_dot, a.all)), with_zeros[0]));
    worst = worse(worst, error_of(to_values(a.op->vjp_dot(a.y_bar, Tensor(), a.all)), with_zeros[1]));
  }
  return worst;
}

// Whether a rule returned what was wanted, in the shapes of the inputs, and nothing else.
double wanted_error(const GradcheckCase& c, const Tensors& bars, const List& full, std::uint32_t mask) {
  double worst = 0;
  for (std::size_t i = 0; i < std::max(bars.size(), c.inputs.size()); ++i) {
    const Tensor bar = i < bars.size() ? bars[i] : Tensor();
    const bool is_wanted = i < c.inputs.size() && c.inputs[i] && ((mask >> i) & 1U) != 0;
    if (bar && (!is_wanted || bar.shape() != *c.inputs[i])) return infinite;
    if (is_wanted) worst = worse(worst, error_of(to_values(bar), full[i]));
  }
  return worst;
}

double wanted_error(const GradcheckCase& c, Application& a, const Tensors& x_dot) {
  a.op->jvp(x_dot);
  List full = to_values(a.op->vjp(a.y_bar, a.all));
  List full_dot = to_values(a.op->vjp_dot(a.y_bar, a.y_bar_dot, a.all));
  full.resize(c.inputs.size());
  full_dot.resize(c.inputs.size());
  double worst = 0;
  for (std::uint32_t mask = 0; mask < (1U << c.inputs.size()); ++mask) {
    Wanted wanted;
    for (std::size_t i = 0; i < c.inputs.size(); ++i)
      if (((mask >> i) & 1U) != 0 && c.inputs[i]) wanted.set(i);
    worst = worse(worst, wanted_error(c, a.op->vjp(a.y_bar, wanted), full, mask));
    worst = worse(worst, wanted_error(c, a.op->vjp_dot(a.y_bar, a.y_bar_dot, wanted), full_dot, mask));
  }
  return worst;
}

GradcheckRow row(const GradcheckCase& c, const char* rule, double error, double tolerance) {
  return {c.name(), rule, error, tolerance, error <= tolerance};
}

GradcheckTolerances tolerances_of(const GradcheckCase& c, DType dtype) {
  GradcheckTolerances t = gradcheck_tolerances(dtype);
  for (double* value : {&t.identity, &t.same, &t.oracle}) *value *= c.slack;
  return t;
}

// Values of ReLU's twin are looked at on the oracle, so that every backend is checked at the same point.
Backend& oracle() {
  static const std::unique_ptr<Backend> ref = make_ref_backend();
  return *ref;
}

}  // namespace

Tensor GradcheckDraw::uniform(const Shape& shape, double low, double high) {
  return Tensor::from(backend_, dtype_, shape,
                      std::span<const double>(uniform_values(shape, low, high, seed_, ++drawn_)));
}

Tensor GradcheckDraw::integers(std::int64_t count, std::int64_t end) {
  Philox philox(seed_, ++drawn_);
  std::vector<std::int64_t> values(static_cast<std::size_t>(count));
  for (std::int64_t& v : values) v = philox.below(end);
  return Tensor::from(backend_, values);
}

GradcheckValues run_rules(const GradcheckCase& c, Backend& backend, DType dtype, std::uint64_t seed) {
  const Point p = draw_point(c, oracle(), seed);
  Application a(c, backend, dtype, seed, p.x);
  const Tensors x_dot = to_tensors(c, backend, dtype, p.x_dot);
  const auto count = static_cast<std::uint32_t>(c.inputs.size());
  GradcheckValues values;
  const auto append = [](List& to, const List& from) { to.insert(to.end(), from.begin(), from.end()); };
  values.forward.push_back(to_values(a.y));
  append(values.vjp, to_values(a.op->vjp(a.y_bar, a.all)));
  std::vector<std::uint32_t> masks{(1U << count) - 1};
  for (std::uint32_t i = 0; i < count; ++i)
    if (c.inputs[i] && count > 1) masks.push_back(1U << i);
  for (const std::uint32_t mask : masks) {
    values.jvp.push_back(to_values(a.op->jvp(masked(x_dot, mask, Tensors(x_dot.size())))));
    append(values.vjp_dot, to_values(a.op->vjp_dot(a.y_bar, a.y_bar_dot, a.all)));
    append(values.vjp_dot, to_values(a.op->vjp_dot(a.y_bar, Tensor(), a.all)));
  }
  return values;
}

std::vector<GradcheckRow> check_rules(const GradcheckCase& c, Backend& backend, DType dtype, std::uint64_t seed) {
  const GradcheckTolerances tolerance = tolerances_of(c, dtype);
  const Point p = draw_point(c, oracle(), seed);
  Application a(c, backend, dtype, seed, p.x);
  const Tensors x_dot = to_tensors(c, backend, dtype, p.x_dot);
  const List bars = to_values(a.op->vjp(a.y_bar, a.all));
  const Values y_dot = to_values(a.op->jvp(x_dot));
  const List bar_dots = to_values(a.op->vjp_dot(a.y_bar, a.y_bar_dot, a.all));

  std::vector<GradcheckRow> rows;
  if (dtype == DType::f64) {
    const List expected_y_dot = difference(
        [&](double t) { return List{to_values(Application(c, backend, dtype, seed, moved(p.x, t, p.x_dot)).y)}; });
    const List expected_bar_dots = difference([&](double t) {
      Application at(c, backend, dtype, seed, moved(p.x, t, p.x_dot));
      const Values bar = moved({at.bar_values}, t, {at.bar_dot_values})[0];
      return to_values(at.op->vjp(at.like_y(bar), at.all));
    });
    rows.push_back(row(c, "jvp", error_of({y_dot}, expected_y_dot), tolerance.difference));
    rows.push_back(row(c, "vjp_dot", error_of(bar_dots, expected_bar_dots), tolerance.difference));
  }
  Product left;
  Product right;
  left.add(a.bar_values, y_dot);
  right.add(bars, p.x_dot);
  rows.push_back(row(c, "vjp", error_of(left, right), tolerance.identity));
  rows.push_back(row(c, "symmetry", symmetry_error(c, backend, dtype, seed, p), tolerance.identity));
  rows.push_back(row(c, "absent", absent_error(c, a, x_dot), tolerance.same));
  rows.push_back(row(c, "wanted", wanted_error(c, a, x_dot), tolerance.same));
  const bool unchanged = to_values(a.x) == p.x && to_values(x_dot) == p.x_dot && to_values(a.y_bar) == a.bar_values &&
                         to_values(a.y_bar_dot) == a.bar_dot_values;
  rows.push_back(row(c, "arguments", unchanged ? 0 : infinite, 0));
  return rows;
}

std::vector<GradcheckRow> compare_rules(const GradcheckCase& c, DType dtype, const GradcheckValues& actual,
                                        const GradcheckValues& expected) {
  const double tolerance = tolerances_of(c, dtype).oracle;
  return {row(c, "forward = ref", error_of(actual.forward, expected.forward), tolerance),
          row(c, "vjp = ref", error_of(actual.vjp, expected.vjp), tolerance),
          row(c, "jvp = ref", error_of(actual.jvp, expected.jvp), tolerance),
          row(c, "vjp_dot = ref", error_of(actual.vjp_dot, expected.vjp_dot), tolerance)};
}

std::vector<GradcheckRow> gradcheck_operators(Backend& backend, DType dtype, std::uint64_t seed) {
  std::vector<GradcheckRow> table;
  const auto merge = [&](const GradcheckCase& c, const std::vector<GradcheckRow>& rows) {
    for (GradcheckRow r : rows) {
      r.op = c.op;
      const auto found = std::find_if(table.begin(), table.end(),
                                      [&](const GradcheckRow& t) { return t.op == r.op && t.rule == r.rule; });
      if (found == table.end())
        table.push_back(r);
      else if (found->ok && (!r.ok || r.error * found->tolerance > found->error * r.tolerance))
        *found = r;
    }
  };
  for (const GradcheckCase& c : gradcheck_cases()) {
    merge(c, check_rules(c, backend, dtype, seed));
    if (backend.name() != "ref" || dtype != DType::f64)
      merge(c, compare_rules(c, dtype, run_rules(c, backend, dtype, seed), run_rules(c, oracle(), DType::f64, seed)));
  }
  return table;
}

}  // namespace mcn
