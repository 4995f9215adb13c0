// One iteration's work, and its graph.
#include "meta/iteration.h"

#include "kernels/range.h"

namespace mcn {

Iteration::Iteration(const McnModel& model, Backend& backend, MamlConfig maml, const ObjectiveConfig& objective,
                     bool use_graph)
    : model_(model), maml_(std::move(maml)), objective_(objective), replay_(backend, use_graph) {
  if (use_graph && !backend.has_graphs())
    fail("graph", "device {} has no CUDA graphs; leave --cuda-graph out", backend.name());
  if (use_graph && maml_.inner_factors.derivatives)
    fail("graph", "a CUDA graph holds alpha1, and cannot follow one that is learned; leave --cuda-graph out");
}

LossFunction Iteration::loss_on(const ClipSet& set, const NormPass& norm, ObjectiveParts* parts) const {
  return [this, &set, norm, parts](Tape& tape, std::span<const Var> theta) {
    return mcn_loss(tape, theta, model_, set, objective_, norm, parts);
  };
}

IterationOutputs Iteration::record(const Tensors& theta, const IterationInputs& inputs) const {
  IterationOutputs out;
  const NormPass first{.collect = &out.statistics};
  if (inputs.support)
    out.meta = start_meta_gradient(theta, loss_on(*inputs.support), loss_on(inputs.query, {}, &out.query), maml_,
                                   loss_on(*inputs.support, first, &out.support));
  else
    out.meta = start_meta_gradient(theta, {}, loss_on(inputs.query, first, &out.query), maml_);
  return out;
}

const IterationOutputs& Iteration::start(const Tensors& theta, const IterationInputs& inputs) {
  return replay_.run(theta, inputs, [&](const IterationInputs& given) { return record(theta, given); });
}

void Iteration::set_inner(double inner_lr, std::vector<std::vector<double>> factors, bool second_order) {
  if (inner_lr == maml_.inner_lr && factors == maml_.inner_factors.factors && second_order == maml_.second_order)
    return;
  // To first order several results are one tensor, which a graph of second order must not copy them to.
  if (second_order != maml_.second_order) replay_.start_again();
  maml_.inner_lr = inner_lr;
  maml_.inner_factors.factors = std::move(factors);
  maml_.second_order = second_order;
  replay_.capture_again();
}

Curvature Iteration::curvature(const Tensors& theta, const IterationInputs& inputs, const Tensors& start,
                               int products) const {
  if (!inputs.support) fail("iteration", "the curvature of L_S needs a set S");
  return top_eigenvalue(theta, loss_on(*inputs.support), start, products, maml_.inner);
}

double Iteration::query_loss(const Tensors& theta, const IterationInputs& inputs) const {
  const Range range("query loss");
  Tape tape;
  std::vector<Var> constants;
  for (const Tensor& t : theta) constants.push_back(tape.constant(t));
  return loss_on(inputs.query)(tape, constants).value.item();
}

MetaGradient Iteration::finish(const Tensors& theta, const IterationInputs& inputs) const {
  return finish_meta_gradient(replay_.outputs().meta, theta, inputs.support ? loss_on(*inputs.support) : LossFunction{},
                              loss_on(inputs.query), maml_);
}

}  // namespace mcn
