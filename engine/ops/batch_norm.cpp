// Batch normalisation with optional residual add and ReLU, over batch statistics or fixed ones.
#include <algorithm>
#include <cmath>

#include "engine/ops.h"
#include "engine/ops/check.h"

namespace mcn::ops {
namespace {

class BatchNorm final : public Operator {
 public:
  BatchNorm(const BatchNormParams& params, BatchStatistics* statistics) : params_(params), statistics_(statistics) {
    params_.batch_statistics = true;
  }
  BatchNorm(const BatchNormParams& params, const Tensor& mean, const Tensor& variance) : params_(params) {
    params_.batch_statistics = false;
    check_shape(name(), "variance", variance.shape(), mean.shape());
    std::vector<double> rstd = variance.to_doubles();
    for (double& v : rstd) v = 1.0 / std::sqrt(v + params.eps);
    mean_.value = mean;
    rstd_.value = Tensor::from(mean.backend(), mean.dtype(), mean.shape(), std::span<const double>(rstd));
  }
  [[nodiscard]] std::string_view name() const override { return "batch_norm"; }

  Tensor forward(std::span<const Tensor> x) override {
    check_inputs(name(), x, 3, 1);
    const Shape channels{x[0].shape().back()};
    if (x[0].shape().rank() < 2 || x[0].numel() == 0)
      fail(name(), "x: expected rows of channels, got {}", x[0].shape().str());
    check_shape(name(), "gamma", x[1].shape(), channels);
    check_shape(name(), "beta", x[2].shape(), channels);
    const Tensor residual = at(x, 3);
    if (residual) check_shape(name(), "residual", residual.shape(), x[0].shape());
    x_.value = x[0];
    gamma_.value = x[1];
    if (params_.batch_statistics) {
      mean_.value = Tensor::like(x[1]);
      rstd_.value = Tensor::like(x[1]);
    } else {
      check_shape(name(), "mean", mean_.value.shape(), channels);
    }
    Tensor y = Tensor::like(x[0]);
    y.backend().run(kernel::BatchNormForward{.params = params_,
                                             .x = x[0],
                                             .gamma = x[1],
                                             .beta = x[2],
                                             .residual = residual,
                                             .y = y,
                                             .mean = mean_.value,
                                             .rstd = rstd_.value});
    if (params_.relu) y_.value = y;
    if (statistics_ != nullptr) *statistics_ = {mean_.value, rstd_.value, x[0].shape().rows(), params_.eps};
    return y;
  }

  Tensors vjp(const Tensor& y_bar, Wanted wanted) override {
    Tensors bars = outputs(wanted, y_bar);
    y_bar.backend().run(
        kernel::BatchNormVjp{.params = params_, .saved = saved(), .y_bar = y_bar, .bars = gradients(bars)});
    return bars;
  }

  Tensor jvp(std::span<const Tensor> x_dot) override {
    x_.dot = at(x_dot, 0);
    gamma_.dot = at(x_dot, 1);
    if (params_.batch_statistics) {
      mean_.dot = Tensor::like(mean_.value);
      rstd_.dot = Tensor::like(rstd_.value);
    }
    Tensor y_dot = Tensor::like(x_.value);
    y_dot.backend().run(kernel::BatchNormJvp{.params = params_,
                                             .saved = saved(),
                                             .x_dot = x_.dot,
                                             .gamma_dot = gamma_.dot,
                                             .beta_dot = at(x_dot, 2),
                                             .residual_dot = at(x_dot, 3),
                                             .y_dot = y_dot,
                                             .mean_dot = mean_.dot,
                                             .rstd_dot = rstd_.dot});
    return y_dot;
  }

  Tensors vjp_dot(const Tensor& y_bar, const Tensor& y_bar_dot, Wanted wanted) override {
    // Without tangents of its own, the operator is a constant linear map.
    if (!y_bar_dot && !x_.dot && !gamma_.dot) return Tensors(4);
    if (params_.batch_statistics && !mean_.dot) {  // jvp saw no tangent of any input: all are zero
      mean_.dot = Tensor::full(y_bar.backend(), y_bar.dtype(), mean_.value.shape(), 0);
      rstd_.dot = Tensor::full(y_bar.backend(), y_bar.dtype(), rstd_.value.shape(), 0);
    }
    Tensors dots = outputs(wanted, y_bar_dot);
    y_bar.backend().run(kernel::BatchNormVjpDot{.params = params_,
                                                .saved = saved(),
                                                .saved_dot = {x_.dot, gamma_.dot, mean_.dot, rstd_.dot},
                                                .y_bar = y_bar,
                                                .y_bar_dot = y_bar_dot,
                                                .dots = gradients(dots)});
    return dots;
  }

 private:
  [[nodiscard]] BatchNormSaved saved() const { return {x_.value, gamma_.value, mean_.value, rstd_.value, y_.value}; }

  // Without ReLU the residual's cotangent is the incoming one itself, and is handed on without a copy.
  [[nodiscard]] Tensors outputs(Wanted wanted, const Tensor& incoming) const {
    Tensor residual = !wanted[3] || !incoming ? Tensor() : params_.relu ? Tensor::like(incoming) : incoming;
    return {like_if(wanted[0], x_.value), like_if(wanted[1], gamma_.value), like_if(wanted[2], gamma_.value), residual};
  }
  [[nodiscard]] BatchNormGradients gradients(Tensors& bars) const {
    return {bars[0], bars[1], bars[2], params_.relu ? bars[3].view() : View{}};
  }

  BatchNormParams params_;
  BatchStatistics* statistics_ = nullptr;
  Saved x_{*this}, gamma_{*this}, mean_{*this}, rstd_{*this};
  // Read for the sign of y alone, which has no derivative; its tangent stays absent.
  Saved y_{*this};
};

}  // namespace

std::vector<double> BatchStatistics::unbiased_variance() const {
  std::vector<double> variance = rstd.to_doubles();
  const double correction = count > 1 ? static_cast<double>(count) / static_cast<double>(count - 1) : 1.0;
  for (double& v : variance) v = std::max(0.0, 1.0 / (v * v) - eps) * correction;
  return variance;
}

OperatorPtr batch_norm(const BatchNormParams& params, BatchStatistics* statistics) {
  return std::make_unique<BatchNorm>(params, statistics);
}
OperatorPtr batch_norm_fixed(const BatchNormParams& params, const Tensor& mean, const Tensor& variance) {
  return std::make_unique<BatchNorm>(params, mean, variance);
}

}  // namespace mcn::ops
