// 3-D convolution. Bilinear in (x, w): three kernels on sums of one or two products are all four rules.
#include <algorithm>
#include <iterator>
#include <vector>

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
    fprop({{x[0], x[1]}}, y);
    return y;
  }

  Tensors vjp(const Tensor& y_bar, Wanted wanted) override {
    Tensor x_bar = like_if(wanted[0], x_.value);
    Tensor w_bar = like_if(wanted[1], w_.value);
    if (x_bar) dgrad({{y_bar, w_.value}}, x_bar);
    if (w_bar) wgrad({{x_.value, y_bar}}, w_bar);
    return {x_bar, w_bar};
  }

  Tensor jvp(std::span<const Tensor> x_dot) override {
    const Tensor& x = x_.value;
    const Tensor& w = w_.value;
    x_.dot = at(x_dot, 0);
    w_.dot = at(x_dot, 1);
    const std::vector<ConvProduct> products = without_absent({{x_.dot, w}, {x, w_.dot}});
    if (products.empty()) return {};
    Tensor y_dot(x.backend(), x.dtype(), out_);
    fprop(products, y_dot);
    return y_dot;
  }

  Tensors vjp_dot(const Tensor& y_bar, const Tensor& y_bar_dot, Wanted wanted) override {
    const Tensor& x = x_.value;
    const Tensor& w = w_.value;
    const std::vector<ConvProduct> of_x = without_absent({{y_bar_dot, w}, {y_bar, w_.dot}});
    Tensor x_bar_dot = like_if(wanted[0] && !of_x.empty(), x);
    if (x_bar_dot) dgrad(of_x, x_bar_dot);
    const std::vector<ConvProduct> of_w = without_absent({{x_.dot, y_bar}, {x, y_bar_dot}});
    Tensor w_bar_dot = like_if(wanted[1] && !of_w.empty(), w);
    if (w_bar_dot) wgrad(of_w, w_bar_dot);
    return {x_bar_dot, w_bar_dot};
  }

 private:
  // A product with an absent factor is zero.
  static std::vector<ConvProduct> without_absent(std::initializer_list<ConvProduct> all) {
    std::vector<ConvProduct> products;
    std::ranges::copy_if(all, std::back_inserter(products), [](const ConvProduct& p) { return p.a && p.b; });
    return products;
  }
  void fprop(const std::vector<ConvProduct>& products, Tensor& y) const {
    y.backend().run(kernel::Conv3dFprop{.params = params_, .products = products, .y = y});
  }
  void dgrad(const std::vector<ConvProduct>& products, Tensor& x_bar) const {
    x_bar.backend().run(kernel::Conv3dDgrad{.params = params_, .products = products, .x_bar = x_bar});
  }
  void wgrad(const std::vector<ConvProduct>& products, Tensor& w_bar) const {
    w_bar.backend().run(kernel::Conv3dWgrad{.params = params_, .products = products, .w_bar = w_bar});
  }

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
