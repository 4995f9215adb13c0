// MAML's meta-gradient with explicit second-order terms (Finn et al., "Model-agnostic meta-learning", ICML 2017):
//   theta_{k+1} = theta_k - alpha g_S(theta_k);   v = g_Q(theta_K);   for k = K-1 .. 0:  v -= alpha H_S(theta_k) v.
// Where the inner steps move some parameters alone, P keeps these and drops the others:
//   theta_{k+1} = theta_k - alpha P g_S(theta_k);   v -= alpha H_S(theta_k) P v.
// With a rate for every inner step k and group l of parameters (Antoniou et al., "How to train your MAML", ICLR 2019),
// A_k = diag(alpha_{k,l}) stands for alpha:
//   theta_{k+1} = theta_k - A_k P g_S(theta_k);   v -= H_S(theta_k) A_k P v.
#pragma once

#include <functional>
#include <span>
#include <tuple>
#include <vector>

#include "engine/tape.h"

namespace mcn {

/// Records a loss of one element on a tape as a function of the parameters. Called again for the same parameters it
/// must record the same loss, bit for bit.
using LossFunction = std::function<Var(Tape&, std::span<const Var> theta)>;

/// Whether the tapes of the inner steps are kept for their Hessian products or recorded again one at a time.
enum class InnerTape : std::uint8_t {
  keep,      ///< fastest; memory grows with the number of inner steps
  recompute  ///< one more forward and backward pass a step; one tape at a time (only theta_k itself is kept a step)
};

/// The objective of the outer update.
enum class OuterObjective : std::uint8_t {
  query,             ///< L_Q(theta_K(theta))
  support_and_query  ///< L_S(theta) + beta L_Q(theta_K(theta))
};

/// Rates by inner step and group of parameters: alpha_{k,l} = alpha1 factors[k][l].
struct InnerFactors {
  std::vector<std::size_t> group;            ///< of each parameter, counted from 0
  std::vector<std::vector<double>> factors;  ///< K rows with an entry a group; empty: all are 1
  bool derivatives = false;                  ///< whether MetaGradient::inner_lr_derivatives are wanted
};

struct MamlConfig {
  int inner_steps = 1;     ///< K; 0: the plain gradient of the query loss
  double inner_lr = 0.01;  ///< alpha1
  InnerFactors inner_factors;
  bool second_order = true;  ///< false: first-order MAML, H = 0
  InnerTape inner_tape = InnerTape::keep;
  std::vector<bool> inner;  ///< P: which parameters the inner steps move, one entry each; empty: all
  OuterObjective objective = OuterObjective::query;
  double beta = 1;                           ///< weight of L_Q in support_and_query
  std::vector<std::string> parameter_names;  ///< for errors; may be empty
};

struct MetaGradient {
  std::vector<double> support_losses;  ///< L_S(theta_k) for k = 0 .. K-1
  double query_loss = 0;               ///< L_Q(theta_K)
  Tensors gradient;           ///< of the outer objective at theta; absent where it does not depend on a parameter
  Tensors query_gradient;     ///< g_Q(theta_K)
  Tensors query_pulled_back;  ///< the gradient of L_Q(theta_K(theta)) at theta: v at the end of the loop
  /// d outer objective / d alpha_{k,l} = -<v_{k+1}, P g_S(theta_k)>_l, where v_{k+1} is v before step k is swept: K
  /// rows with an entry a group. To first order v is g_Q(theta_K) for all k, so that all but the last row are
  /// approximate.
  std::vector<std::vector<double>> inner_lr_derivatives;
  std::size_t tape_bytes = 0;  ///< the most that tapes held for later sweeps at once
};

/// A tape that holds a loss at given parameters, swept back once.
struct GradientTape {
  Tape tape;
  std::vector<Var> theta;
  Tensor loss;  ///< of one element; nobody has looked whether it is finite
  Tensors gradient;
};

/// The loss and its gradient at theta; with After::keep the tape serves Hessian products afterwards. With `wanted`, the
/// gradient of the parameters that it says is taken and the others' is absent.
GradientTape gradient_tape(const Tensors& theta, const LossFunction& loss, After after,
                           const std::vector<bool>& wanted = {});

/// P v: the entries that `inner` says, the others absent; all if it is empty.
Tensors inner_part(Tensors v, const std::vector<bool>& inner);

/// A meta-gradient of which nothing has been read yet: its work may still be under way on the device.
struct PendingMetaGradient {
  Tensors support_losses;  ///< as MetaGradient's, each a tensor of one element
  Tensor query_loss;
  Tensors gradient, query_gradient, query_pulled_back;
  std::vector<std::vector<double>> inner_lr_derivatives;  ///< these have been read, if they are wanted
  std::size_t tape_bytes = 0;
  static auto members(auto& self) {
    return std::tie(self.support_losses, self.query_loss, self.gradient, self.query_gradient, self.query_pulled_back,
                    self.inner_lr_derivatives, self.tape_bytes);
  }
};

/// `first_support`, if given, records the support loss of the very first pass in place of `support` (its batch
/// statistics are the ones that running statistics learn from). Reads nothing from the device but the derivatives by
/// the rates: without these a CUDA graph can hold it all. UsageError for K < 0, an alpha or a factor that is not
/// finite, or lists of other lengths than theta or K.
PendingMetaGradient start_meta_gradient(const Tensors& theta, const LossFunction& support, const LossFunction& query,
                                        const MamlConfig& config, const LossFunction& first_support = {});

/// Reads the losses. NonFiniteError if one is not finite, naming the first tensor that is not: for that the steps up to
/// it are done again.
MetaGradient finish_meta_gradient(const PendingMetaGradient& pending, const Tensors& theta, const LossFunction& support,
                                  const LossFunction& query, const MamlConfig& config);

/// Both, one after the other.
MetaGradient meta_gradient(const Tensors& theta, const LossFunction& support, const LossFunction& query,
                           const MamlConfig& config, const LossFunction& first_support = {});

}  // namespace mcn
