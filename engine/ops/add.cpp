// Weighted sum of two tensors; linear, so that nothing is saved.
#include "engine/ops.h"
#include "engine/ops/check.h"

namespace mcn::ops {
namespace {

Tensor scaled(double factor, const Tensor& x) {
  if (!x || factor == 1) return x;
  Tensor y = Tensor::like(x);
  y.backend().run(kernel::Scale{.alpha = factor, .x = x, .y = y});
  return y;
}

class Add final : public Operator {
 public:
  Add(double alpha, double beta) : alpha_(alpha), beta_(beta) {}
  [[nodiscard]] std::string_view name() const override { return "add"; }

  Tensor forward(std::span<const Tensor> x) override {
    check_inputs(name(), x, 2);
    check_shape(name(), "b", x[1].shape(), x[0].shape());
    return sum(x[0], x[1]);
  }
  Tensors vjp(const Tensor& y_bar, Wanted wanted) override {
    return {wanted[0] ? scaled(alpha_, y_bar) : Tensor(), wanted[1] ? scaled(beta_, y_bar) : Tensor()};
  }
  Tensor jvp(std::span<const Tensor> x_dot) override {
    const Tensor a = at(x_dot, 0);
    const Tensor b = at(x_dot, 1);
    if (a && b) return sum(a, b);
    return a ? scaled(alpha_, a) : scaled(beta_, b);
  }
  Tensors vjp_dot(const Tensor&, const Tensor& y_bar_dot, Wanted wanted) override { return vjp(y_bar_dot, wanted); }

 private:
  [[nodiscard]] Tensor sum(const Tensor& a, const Tensor& b) const {
    Tensor y = Tensor::like(a);
    if (alpha_ == 1 && beta_ == 1) {
      y.backend().run(kernel::Add{.a = a, .b = b, .y = y});
    } else {
      y.backend().run(kernel::Scale{.alpha = alpha_, .x = a, .y = y});
      mcn::axpy(y.backend(), beta_, b, y);
    }
    return y;
  }

  double alpha_, beta_;
};

}  // namespace

OperatorPtr add(double alpha, double beta) { return std::make_unique<Add>(alpha, beta); }

}  // namespace mcn::ops
