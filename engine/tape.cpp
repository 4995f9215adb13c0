// The four sweeps.
#include "engine/tape.h"

#include "kernels/range.h"

namespace mcn {

Var Tape::variable(Tensor value) {
  wants_.push_back(true);
  return {static_cast<int>(wants_.size()) - 1, std::move(value)};
}

std::vector<Var> Tape::variables(const Tensors& values) {
  std::vector<Var> vars;
  vars.reserve(values.size());
  for (const Tensor& value : values) vars.push_back(variable(value));
  return vars;
}

Var Tape::constant(Tensor value) {
  wants_.push_back(false);
  return {static_cast<int>(wants_.size()) - 1, std::move(value)};
}

Var Tape::apply(std::unique_ptr<Operator> op, std::vector<Var> inputs) {
  Node node{std::move(op), {}, static_cast<int>(wants_.size()), {}, {}};
  Tensors values;
  values.reserve(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const int id = inputs[i].id;
    if (id >= node.output) fail("tape", "{}: input {} is of another tape", node.op->name(), i);
    if (id >= 0 && wants_[static_cast<std::size_t>(id)]) node.wanted.set(i);
    node.inputs.push_back(id);
    values.push_back(std::move(inputs[i].value));
  }
  const Range range(node.op->name());
  Tensor y = node.op->forward(values);
  if (watch_finite_ && first_non_finite_.op.empty() && !mcn::all_finite(y.backend(), y))
    first_non_finite_ = {std::string(node.op->name()), y.shape(), node.inputs};
  const bool wants = !node.wanted.none();
  const int output = node.output;
  wants_.push_back(wants);
  // A node that depends on no variable has no part in any other sweep, so what it saved is freed now.
  if (wants) nodes_.push_back(std::move(node));
  return {output, std::move(y)};
}

void Tape::check_alive(const char* sweep) const {
  if (released_) fail("tape", "{} on a tape whose operators were released; keep them with After::keep", sweep);
}

Tensors Tape::backward(const Var& loss, std::span<const Var> x, After after) {
  check_alive("backward");
  const Range sweep("backward");
  if (loss.value.numel() != 1) fail("tape", "backward needs a loss of one element, got {}", loss.value.shape().str());
  loss_ = loss.id;
  Tensors bars(wants_.size());
  bars[static_cast<std::size_t>(loss.id)] =
      Tensor::full(loss.value.backend(), loss.value.dtype(), loss.value.shape(), 1.0);
  for (auto node = nodes_.rbegin(); node != nodes_.rend(); ++node) {
    Tensor y_bar = std::move(bars[static_cast<std::size_t>(node->output)]);
    if (y_bar) {
      const Range range(node->op->name());
      Tensors x_bars = node->op->vjp(y_bar, node->wanted);
      for (std::size_t i = 0; i < x_bars.size(); ++i)
        if (node->wanted[i]) {
          Tensor& bar = bars[static_cast<std::size_t>(node->inputs[i])];
          bar = accumulate(std::move(bar), x_bars[i]);
          x_bars[i] = Tensor();
        }
    }
    if (after == After::release)
      node->op.reset();
    else
      node->y_bar = std::move(y_bar);
  }
  if (after == After::release) released_ = true;
  Tensors result;
  for (const Var& var : x) result.push_back(bars[static_cast<std::size_t>(var.id)]);
  return result;
}

Tensor Tape::sweep_tangents(std::span<const Var> x, std::span<const Tensor> v, int y) {
  if (x.size() != v.size()) fail("tape", "{} variables and {} tangents", x.size(), v.size());
  std::vector<std::size_t> last_use(wants_.size(), 0);
  for (std::size_t n = 0; n < nodes_.size(); ++n)
    for (const int id : nodes_[n].inputs)
      if (id >= 0) last_use[static_cast<std::size_t>(id)] = n;

  Tensors dots(wants_.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (v[i] && v[i].shape() != x[i].value.shape())
      fail("tape", "tangent {} has shape {}, its variable {}", i, v[i].shape().str(), x[i].value.shape().str());
    dots[static_cast<std::size_t>(x[i].id)] = v[i];
  }
  Tensors x_dots;
  const Range sweep("tangent-forward");
  for (std::size_t n = 0; n < nodes_.size(); ++n) {
    Node& node = nodes_[n];
    x_dots.clear();
    bool any = false;
    for (const int id : node.inputs) {
      x_dots.push_back(id >= 0 ? dots[static_cast<std::size_t>(id)] : Tensor());
      any = any || x_dots.back();
    }
    if (any) {
      const Range range(node.op->name());
      dots[static_cast<std::size_t>(node.output)] = node.op->jvp(x_dots);
    } else {
      node.op->forget_tangents();
    }
    for (const int id : node.inputs)
      if (id >= 0 && id != y && last_use[static_cast<std::size_t>(id)] == n) dots[static_cast<std::size_t>(id)] = {};
  }
  return dots[static_cast<std::size_t>(y)];
}

Tensor Tape::jacobian_vector(const Var& y, std::span<const Var> x, std::span<const Tensor> v) {
  check_alive("jacobian_vector");
  Tensor y_dot = sweep_tangents(x, v, y.id);
  for (Node& node : nodes_) node.op->forget_tangents();
  return y_dot;
}

Tensors Tape::hessian_vector(std::span<const Var> x, std::span<const Tensor> v, After after) {
  check_alive("hessian_vector");
  if (loss_ < 0) fail("tape", "hessian_vector needs a backward sweep that kept the tape");
  sweep_tangents(x, v, loss_);
  const Range sweep("tangent-backward");
  Tensors bar_dots(wants_.size());
  for (auto node = nodes_.rbegin(); node != nodes_.rend(); ++node) {
    const Tensor y_bar_dot = std::move(bar_dots[static_cast<std::size_t>(node->output)]);
    if (node->y_bar) {
      const Range range(node->op->name());
      Tensors x_bar_dots = node->op->vjp_dot(node->y_bar, y_bar_dot, node->wanted);
      for (std::size_t i = 0; i < x_bar_dots.size(); ++i)
        if (node->wanted[i]) {
          Tensor& bar_dot = bar_dots[static_cast<std::size_t>(node->inputs[i])];
          bar_dot = accumulate(std::move(bar_dot), x_bar_dots[i]);
          x_bar_dots[i] = Tensor();
        }
    }
    if (after == After::release) {
      node->op.reset();
      node->y_bar = Tensor();
    } else {
      node->op->forget_tangents();
    }
  }
  if (after == After::release) released_ = true;
  Tensors result;
  for (const Var& var : x) result.push_back(bar_dots[static_cast<std::size_t>(var.id)]);
  return result;
}

std::size_t Tape::saved_bytes() const {
  std::size_t bytes = 0;
  for (const Node& node : nodes_)
    if (node.op) bytes += node.op->saved_bytes() + (node.y_bar ? node.y_bar.bytes() : 0);
  return bytes;
}

}  // namespace mcn
