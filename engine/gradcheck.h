// Checks of the operators' four rules: against differences, against each other, and one backend against the oracle.
// `mcn gradcheck` shows gradcheck_operators to a user; tests/ops runs the parts over many more cases.
#pragma once

#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/ops.h"

namespace mcn {

/// One line of the table: an operator, a rule, the worst error found and what is allowed.
struct GradcheckRow {
  std::string op, rule;
  double error = std::numeric_limits<double>::quiet_NaN();
  double tolerance = 0;
  bool ok = false;  ///< error <= tolerance, so false for NaN
};

/// Allowed errors, each relative to the largest value compared (or to 0.001 where all are smaller).
struct GradcheckTolerances {
  double difference;  ///< a rule against five-point differences
  double identity;    ///< adjoint identity and symmetry of the Hessian, relative to the sum of the products' magnitudes
  double same;        ///< one rule called in two ways: tangents absent or zero, cotangents wanted together or alone
  double oracle;      ///< a backend against `ref` in float64
};
[[nodiscard]] constexpr GradcheckTolerances gradcheck_tolerances(DType dtype) {
  // float64: five-point differences with steps of 1e-4 lose four digits to rounding, and are compared with a loss that
  // may cancel to a thousandth of its terms; all else is sums of some thousand terms. float32: the same sums at 6e-8 a
  // rounding. Each is about ten times the worst seen over 20 seeds and the layers of R(2+1)D-18.
  if (dtype == DType::f64) return {.difference = 1e-8, .identity = 1e-13, .same = 1e-13, .oracle = 1e-12};
  return {.difference = 0, .identity = 5e-6, .same = 2e-6, .oracle = 2e-5};
}

/// Random tensors for the constants of an operator (labels, a bank, ...): the same values on every backend and in
/// every dtype, because all are exact in float32.
class GradcheckDraw {
 public:
  GradcheckDraw(Backend& backend, DType dtype, std::uint64_t seed) : backend_(backend), dtype_(dtype), seed_(seed) {}
  Tensor uniform(const Shape& shape, double low, double high);
  /// i64 in [0, end).
  Tensor integers(std::int64_t count, std::int64_t end);
  [[nodiscard]] Backend& backend() const { return backend_; }

 private:
  Backend& backend_;
  DType dtype_;
  std::uint64_t seed_;
  std::uint64_t drawn_ = 0;
};

/// An operator with the shapes of its inputs; an empty one is an optional input that is not given.
struct GradcheckCase {
  using Make = std::function<ops::OperatorPtr(GradcheckDraw&)>;

  std::string op;     ///< its factory in engine/ops.h
  std::string label;  ///< what is special about this case
  std::vector<std::optional<Shape>> inputs;
  Make make;

  /// Input values are uniform on +-1.7 scale, or, if distinct, a shuffle of +-0.025, +-0.075, +-0.125, ... so that no
  /// difference crosses the kink of ReLU at 0 or of a maximum at ties.
  double scale = 1;
  bool distinct = false;
  /// The operator before a ReLU at its end, if it has one: inputs are drawn until no value of it is near 0.
  Make before_relu = nullptr;
  /// Allows that much more rounding error: the case is ill-conditioned by intent.
  double slack = 1;

  [[nodiscard]] std::string name() const { return label.empty() ? op : op + ": " + label; }
};

/// The table that users see: a row or several for every operator, small enough for differences.
const std::vector<GradcheckCase>& gradcheck_cases();

/// All that the four rules return at the case's random point, with all tangents, with each one alone, and without
/// y_bar_dot. Absent results are empty.
struct GradcheckValues {
  using List = std::vector<std::vector<double>>;
  List forward, vjp, jvp, vjp_dot;
  friend bool operator==(const GradcheckValues&, const GradcheckValues&) = default;
};
GradcheckValues run_rules(const GradcheckCase& c, Backend& backend, DType dtype, std::uint64_t seed);

/// The rules of a case against each other, and in float64 against differences. Rules: "jvp", "vjp_dot" (differences,
/// float64 only), "vjp" (adjoint identity), "symmetry" (u.Hv = v.Hu through the tape), "absent" (absent tangents are
/// zero ones, for every subset), "wanted" (every subset of cotangents, and nothing else), "arguments" (left unchanged).
std::vector<GradcheckRow> check_rules(const GradcheckCase& c, Backend& backend, DType dtype, std::uint64_t seed);

/// The four rules of a case on some backend against `ref` in float64. Rules: "forward = ref" and so on.
std::vector<GradcheckRow> compare_rules(const GradcheckCase& c, DType dtype, const GradcheckValues& actual,
                                        const GradcheckValues& expected);

/// Both over gradcheck_cases(): the case nearest to failing for each operator and rule. A backend other than `ref` in
/// float64 is compared with that.
std::vector<GradcheckRow> gradcheck_operators(Backend& backend, DType dtype, std::uint64_t seed);

}  // namespace mcn
