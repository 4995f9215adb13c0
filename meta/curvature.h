// The curvature of a loss: the top eigenvalue of its Hessian, by power iteration with exact Hessian products, and the
// inner learning rate that follows from it.
#pragma once

#include <cstdint>

#include "meta/maml.h"

namespace mcn {

struct Curvature {
  double eigenvalue = 0;  ///< of the largest magnitude: |H v| of the last product, with the sign of v' H v
  double alignment = 0;   ///< |cosine of v with H v|: 1 for an eigenvector
  Tensors vector;         ///< unit, where to start the next time
};

/// The Hessian of `loss` at theta, or with `inner` the block P H P of the parameters that it says. `start`: one entry a
/// parameter, of any length but 0. One forward and backward pass, then `products` (at least 1) Hessian products. The
/// magnitude is never above the true one, and nearer to it than the Rayleigh quotient's. Not finite where the
/// loss is not. UsageError for products below 1.
Curvature top_eigenvalue(const Tensors& theta, const LossFunction& loss, const Tensors& start, int products,
                         const std::vector<bool>& inner = {});

/// A direction for the first time: normal entries, a stream of their own for each parameter.
Tensors random_direction(const Tensors& like, std::uint64_t seed);

/// alpha1 = 0.5 / |eigenvalue|, at most 1. A gradient step lowers a quadratic loss if alpha1 lambda < 2, and lowers it
/// without overshoot if alpha1 lambda <= 1. The factor I - alpha1 H of the outer gradient asks for more: if
/// |alpha1 H| <= c it turns a vector by at most asin(c), 30 degrees for c = 0.5, so that the outer gradient stays a
/// descent direction of L_Q at theta_K. The rest of the way to 1 is for what power iteration underestimates, and for
/// the batches until the next measurement.
double stable_inner_lr(double eigenvalue);

}  // namespace mcn
