// Binary cross-entropy on logits with re-weighted positives.
#include "engine/ops.h"
#include "engine/ops/check.h"

namespace mcn::ops {
namespace {

class BceWithLogits final : public Operator {
 public:
  BceWithLogits(Tensor targets, double pos_weight) : targets_(std::move(targets)), pos_weight_(pos_weight) {}
  [[nodiscard]] std::string_view name() const override { return "bce_with_logits"; }

  Tensor forward(std::span<const Tensor> x) override {
    check_inputs(name(), x, 1);
    if (targets_.numel() != x[0].numel() || x[0].numel() == 0)
      fail(name(), "{} targets for {} logits", targets_.numel(), x[0].numel());
    if (targets_.dtype() != x[0].dtype())
      fail(name(), "targets are {}, logits {}", name_of(targets_.dtype()), name_of(x[0].dtype()));
    logits_.value = x[0];
    Tensor loss = scalar_like(x[0]);
    loss.backend().run(
        kernel::BceForward{.pos_weight = pos_weight_, .logits = x[0], .targets = targets_, .loss = loss});
    return loss;
  }
  Tensors vjp(const Tensor& loss_bar, Wanted wanted) override {
    Tensor bar = like_if(wanted[0], logits_.value);
    if (bar)
      bar.backend().run(kernel::BceVjp{.pos_weight = pos_weight_,
                                       .logits = logits_.value,
                                       .targets = targets_,
                                       .loss_bar = loss_bar,
                                       .logits_bar = bar});
    return {bar};
  }
  Tensor jvp(std::span<const Tensor> x_dot) override {
    logits_.dot = x_dot[0];
    Tensor loss_dot = scalar_like(logits_.value);
    loss_dot.backend().run(kernel::BceJvp{.pos_weight = pos_weight_,
                                          .logits = logits_.value,
                                          .targets = targets_,
                                          .logits_dot = x_dot[0],
                                          .loss_dot = loss_dot});
    return loss_dot;
  }
  Tensors vjp_dot(const Tensor& loss_bar, const Tensor& loss_bar_dot, Wanted wanted) override {
    Tensor dot = like_if(wanted[0] && (logits_.dot || loss_bar_dot), logits_.value);
    if (dot)
      dot.backend().run(kernel::BceVjpDot{.pos_weight = pos_weight_,
                                          .logits = logits_.value,
                                          .targets = targets_,
                                          .logits_dot = logits_.dot,
                                          .loss_bar = loss_bar,
                                          .loss_bar_dot = loss_bar_dot,
                                          .logits_bar_dot = dot});
    return {dot};
  }

 private:
  Tensor targets_;
  double pos_weight_;
  Saved logits_{*this};
};

}  // namespace

OperatorPtr bce_with_logits(const Tensor& targets, double pos_weight) {
  return std::make_unique<BceWithLogits>(targets, pos_weight);
}

}  // namespace mcn::ops
