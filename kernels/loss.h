// The losses' four rules. A loss is one element; loss_bar, loss_bar_dot and loss_dot are one element too. The tangent
// of vjp along loss_bar alone is vjp itself, so that vjp_dot also takes an absent loss_bar.
#pragma once

#include "kernels/kernel.h"

namespace mcn {

/// InfoNCE. Row i of anchor (N x C) has the logits anchor_i . key_j / temperature over the keys (N x C; key i is its
/// positive, the others of the batch are negatives) and the bank (M x C, constant). A bank row whose id equals the
/// anchor's id is the anchor's own past and is left out. loss = mean_i (lse_i - logit_ii).
struct InfoNceInputs {
  double temperature = 0.07;
  ConstView anchor, key;
  OptionalConstView bank = {};      ///< absent: in-batch negatives only
  OptionalConstView ids = {};       ///< i64, N; absent: no bank row is left out
  OptionalConstView bank_ids = {};  ///< i64, M; absent with ids
  static auto members(auto& in) { return std::tie(in.temperature, in.anchor, in.key, in.bank, in.ids, in.bank_ids); }
};

namespace kernel {

/// Mean cross-entropy of logits (N x C) against labels (i64, N, in [0, C)). lse (N) is the log-sum-exp of each row.
struct CrossEntropyForward {
  static constexpr std::string_view name = "cross_entropy_forward";
  ConstView logits, labels;
  View loss, lse;
  static auto members(auto& k) { return std::tie(k.logits, k.labels, k.loss, k.lse); }
};

struct CrossEntropyVjp {
  static constexpr std::string_view name = "cross_entropy_vjp";
  ConstView logits, labels, lse, loss_bar;
  View logits_bar;
  static auto members(auto& k) { return std::tie(k.logits, k.labels, k.lse, k.loss_bar, k.logits_bar); }
};

struct CrossEntropyJvp {
  static constexpr std::string_view name = "cross_entropy_jvp";
  ConstView logits, labels, lse;
  OptionalConstView logits_dot = {};
  View loss_dot, lse_dot;
  static auto members(auto& k) { return std::tie(k.logits, k.labels, k.lse, k.logits_dot, k.loss_dot, k.lse_dot); }
};

struct CrossEntropyVjpDot {
  static constexpr std::string_view name = "cross_entropy_vjp_dot";
  ConstView logits, labels, lse;
  OptionalConstView logits_dot = {}, lse_dot = {}, loss_bar = {}, loss_bar_dot = {};
  View logits_bar_dot;
  static auto members(auto& k) {
    return std::tie(k.logits, k.labels, k.lse, k.logits_dot, k.lse_dot, k.loss_bar, k.loss_bar_dot, k.logits_bar_dot);
  }
};

/// Mean over M of  pos_weight t softplus(-x) + (1 - t) softplus(x)  for logits x (M) and targets t (M, in [0, 1]):
/// torch's binary_cross_entropy_with_logits.
struct BceForward {
  static constexpr std::string_view name = "bce_forward";
  double pos_weight = 1;
  ConstView logits, targets;
  View loss;
  static auto members(auto& k) { return std::tie(k.pos_weight, k.logits, k.targets, k.loss); }
};

struct BceVjp {
  static constexpr std::string_view name = "bce_vjp";
  double pos_weight = 1;
  ConstView logits, targets, loss_bar;
  View logits_bar;
  static auto members(auto& k) { return std::tie(k.pos_weight, k.logits, k.targets, k.loss_bar, k.logits_bar); }
};

struct BceJvp {
  static constexpr std::string_view name = "bce_jvp";
  double pos_weight = 1;
  ConstView logits, targets;
  OptionalConstView logits_dot = {};
  View loss_dot;
  static auto members(auto& k) { return std::tie(k.pos_weight, k.logits, k.targets, k.logits_dot, k.loss_dot); }
};

struct BceVjpDot {
  static constexpr std::string_view name = "bce_vjp_dot";
  double pos_weight = 1;
  ConstView logits, targets;
  OptionalConstView logits_dot = {}, loss_bar = {}, loss_bar_dot = {};
  View logits_bar_dot;
  static auto members(auto& k) {
    return std::tie(k.pos_weight, k.logits, k.targets, k.logits_dot, k.loss_bar, k.loss_bar_dot, k.logits_bar_dot);
  }
};

/// lse: N
struct InfoNceForward {
  static constexpr std::string_view name = "info_nce_forward";
  InfoNceInputs inputs;
  View loss, lse;
  static auto members(auto& k) { return std::tie(k.inputs, k.loss, k.lse); }
};

/// anchor_bar, key_bar: overwritten
struct InfoNceVjp {
  static constexpr std::string_view name = "info_nce_vjp";
  InfoNceInputs inputs;
  ConstView lse, loss_bar;
  View anchor_bar, key_bar;
  static auto members(auto& k) { return std::tie(k.inputs, k.lse, k.loss_bar, k.anchor_bar, k.key_bar); }
};

/// lse_dot: N
struct InfoNceJvp {
  static constexpr std::string_view name = "info_nce_jvp";
  InfoNceInputs inputs;
  ConstView lse;
  OptionalConstView anchor_dot = {}, key_dot = {};
  View loss_dot, lse_dot;
  static auto members(auto& k) { return std::tie(k.inputs, k.lse, k.anchor_dot, k.key_dot, k.loss_dot, k.lse_dot); }
};

struct InfoNceVjpDot {
  static constexpr std::string_view name = "info_nce_vjp_dot";
  InfoNceInputs inputs;
  ConstView lse;
  OptionalConstView anchor_dot = {}, key_dot = {}, lse_dot = {}, loss_bar = {}, loss_bar_dot = {};
  View anchor_bar_dot, key_bar_dot;
  static auto members(auto& k) {
    return std::tie(k.inputs, k.lse, k.anchor_dot, k.key_dot, k.lse_dot, k.loss_bar, k.loss_bar_dot, k.anchor_bar_dot,
                    k.key_bar_dot);
  }
};

}  // namespace kernel
}  // namespace mcn
