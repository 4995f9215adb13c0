// Operator: four rules. Everything that the engine differentiates is a composition of operators on a tape.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "engine/tensor.h"

namespace mcn {

class Operator;

/// A tensor that an operator keeps for its other rules, together with its tangent. Declared as a member with {*this};
/// there is no other way to keep a tensor, so that nothing is silently treated as constant under a tangent sweep.
class Saved {
 public:
  explicit Saved(Operator& owner);
  Saved(const Saved&) = delete;
  Saved& operator=(const Saved&) = delete;

  Tensor value;
  Tensor dot;  ///< absent is zero
};

/// Which inputs' cotangents a caller wants; the others must be returned absent.
class Wanted {
 public:
  Wanted() = default;
  static Wanted all() { return Wanted(~0U); }
  void set(std::size_t input) { bits_ |= 1U << input; }
  [[nodiscard]] bool operator[](std::size_t input) const { return ((bits_ >> input) & 1U) != 0; }
  [[nodiscard]] bool none() const { return bits_ == 0; }

 private:
  explicit Wanted(std::uint32_t bits) : bits_(bits) {}
  std::uint32_t bits_ = 0;
};

/// y = f(x_0, x_1, ...). The rules are called in this order: forward, then vjp, then any number of times jvp followed
/// by vjp_dot (vjp is not needed first). Tangents and cotangents have the shape of what they belong to; an absent one
/// is zero, as argument and as result. Returned tensors may share memory with arguments.
class Operator {
 public:
  Operator() = default;
  virtual ~Operator() = default;
  Operator(const Operator&) = delete;
  Operator& operator=(const Operator&) = delete;

  /// The name that errors, profiles and the test harness know it by.
  [[nodiscard]] virtual std::string_view name() const = 0;

  /// Checks shapes (UsageError), computes y, saves what the other rules need. An input may be absent only where the
  /// operator says that it is optional.
  virtual Tensor forward(std::span<const Tensor> x) = 0;
  /// x_bar_i = (dy/dx_i)^T y_bar for the wanted inputs.
  virtual Tensors vjp(const Tensor& y_bar, Wanted wanted) = 0;
  /// y_dot = sum_i (dy/dx_i) x_dot_i; saves the tangents of all that forward saved. At least one tangent is there: the
  /// tape passes over an operator that none reaches.
  virtual Tensor jvp(std::span<const Tensor> x_dot) = 0;
  /// The tangent of vjp at the tangents that the last jvp saved: x_bar_dot for the wanted inputs.
  virtual Tensors vjp_dot(const Tensor& y_bar, const Tensor& y_bar_dot, Wanted wanted) = 0;

  void forget_tangents();
  /// Bytes of saved tensors, tangents included; memory shared with others counts in full.
  [[nodiscard]] std::size_t saved_bytes() const;

 private:
  friend class Saved;
  std::vector<Saved*> saved_;
};

}  // namespace mcn
