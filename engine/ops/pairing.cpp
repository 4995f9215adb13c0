// The pairing of the feature combination module: every clip of one view with every clip of the other.
#include "engine/ops.h"
#include "engine/ops/check.h"

namespace mcn::ops {
namespace {

class Pairing final : public Operator {
 public:
  explicit Pairing(double scale) : scale_(scale) {}
  [[nodiscard]] std::string_view name() const override { return "pairing"; }

  Tensor forward(std::span<const Tensor> x) override {
    check_inputs(name(), x, 2);
    check_rank(name(), "a", x[0].shape(), 2);
    check_shape(name(), "b", x[1].shape(), x[0].shape());
    a_.value = x[0];
    b_.value = x[1];
    Tensor y = output();
    y.backend().run(kernel::PairingForward{.scale = scale_, .a = x[0], .b = x[1], .y = y});
    return y;
  }
  Tensors vjp(const Tensor& y_bar, Wanted wanted) override {
    Tensors bars{Tensor::like(a_.value), Tensor::like(b_.value)};
    y_bar.backend().run(kernel::PairingVjp{
        .scale = scale_, .a = a_.value, .b = b_.value, .y_bar = y_bar, .a_bar = bars[0], .b_bar = bars[1]});
    return only(std::move(bars), wanted);
  }
  Tensor jvp(std::span<const Tensor> x_dot) override {
    a_.dot = at(x_dot, 0);
    b_.dot = at(x_dot, 1);
    Tensor y_dot = output();
    y_dot.backend().run(kernel::PairingJvp{
        .scale = scale_, .a = a_.value, .b = b_.value, .a_dot = a_.dot, .b_dot = b_.dot, .y_dot = y_dot});
    return y_dot;
  }
  Tensors vjp_dot(const Tensor& y_bar, const Tensor& y_bar_dot, Wanted wanted) override {
    if (!a_.dot && !b_.dot && !y_bar_dot) return Tensors(2);
    Tensors dots{Tensor::like(a_.value), Tensor::like(b_.value)};
    y_bar.backend().run(kernel::PairingVjpDot{.scale = scale_,
                                              .a = a_.value,
                                              .b = b_.value,
                                              .a_dot = a_.dot,
                                              .b_dot = b_.dot,
                                              .y_bar = y_bar,
                                              .y_bar_dot = y_bar_dot,
                                              .a_bar_dot = dots[0],
                                              .b_bar_dot = dots[1]});
    return only(std::move(dots), wanted);
  }

 private:
  [[nodiscard]] Tensor output() const {
    const std::int64_t n = a_.value.shape()[0];
    return {a_.value.backend(), a_.value.dtype(), {n * n, 2 * a_.value.shape()[1]}};
  }

  double scale_;
  Saved a_{*this}, b_{*this};
};

}  // namespace

OperatorPtr pairing(double scale) { return std::make_unique<Pairing>(scale); }

}  // namespace mcn::ops
