// One iteration's work, and its graph.
#include "meta/iteration.h"

#include "engine/range.h"

namespace mcn {
namespace {

// Every tensor of the inputs, always in the same order; absent ones too.
Tensors tensors_of(const IterationInputs& inputs) {
  Tensors all;
  const auto put = [&](const ClipSet& set) {
    for (const Tensor* t : {&set.clips, &set.bank.features, &set.bank.bank_ids, &set.bank.ids, &set.same})
      all.push_back(*t);
  };
  if (inputs.support) put(*inputs.support);
  put(inputs.query);
  return all;
}

Tensors tensors_of(const IterationOutputs& outputs) {
  Tensors all = outputs.meta.support_losses;
  all.push_back(outputs.meta.query_loss);
  for (const Tensors* list : {&outputs.meta.gradient, &outputs.meta.query_gradient, &outputs.meta.query_pulled_back})
    all.insert(all.end(), list->begin(), list->end());
  for (const ObjectiveParts* parts : {&outputs.support, &outputs.query})
    for (const Tensor* t : {&parts->contrastive, &parts->meta, &parts->z, &parts->logits}) all.push_back(*t);
  for (const ops::BatchStatistics& s : outputs.statistics) all.insert(all.end(), {s.mean, s.rstd});
  return all;
}

void copy_all(Backend& backend, const Tensors& from, const Tensors& to) {
  if (from.size() != to.size()) fail("iteration", "{} tensors for {}", from.size(), to.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (bool(from[i]) != bool(to[i]) || (from[i] && from[i].shape() != to[i].shape()))
      fail("iteration", "tensor {} has shape {}, expected {}", i, from[i].shape().str(), to[i].shape().str());
    if (from[i]) backend.copy(from[i], to[i]);
  }
}

}  // namespace

// The graph reads and writes these tensors, whatever iteration it is launched for.
struct Iteration::Captured {
  IterationInputs inputs;
  std::unique_ptr<Graph> graph;
};

Iteration::Iteration(const McnModel& model, Backend& backend, MamlConfig maml, const ObjectiveConfig& objective,
                     bool use_graph)
    : model_(model), backend_(backend), maml_(std::move(maml)), objective_(objective), use_graph_(use_graph) {
  if (use_graph && !backend.has_graphs())
    fail("graph", "device {} has no CUDA graphs; leave --cuda-graph out", backend.name());
  if (use_graph && maml_.inner_factors.derivatives)
    fail("graph", "a CUDA graph holds alpha1, and cannot follow one that is learned; leave --cuda-graph out");
}

Iteration::~Iteration() = default;

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
  const Tensors now = tensors_of(inputs);
  std::vector<Shape> shapes;
  for (const Tensor& t : now) shapes.push_back(t.shape());
  std::vector<const void*> addresses;
  for (const Tensor& t : theta) addresses.push_back(t.view().data);
  if (!use_graph_ || shapes != shapes_ || addresses != theta_) {
    captured_.reset();
    outputs_ = {};  // the last iteration's gradients make room
    outputs_ = record(theta, inputs);
    shapes_ = std::move(shapes);
    theta_ = std::move(addresses);
    return outputs_;
  }
  if (captured_ == nullptr) {
    auto captured = std::make_unique<Captured>(Captured{inputs, nullptr});
    // What is made in a capture must go in it, so results are copied out: to those of the iteration before.
    captured->graph = backend_.capture(
        [&] { copy_all(backend_, tensors_of(record(theta, captured->inputs)), tensors_of(outputs_)); });
    captured_ = std::move(captured);  // only now: a capture that failed is to be tried again
  } else {
    copy_all(backend_, now, tensors_of(captured_->inputs));
  }
  captured_->graph->launch();
  return outputs_;
}

void Iteration::set_inner(double inner_lr, std::vector<std::vector<double>> factors, bool second_order) {
  if (inner_lr == maml_.inner_lr && factors == maml_.inner_factors.factors && second_order == maml_.second_order)
    return;
  // To first order several results are one tensor, which a graph of second order must not copy them to.
  if (second_order != maml_.second_order) shapes_.clear();
  maml_.inner_lr = inner_lr;
  maml_.inner_factors.factors = std::move(factors);
  maml_.second_order = second_order;
  captured_.reset();
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
  return finish_meta_gradient(outputs_.meta, theta, inputs.support ? loss_on(*inputs.support) : LossFunction{},
                              loss_on(inputs.query), maml_);
}

}  // namespace mcn
