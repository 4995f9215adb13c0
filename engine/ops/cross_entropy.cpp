// Softmax cross-entropy against integer labels.
#include "engine/ops.h"
#include "engine/ops/check.h"

namespace mcn::ops {
namespace {

class CrossEntropy final : public Operator {
 public:
  explicit CrossEntropy(Tensor labels) : labels_(std::move(labels)) {}
  [[nodiscard]] std::string_view name() const override { return "cross_entropy"; }

  Tensor forward(std::span<const Tensor> x) override {
    check_inputs(name(), x, 1);
    check_rank(name(), "logits", x[0].shape(), 2);
    const Shape rows{x[0].shape()[0]};
    if (labels_.dtype() != DType::i64) fail(name(), "labels: expected i64, got {}", name_of(labels_.dtype()));
    check_shape(name(), "labels", labels_.shape(), rows);
    if (rows[0] == 0) fail(name(), "no rows");
    for (const double label : labels_.to_doubles())
      if (!(label >= 0 && label < static_cast<double>(x[0].shape()[1])))
        fail(name(), "label {} is not in [0, {})", label, x[0].shape()[1]);
    logits_.value = x[0];
    lse_.value = Tensor(x[0].backend(), x[0].dtype(), rows);
    Tensor loss = scalar_like(x[0]);
    loss.backend().run(kernel::CrossEntropyForward{.logits = x[0], .labels = labels_, .loss = loss, .lse = lse_.value});
    return loss;
  }
  Tensors vjp(const Tensor& loss_bar, Wanted wanted) override {
    Tensor bar = like_if(wanted[0], logits_.value);
    if (bar)
      bar.backend().run(kernel::CrossEntropyVjp{
          .logits = logits_.value, .labels = labels_, .lse = lse_.value, .loss_bar = loss_bar, .logits_bar = bar});
    return {bar};
  }
  Tensor jvp(std::span<const Tensor> x_dot) override {
    logits_.dot = x_dot[0];
    lse_.dot = Tensor::like(lse_.value);
    Tensor loss_dot = scalar_like(lse_.value);
    loss_dot.backend().run(kernel::CrossEntropyJvp{.logits = logits_.value,
                                                   .labels = labels_,
                                                   .lse = lse_.value,
                                                   .logits_dot = x_dot[0],
                                                   .loss_dot = loss_dot,
                                                   .lse_dot = lse_.dot});
    return loss_dot;
  }
  Tensors vjp_dot(const Tensor& loss_bar, const Tensor& loss_bar_dot, Wanted wanted) override {
    Tensor dot = like_if(wanted[0] && (logits_.dot || loss_bar_dot), logits_.value);
    if (dot)
      dot.backend().run(kernel::CrossEntropyVjpDot{.logits = logits_.value,
                                                   .labels = labels_,
                                                   .lse = lse_.value,
                                                   .logits_dot = logits_.dot,
                                                   .lse_dot = lse_.dot,
                                                   .loss_bar = loss_bar,
                                                   .loss_bar_dot = loss_bar_dot,
                                                   .logits_bar_dot = dot});
    return {dot};
  }

 private:
  Tensor labels_;
  Saved logits_{*this}, lse_{*this};
};

}  // namespace

OperatorPtr cross_entropy(const Tensor& labels) { return std::make_unique<CrossEntropy>(labels); }

}  // namespace mcn::ops
