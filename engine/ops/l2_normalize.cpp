// L2 normalisation of rows.
#include "engine/ops.h"
#include "engine/ops/check.h"

namespace mcn::ops {
namespace {

class L2Normalize final : public Operator {
 public:
  explicit L2Normalize(double eps) : eps_(eps) {}
  [[nodiscard]] std::string_view name() const override { return "l2_normalize"; }

  Tensor forward(std::span<const Tensor> x) override {
    check_inputs(name(), x, 1);
    check_rank(name(), "x", x[0].shape(), 2);
    y_.value = Tensor::like(x[0]);
    norm_.value = Tensor(x[0].backend(), x[0].dtype(), {x[0].shape()[0]});
    y_.value.backend().run(kernel::L2NormalizeForward{.eps = eps_, .x = x[0], .y = y_.value, .norm = norm_.value});
    return y_.value;
  }
  Tensors vjp(const Tensor& y_bar, Wanted wanted) override {
    Tensor x_bar = like_if(wanted[0], y_bar);
    if (x_bar)
      y_bar.backend().run(
          kernel::L2NormalizeVjp{.eps = eps_, .y = y_.value, .norm = norm_.value, .y_bar = y_bar, .x_bar = x_bar});
    return {x_bar};
  }
  Tensor jvp(std::span<const Tensor> x_dot) override {
    y_.dot = Tensor::like(y_.value);
    norm_.dot = Tensor::like(norm_.value);
    y_.dot.backend().run(kernel::L2NormalizeJvp{
        .eps = eps_, .y = y_.value, .norm = norm_.value, .x_dot = x_dot[0], .y_dot = y_.dot, .norm_dot = norm_.dot});
    return y_.dot;
  }
  Tensors vjp_dot(const Tensor& y_bar, const Tensor& y_bar_dot, Wanted wanted) override {
    Tensor x_bar_dot = like_if(wanted[0] && (y_.dot || y_bar_dot), y_bar);
    if (x_bar_dot)
      y_bar.backend().run(kernel::L2NormalizeVjpDot{.eps = eps_,
                                                    .y = y_.value,
                                                    .norm = norm_.value,
                                                    .y_dot = y_.dot,
                                                    .norm_dot = norm_.dot,
                                                    .y_bar = y_bar,
                                                    .y_bar_dot = y_bar_dot,
                                                    .x_bar_dot = x_bar_dot});
    return {x_bar_dot};
  }

 private:
  double eps_;
  Saved y_{*this}, norm_{*this};
};

}  // namespace

OperatorPtr l2_normalize(double eps) { return std::make_unique<L2Normalize>(eps); }

}  // namespace mcn::ops
