// Tape: four sweeps over a recorded composition of operators. Recording is the forward sweep; backward gives the
// gradient; the two tangent sweeps together give an exact Hessian-vector product (forward-over-reverse).
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "engine/operator.h"

namespace mcn {

/// A value on a tape. The tape does not keep the tensor alive: operators save what their rules need.
struct Var {
  int id = -1;  ///< negative: absent (an optional input that is not given)
  Tensor value;
};

/// What a sweep leaves behind.
enum class After : std::uint8_t {
  release,  ///< each operator is freed as soon as it has done its part; the tape cannot be swept again
  keep      ///< operators and cotangents stay for (further) tangent sweeps
};

class Tape {
 public:
  /// A variable: cotangents are taken with respect to it.
  Var variable(Tensor value);
  std::vector<Var> variables(const Tensors& values);
  /// A constant: it has neither tangent nor cotangent.
  Var constant(Tensor value);

  /// Forward sweep, an operator at a time. Inputs with a negative id are absent.
  Var apply(std::unique_ptr<Operator> op, std::vector<Var> inputs);

  /// Backward sweep from a one-element loss: d loss / d x for each of `x` (absent where the loss does not depend on
  /// it).
  Tensors backward(const Var& loss, std::span<const Var> x, After after = After::release);

  /// Tangent-forward sweep then tangent-backward sweep: H v, where H is the Hessian of the loss of the last backward
  /// (which must have kept the tape) with respect to `x`, and v has one entry, possibly absent, for each of `x`.
  Tensors hessian_vector(std::span<const Var> x, std::span<const Tensor> v, After after = After::release);

  /// The tangent-forward sweep alone: J v of the value y.
  Tensor jacobian_vector(const Var& y, std::span<const Var> x, std::span<const Tensor> v);

  /// The first recorded value that holds a NaN or an infinity.
  struct NonFinite {
    std::string op;  ///< empty: all values are finite
    Shape shape;
    std::vector<int> inputs;  ///< ids of the operator's inputs; variables have the first ids if made first
  };
  /// Looks for it while recording from now on, at the cost of a read of every value.
  void watch_finite() { watch_finite_ = true; }
  [[nodiscard]] const NonFinite& first_non_finite() const { return first_non_finite_; }

  [[nodiscard]] std::size_t size() const { return nodes_.size(); }
  /// Bytes kept for later sweeps.
  [[nodiscard]] std::size_t saved_bytes() const;

 private:
  struct Node {
    std::unique_ptr<Operator> op;
    std::vector<int> inputs;
    int output;
    Wanted wanted;
    Tensor y_bar;  // kept for the tangent-backward sweep
  };

  // Runs jvp over all nodes; last_use of each tangent frees it.
  Tensor sweep_tangents(std::span<const Var> x, std::span<const Tensor> v, int y);
  void check_alive(const char* sweep) const;

  std::vector<Node> nodes_;
  std::vector<bool> wants_;  // by value id: does it depend on a variable?
  int loss_ = -1;
  bool released_ = false;
  bool watch_finite_ = false;
  NonFinite first_non_finite_;
};

}  // namespace mcn
