// The operators. Each factory makes one for one application on a tape; its four rules are in engine/ops/NAME.cpp.
// Inputs are listed in order; all have one floating-point dtype and one backend, which are checked (UsageError).
#pragma once

#include <memory>
#include <tuple>

#include "engine/operator.h"

namespace mcn::ops {

using OperatorPtr = std::unique_ptr<Operator>;

/// x: N D H W I, w: O KD KH KW I -> N D' H' W' O, with D' = (D + 2 padding - KD) / stride + 1 and so on.
OperatorPtr conv3d(const Conv3dParams& params);

/// Batch statistics of one application, for the running statistics: a tape's user keeps them if it wants them, the
/// operator itself never updates anything. mean, variance: C; the variance is the unbiased one, as in torch.
struct BatchStatistics {
  Tensor mean, rstd;
  std::int64_t count = 0;  ///< values a channel
  double eps = 1e-5;
  [[nodiscard]] std::vector<double> unbiased_variance() const;
  static auto members(auto& self) { return std::tie(self.mean, self.rstd, self.count, self.eps); }
};
/// x: any rank, C last; gamma, beta: C; residual (optional): like x. Batch statistics; ReLU if params.relu.
/// statistics, if not null, is filled by forward.
OperatorPtr batch_norm(const BatchNormParams& params, BatchStatistics* statistics = nullptr);
/// The same with given constant statistics (evaluation); mean, variance: C.
OperatorPtr batch_norm_fixed(const BatchNormParams& params, const Tensor& mean, const Tensor& variance);

/// max(x, 0), any shape. The derivative at 0 is 0.
OperatorPtr relu();
/// alpha a + beta b, one shape.
OperatorPtr add(double alpha = 1, double beta = 1);
/// Rows [begin, end) of the first axis.
OperatorPtr slice_rows(std::int64_t begin, std::int64_t end);
/// x_1, ..., x_n (n from 1 to 32): equal shapes but for the last axis, the channels -> x_1's channels, then x_2's, ...
OperatorPtr concat_channels();

/// x: N D H W C. Padding at most half the kernel.
OperatorPtr max_pool(const PoolParams& params);
OperatorPtr avg_pool(const PoolParams& params);
/// N D H W C -> N C, the mean over D, H, W.
OperatorPtr global_avg_pool();

/// x: N x I, w: O x I or a 1x1x1 convolution's O 1 1 1 I, bias (optional): O -> N x O.
OperatorPtr linear();
/// x: N x C -> unit rows. Rows shorter than eps are divided by eps.
OperatorPtr l2_normalize(double eps = 1e-12);
/// a, b: N x C -> (N N) x (2 C): every pair's features, scale [a_i * b_j, (a_i - b_j)^2] (the feature combination
/// module's input; our choice, see docs/choices.md).
OperatorPtr pairing(double scale = 1);

/// logits: N x C; labels: i64, N, in [0, C) (UsageError) -> mean loss, one element.
OperatorPtr cross_entropy(const Tensor& labels);
/// logits: M elements; targets: M -> mean loss, one element; positives weigh pos_weight.
OperatorPtr bce_with_logits(const Tensor& targets, double pos_weight = 1);

/// Constants of InfoNCE: a bank of past features (M x C) with the ids of their videos, and the anchors' ids. All
/// absent: in-batch negatives only.
struct InfoNceBank {
  Tensor features, bank_ids, ids;
  static auto members(auto& self) { return std::tie(self.features, self.bank_ids, self.ids); }
};
/// anchor, key: N x C, row i of each from one video -> mean loss, one element (kernels/loss.h).
OperatorPtr info_nce(double temperature, const InfoNceBank& bank = {});

}  // namespace mcn::ops
