// 3-D convolution. Bilinear in (x, w): three kernels and their paired forms are all four rules.
#include "engine/ops.h"
#include "engine/ops/check.h"

namespace mcn::ops {
namespace {

class Conv3d final : public Operator {
 public:
  explicit Conv3d(const Conv3dParams& params) : params_(params) {}
  [[nodiscard]] std::string_view name() const override { return "conv3d"; }

  Tensor forward(std::span<const Tensor> x) override {
    check_inputs(name(), x, 2);
    out_ = output_shape(x[0].shape(), x[1].shape());
    x_.value = x[0];
    w_.value = x[1];
    Tensor y(x[0].backend(), x[0].dtype(), out_);
    y.backend().conv3d_fprop(params_, x[0], x[1], y, Mode::overwrite);
    return y;
  }

  Tensors vjp(const Tensor& y_bar, Wanted wanted) override {
    Tensor x_bar = like_if(wanted[0], x_.value);
    Tensor w_bar = like_if(wanted[1], w_.value);
    Backend& backend = y_bar.backend();
    if (x_bar) backend.conv3d_dgrad(params_, y_bar, w_.value, x_bar, Mode::overwrite);
    if (w_bar) backend.conv3d_wgrad(params_, x_.value, y_bar, w_bar, Mode::overwrite);
    return {x_bar, w_bar};
  }

  Tensor jvp(std::span<const Tensor> x_dot) override {
    const Tensor& x = x_.value;
    const Tensor& w = w_.value;
    x_.dot = at(x_dot, 0);
    w_.dot = at(x_dot, 1);
    if (!x_.dot && !w_.dot) return {};
    Tensor y_dot(x.backend(), x.dtype(), out_);
    if (x_.dot && w_.dot)
      y_dot.backend().conv3d_fprop_pair(params_, x_.dot, w, x, w_.dot, y_dot);
    else if (x_.dot)
      y_dot.backend().conv3d_fprop(params_, x_.dot, w, y_dot, Mode::overwrite);
    else
      y_dot.backend().conv3d_fprop(params_, x, w_.dot, y_dot, Mode::overwrite);
    return y_dot;
  }

  Tensors vjp_dot(const Tensor& y_bar, const Tensor& y_bar_dot, Wanted wanted) override {
    const Tensor& x = x_.value;
    const Tensor& w = w_.value;
    Backend& backend = y_bar.backend();
    Tensor x_bar_dot = like_if(wanted[0] && (w_.dot || y_bar_dot), x);
    if (x_bar_dot) {
      if (w_.dot && y_bar_dot)
        backend.conv3d_dgrad_pair(params_, y_bar_dot, w, y_bar, w_.dot, x_bar_dot);
      else if (y_bar_dot)
        backend.conv3d_dgrad(params_, y_bar_dot, w, x_bar_dot, Mode::overwrite);
      else
        backend.conv3d_dgrad(params_, y_bar, w_.dot, x_bar_dot, Mode::overwrite);
    }
    Tensor w_bar_dot = like_if(wanted[1] && (x_.dot || y_bar_dot), w);
    if (w_bar_dot) {
      if (x_.dot && y_bar_dot)
        backend.conv3d_wgrad_pair(params_, x_.dot, y_bar, x, y_bar_dot, w_bar_dot);
      else if (y_bar_dot)
        backend.conv3d_wgrad(params_, x, y_bar_dot, w_bar_dot, Mode::overwrite);
      else
        backend.conv3d_wgrad(params_, x_.dot, y_bar, w_bar_dot, Mode::overwrite);
    }
    return {x_bar_dot, w_bar_dot};
  }

 private:
  [[nodiscard]] Shape output_shape(const Shape& x, const Shape& w) const {
    check_rank(name(), "x", x, 5);
    check_rank(name(), "weight", w, 5);
    if (w.i() != x.c()) fail(name(), "weight has {} input channels, x has {}", w.i(), x.c());
    Shape out{x.n()};
    for (int axis = 1; axis <= 3; ++axis) {
      const auto a = static_cast<std::size_t>(axis - 1);
      if (params_.stride[a] < 1 || params_.padding[a] < 0)
        fail(name(), "axis {}: stride {} and padding {}", axis, params_.stride[a], params_.padding[a]);
      const std::int64_t reach = x[axis] + 2 * params_.padding[a] - w[axis];
      if (reach < 0) fail(name(), "axis {}: kernel {} is larger than the padded x {}", axis, w.str(), x.str());
      out.append(reach / params_.stride[a] + 1);
    }
    out.append(w.o());
    return out;
  }

  Conv3dParams params_;
  Shape out_;
  Saved x_{*this}, w_{*this};
};

}  // namespace

OperatorPtr conv3d(const Conv3dParams& params) { return std::make_unique<Conv3d>(params); }

}  // namespace mcn::ops
