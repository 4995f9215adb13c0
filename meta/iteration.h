// The device's work of one training iteration, from two sets of clips to the gradient of the outer objective; put on
// the device call by call, or replayed as one CUDA graph.
#pragma once

#include <optional>
#include <tuple>

#include "engine/replay.h"
#include "meta/curvature.h"
#include "meta/maml.h"
#include "meta/objective.h"

namespace mcn {

/// Without a bilevel step all clips are in `query`.
struct IterationInputs {
  std::optional<ClipSet> support;
  ClipSet query;
  static auto members(auto& self) { return std::tie(self.support, self.query); }
};

struct IterationOutputs {
  PendingMetaGradient meta;
  ObjectiveParts support, query;                 ///< of the first pass over S, and of the pass over Q
  std::vector<ops::BatchStatistics> statistics;  ///< of the first pass: what running statistics learn from
  static auto members(auto& self) { return std::tie(self.meta, self.support, self.query, self.statistics); }
};

class Iteration {
 public:
  /// The model must outlive it.
  Iteration(const McnModel& model, Backend& backend, MamlConfig maml, const ObjectiveConfig& objective, bool use_graph);

  /// Starts the work; reads nothing. With a graph, as engine/replay.h says: theta's tensors are to be updated in place.
  /// The result is valid until the next call. UsageError, with use_graph, on a device that has no graphs, and where the
  /// derivatives by the inner rates are wanted: a capture cannot read them.
  const IterationOutputs& start(const Tensors& theta, const IterationInputs& inputs);

  /// What may change from iteration to iteration: alpha1, its factors, and whether the Hessian products are there. A
  /// graph holds all three, so that it is captured again after a change.
  void set_inner(double inner_lr, std::vector<std::vector<double>> factors, bool second_order);

  /// The Hessian of L_S at theta, on the parameters that the inner steps move; call by call, and waited for.
  [[nodiscard]] Curvature curvature(const Tensors& theta, const IterationInputs& inputs, const Tensors& start,
                                    int products) const;
  /// L_Q at theta itself: a forward pass, waited for.
  [[nodiscard]] double query_loss(const Tensors& theta, const IterationInputs& inputs) const;

  /// Waits and reads the losses; NonFiniteError as finish_meta_gradient.
  [[nodiscard]] MetaGradient finish(const Tensors& theta, const IterationInputs& inputs) const;

 private:
  [[nodiscard]] LossFunction loss_on(const ClipSet& set, const NormPass& norm = {},
                                     ObjectiveParts* parts = nullptr) const;
  [[nodiscard]] IterationOutputs record(const Tensors& theta, const IterationInputs& inputs) const;

  const McnModel& model_;
  MamlConfig maml_;
  ObjectiveConfig objective_;
  Replay<IterationInputs, IterationOutputs> replay_;
};

}  // namespace mcn
