// Signatures of the elementwise kernels, reductions to a scalar, and matrix products.
#pragma once

#include <span>

#include "kernels/view.h"

namespace mcn {

class ElementwiseKernels {
 public:
  /// y = value
  virtual void fill(double value, View y) = 0;
  /// y = alpha x
  virtual void scale(double alpha, ConstView x, View y) = 0;
  /// y = a + b (y may alias a or b)
  virtual void add(ConstView a, ConstView b, View y) = 0;
  /// y = max(x, 0)
  virtual void relu(ConstView x, View y) = 0;
  /// out = g where y > 0, else 0: the mask of ReLU, applied to a tangent or a cotangent
  virtual void relu_mask(ConstView y, ConstView g, View out) = 0;

  // Over lists, such as a network's parameters, in few launches; entries of the same number have the same shape.
  /// y_i += alpha x_i
  virtual void axpy(double alpha, std::span<const ConstView> x, std::span<const View> y) = 0;
  /// the sum over i of sum(a_i b_i), accumulated in float64, the same bits for any number of threads
  virtual double dot(std::span<const ConstView> a, std::span<const ConstView> b) = 0;
  /// false if any element of any x_i is NaN or infinite
  virtual bool all_finite(std::span<const ConstView> x) = 0;

  // The same of one tensor.
  void axpy(double alpha, ConstView x, View y) { axpy(alpha, {&x, 1}, {&y, 1}); }
  double dot(ConstView a, ConstView b) { return dot({&a, 1}, {&b, 1}); }
  bool all_finite(ConstView x) { return all_finite({&x, 1}); }

 protected:
  ~ElementwiseKernels() = default;
};

/// Dense matrix products, row-major.
class MatrixKernels {
 public:
  /// c (+)= op(a) op(b), op the transpose where its flag is set; op(a): m x k, op(b): k x n, c: m x n
  virtual void gemm(bool transpose_a, bool transpose_b, ConstView a, ConstView b, View c, Mode) = 0;
  /// y[r, :] += bias for every row r; y: rows x C (any rank, C last), bias: C
  virtual void add_bias(ConstView bias, View y) = 0;
  /// out (+)= sum over rows of x; out: C
  virtual void sum_rows(ConstView x, View out, Mode) = 0;

 protected:
  ~MatrixKernels() = default;
};

}  // namespace mcn
