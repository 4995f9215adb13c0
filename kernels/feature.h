// Signatures of the kernels on feature vectors: L2 normalisation, the pairing of the feature combination module, and
// the memory bank's rows.
#pragma once

#include "kernels/view.h"

namespace mcn {

/// y = x / n per row, n = max(|x|, eps); x: N x C, norm: N. Where |x| <= eps the divisor is the constant eps.
/// vjp, jvp and vjp_dot may be given absent tangents or cotangent tangents (zero).
class L2NormalizeKernels {
 public:
  virtual void l2_normalize_forward(double eps, ConstView x, View y, View norm) = 0;
  /// x_bar = (y_bar - y (y . y_bar)) / n
  virtual void l2_normalize_vjp(double eps, ConstView y, ConstView norm, ConstView y_bar, View x_bar) = 0;
  /// y_dot = (x_dot - y (y . x_dot)) / n, norm_dot = y . x_dot
  virtual void l2_normalize_jvp(double eps, ConstView y, ConstView norm, ConstView x_dot, View y_dot,
                                View norm_dot) = 0;
  /// y_dot, norm_dot: absent together; y_bar_dot may be absent
  virtual void l2_normalize_vjp_dot(double eps, ConstView y, ConstView norm, ConstView y_dot, ConstView norm_dot,
                                    ConstView y_bar, ConstView y_bar_dot, View x_bar_dot) = 0;

 protected:
  ~L2NormalizeKernels() = default;
};

/// Pairing of a (N x C) with b (N x C): y is (N N) x (2 C), row i N + j = scale [a_i * b_j, (a_i - b_j)^2].
class PairingKernels {
 public:
  virtual void pairing_forward(double scale, ConstView a, ConstView b, View y) = 0;
  virtual void pairing_vjp(double scale, ConstView a, ConstView b, ConstView y_bar, View a_bar, View b_bar) = 0;
  /// a_dot or b_dot may be absent
  virtual void pairing_jvp(double scale, ConstView a, ConstView b, ConstView a_dot, ConstView b_dot, View y_dot) = 0;
  /// a_dot, b_dot, y_bar_dot may be absent
  virtual void pairing_vjp_dot(double scale, ConstView a, ConstView b, ConstView a_dot, ConstView b_dot,
                               ConstView y_bar, ConstView y_bar_dot, View a_bar_dot, View b_bar_dot) = 0;

 protected:
  ~PairingKernels() = default;
};

/// Rows of a memory bank or queue (M x C), addressed by i64 row numbers in [0, M). No derivatives: the bank is
/// constant.
class FeatureBankKernels {
 public:
  /// out[i] = bank[rows[i]]
  virtual void gather_rows(ConstView bank, ConstView rows, View out) = 0;
  /// bank[rows[i]] = normalise(momentum bank[rows[i]] + (1 - momentum) z[i]); rows must be distinct;
  /// normalise divides by max(norm, 1e-12)
  virtual void update_rows(double momentum, ConstView z, ConstView rows, View bank) = 0;

 protected:
  ~FeatureBankKernels() = default;
};

}  // namespace mcn
