// ReLU: its mask is the only thing that any rule needs.
#include "engine/ops.h"
#include "engine/ops/check.h"

namespace mcn::ops {
namespace {

class Relu final : public Operator {
 public:
  [[nodiscard]] std::string_view name() const override { return "relu"; }

  Tensor forward(std::span<const Tensor> x) override {
    check_inputs(name(), x, 1);
    y_.value = Tensor::like(x[0]);
    y_.value.backend().run(kernel::Relu{.x = x[0], .y = y_.value});
    return y_.value;
  }
  Tensors vjp(const Tensor& y_bar, Wanted wanted) override { return {wanted[0] ? masked(y_bar) : Tensor()}; }
  Tensor jvp(std::span<const Tensor> x_dot) override { return masked(at(x_dot, 0)); }
  Tensors vjp_dot(const Tensor&, const Tensor& y_bar_dot, Wanted wanted) override {
    return {wanted[0] ? masked(y_bar_dot) : Tensor()};
  }

 private:
  [[nodiscard]] Tensor masked(const Tensor& g) const {
    if (!g) return {};
    Tensor out = Tensor::like(g);
    out.backend().run(kernel::ReluMask{.y = y_.value, .g = g, .out = out});
    return out;
  }

  // Read for its sign alone, which has no derivative; its tangent stays absent.
  Saved y_{*this};
};

}  // namespace

OperatorPtr relu() { return std::make_unique<Relu>(); }

}  // namespace mcn::ops
