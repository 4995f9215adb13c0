// Affine map of rows: y = x w^T + bias. Bilinear in (x, w), like convolution.
#include "engine/ops.h"
#include "engine/ops/check.h"

namespace mcn::ops {
namespace {

class Linear final : public Operator {
 public:
  [[nodiscard]] std::string_view name() const override { return "linear"; }

  Tensor forward(std::span<const Tensor> x) override {
    check_inputs(name(), x, 2, 1);
    check_rank(name(), "x", x[0].shape(), 2);
    weight_shape_ = x[1].shape();
    if (weight_shape_.rank() < 2 || weight_shape_.rows() != weight_shape_[0])
      fail(name(), "weight: expected (O, I) or (O, 1, 1, 1, I), got shape {}", weight_shape_.str());
    if (x[0].shape()[1] != weight_shape_.back())
      fail(name(), "weight has {} input features, x has {}", weight_shape_.back(), x[0].shape()[1]);
    const Tensor bias = at(x, 2);
    bias_shape_ = {weight_shape_[0]};
    if (bias) check_shape(name(), "bias", bias.shape(), bias_shape_);
    x_.value = x[0];
    w_.value = as_matrix(x[1]);
    Tensor y = output();
    y.backend().run(kernel::Gemm{.transpose_b = Transpose::yes, .a = x[0], .b = w_.value, .c = y});
    if (bias) y.backend().run(kernel::AddBias{.bias = bias, .y = y});
    return y;
  }

  Tensors vjp(const Tensor& y_bar, Wanted wanted) override {
    Backend& backend = y_bar.backend();
    Tensor x_bar = like_if(wanted[0], x_.value);
    Tensor w_bar = like_if(wanted[1], w_.value);
    if (x_bar) backend.run(kernel::Gemm{.a = y_bar, .b = w_.value, .c = x_bar});
    if (w_bar) backend.run(kernel::Gemm{.transpose_a = Transpose::yes, .a = y_bar, .b = x_.value, .c = w_bar});
    return {x_bar, as_weight(w_bar), bias_gradient(y_bar, wanted)};
  }

  Tensor jvp(std::span<const Tensor> x_dot) override {
    x_.dot = at(x_dot, 0);
    w_.dot = as_matrix(at(x_dot, 1));
    const Tensor bias_dot = at(x_dot, 2);
    Tensor y_dot = output();
    Backend& backend = y_dot.backend();
    if (x_.dot)
      backend.run(kernel::Gemm{.transpose_b = Transpose::yes, .a = x_.dot, .b = w_.value, .c = y_dot});
    else if (!w_.dot)
      backend.run(kernel::Fill{.value = 0, .y = y_dot});
    if (w_.dot)
      backend.run(kernel::Gemm{.transpose_b = Transpose::yes,
                               .a = x_.value,
                               .b = w_.dot,
                               .c = y_dot,
                               .mode = x_.dot ? Mode::accumulate : Mode::overwrite});
    if (bias_dot) backend.run(kernel::AddBias{.bias = bias_dot, .y = y_dot});
    return y_dot;
  }

  Tensors vjp_dot(const Tensor& y_bar, const Tensor& y_bar_dot, Wanted wanted) override {
    Backend& backend = y_bar.backend();
    const Mode second = y_bar_dot ? Mode::accumulate : Mode::overwrite;
    Tensor x_bar_dot = like_if(wanted[0] && (y_bar_dot || w_.dot), x_.value);
    if (x_bar_dot) {
      if (y_bar_dot) backend.run(kernel::Gemm{.a = y_bar_dot, .b = w_.value, .c = x_bar_dot});
      if (w_.dot) backend.run(kernel::Gemm{.a = y_bar, .b = w_.dot, .c = x_bar_dot, .mode = second});
    }
    Tensor w_bar_dot = like_if(wanted[1] && (y_bar_dot || x_.dot), w_.value);
    if (w_bar_dot) {
      if (y_bar_dot)
        backend.run(kernel::Gemm{.transpose_a = Transpose::yes, .a = y_bar_dot, .b = x_.value, .c = w_bar_dot});
      if (x_.dot)
        backend.run(
            kernel::Gemm{.transpose_a = Transpose::yes, .a = y_bar, .b = x_.dot, .c = w_bar_dot, .mode = second});
    }
    return {x_bar_dot, as_weight(w_bar_dot), y_bar_dot ? bias_gradient(y_bar_dot, wanted) : Tensor()};
  }

 private:
  [[nodiscard]] Tensor as_matrix(const Tensor& w) const {
    return w ? w.reshaped({weight_shape_[0], weight_shape_.back()}) : w;
  }
  [[nodiscard]] Tensor as_weight(const Tensor& w) const { return w ? w.reshaped(weight_shape_) : w; }
  [[nodiscard]] Tensor output() const {
    return {x_.value.backend(), x_.value.dtype(), {x_.value.shape()[0], w_.value.shape()[0]}};
  }
  [[nodiscard]] Tensor bias_gradient(const Tensor& y_bar, Wanted wanted) const {
    if (!wanted[2]) return {};
    Tensor bias_bar(y_bar.backend(), y_bar.dtype(), bias_shape_);
    y_bar.backend().run(kernel::SumRows{.x = y_bar, .out = bias_bar});
    return bias_bar;
  }

  Shape weight_shape_, bias_shape_;
  Saved x_{*this}, w_{*this};
};

}  // namespace

OperatorPtr linear() { return std::make_unique<Linear>(); }

}  // namespace mcn::ops
