// Signatures of the losses' four rules. A loss is one element; loss_bar, loss_bar_dot and loss_dot are one element too.
// Whatever ends in _dot and is an input may be absent (zero).
#pragma once

#include "kernels/view.h"

namespace mcn {

/// Mean cross-entropy of logits (N x C) against labels (i64, N, in [0, C)). lse (N) is the log-sum-exp of each row.
class CrossEntropyKernels {
 public:
  virtual void cross_entropy_forward(ConstView logits, ConstView labels, View loss, View lse) = 0;
  virtual void cross_entropy_vjp(ConstView logits, ConstView labels, ConstView lse, ConstView loss_bar,
                                 View logits_bar) = 0;
  virtual void cross_entropy_jvp(ConstView logits, ConstView labels, ConstView lse, ConstView logits_dot, View loss_dot,
                                 View lse_dot) = 0;
  virtual void cross_entropy_vjp_dot(ConstView logits, ConstView labels, ConstView lse, ConstView logits_dot,
                                     ConstView lse_dot, ConstView loss_bar, ConstView loss_bar_dot,
                                     View logits_bar_dot) = 0;

 protected:
  ~CrossEntropyKernels() = default;
};

/// Mean over M of  pos_weight t softplus(-x) + (1 - t) softplus(x)  for logits x (M) and targets t (M, in [0, 1]):
/// torch's binary_cross_entropy_with_logits.
class BinaryCrossEntropyKernels {
 public:
  virtual void bce_forward(double pos_weight, ConstView logits, ConstView targets, View loss) = 0;
  virtual void bce_vjp(double pos_weight, ConstView logits, ConstView targets, ConstView loss_bar, View logits_bar) = 0;
  virtual void bce_jvp(double pos_weight, ConstView logits, ConstView targets, ConstView logits_dot, View loss_dot) = 0;
  virtual void bce_vjp_dot(double pos_weight, ConstView logits, ConstView targets, ConstView logits_dot,
                           ConstView loss_bar, ConstView loss_bar_dot, View logits_bar_dot) = 0;

 protected:
  ~BinaryCrossEntropyKernels() = default;
};

/// InfoNCE. Row i of anchor (N x C) has the logits anchor_i . key_j / temperature over the keys (N x C; key i is its
/// positive, the others of the batch are negatives) and the bank (M x C, optional, constant). A bank row whose id
/// equals the anchor's id is the anchor's own past and is left out. loss = mean_i (lse_i - logit_ii).
struct InfoNceInputs {
  double temperature = 0.07;
  ConstView anchor, key;
  ConstView bank;      ///< absent: in-batch negatives only
  ConstView ids;       ///< i64, N; absent: no bank row is left out
  ConstView bank_ids;  ///< i64, M; absent with ids
};

class InfoNceKernels {
 public:
  /// lse: N
  virtual void info_nce_forward(const InfoNceInputs&, View loss, View lse) = 0;
  /// anchor_bar, key_bar: overwritten
  virtual void info_nce_vjp(const InfoNceInputs&, ConstView lse, ConstView loss_bar, View anchor_bar, View key_bar) = 0;
  /// lse_dot: N
  virtual void info_nce_jvp(const InfoNceInputs&, ConstView lse, ConstView anchor_dot, ConstView key_dot, View loss_dot,
                            View lse_dot) = 0;
  virtual void info_nce_vjp_dot(const InfoNceInputs&, ConstView lse, ConstView anchor_dot, ConstView key_dot,
                                ConstView lse_dot, ConstView loss_bar, ConstView loss_bar_dot, View anchor_bar_dot,
                                View key_bar_dot) = 0;

 protected:
  ~InfoNceKernels() = default;
};

}  // namespace mcn
