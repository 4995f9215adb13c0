// Max, average and global average pooling. Average pooling is linear; max pooling is linear given its indices.
#include "engine/ops.h"
#include "engine/ops/check.h"

namespace mcn::ops {
namespace {

Shape pooled_shape(std::string_view op, const Shape& x, const PoolParams& params) {
  check_rank(op, "x", x, 5);
  Shape out{x.n()};
  for (int axis = 1; axis <= 3; ++axis) {
    const auto a = static_cast<std::size_t>(axis - 1);
    const std::int64_t kernel = params.kernel[a];
    const std::int64_t padding = params.padding[a];
    if (kernel < 1 || params.stride[a] < 1 || padding < 0 || 2 * padding > kernel)
      fail(op, "axis {}: kernel {}, stride {}, padding {} (at most half the kernel)", axis, kernel, params.stride[a],
           padding);
    const std::int64_t reach = x[axis] + 2 * padding - kernel;
    if (reach < 0) fail(op, "axis {}: kernel {} is larger than the padded x {}", axis, kernel, x.str());
    out.append(reach / params.stride[a] + 1);
  }
  out.append(x.c());
  return out;
}

class MaxPool final : public Operator {
 public:
  explicit MaxPool(const PoolParams& params) : params_(params) {}
  [[nodiscard]] std::string_view name() const override { return "max_pool"; }

  Tensor forward(std::span<const Tensor> x) override {
    check_inputs(name(), x, 1);
    in_ = x[0].shape();
    Tensor y(x[0].backend(), x[0].dtype(), pooled_shape(name(), in_, params_));
    index_.value = Tensor(x[0].backend(), DType::i32, y.shape());
    y.backend().run(kernel::MaxPool{.params = params_, .x = x[0], .y = y, .index = index_.value});
    return y;
  }
  Tensors vjp(const Tensor& y_bar, Wanted wanted) override {
    if (!wanted[0] || !y_bar) return Tensors(1);
    Tensor x_bar(y_bar.backend(), y_bar.dtype(), in_);
    y_bar.backend().run(kernel::MaxPoolScatter{.y_bar = y_bar, .index = index_.value, .x_bar = x_bar});
    return {x_bar};
  }
  Tensor jvp(std::span<const Tensor> x_dot) override {
    Tensor y_dot(x_dot[0].backend(), x_dot[0].dtype(), index_.value.shape());
    y_dot.backend().run(kernel::MaxPoolGather{.x_dot = x_dot[0], .index = index_.value, .y_dot = y_dot});
    return y_dot;
  }
  Tensors vjp_dot(const Tensor&, const Tensor& y_bar_dot, Wanted wanted) override { return vjp(y_bar_dot, wanted); }

 private:
  PoolParams params_;
  Shape in_;
  Saved index_{*this};  // integers: no tangent
};

class AvgPool final : public Operator {
 public:
  explicit AvgPool(const PoolParams& params) : params_(params) {}
  [[nodiscard]] std::string_view name() const override { return "avg_pool"; }

  Tensor forward(std::span<const Tensor> x) override {
    check_inputs(name(), x, 1);
    in_ = x[0].shape();
    out_ = pooled_shape(name(), in_, params_);
    return pooled(x[0]);
  }
  Tensors vjp(const Tensor& y_bar, Wanted wanted) override {
    if (!wanted[0] || !y_bar) return Tensors(1);
    Tensor x_bar(y_bar.backend(), y_bar.dtype(), in_);
    y_bar.backend().run(kernel::AvgPoolAdjoint{.params = params_, .y_bar = y_bar, .x_bar = x_bar});
    return {x_bar};
  }
  Tensor jvp(std::span<const Tensor> x_dot) override { return pooled(x_dot[0]); }
  Tensors vjp_dot(const Tensor&, const Tensor& y_bar_dot, Wanted wanted) override { return vjp(y_bar_dot, wanted); }

 private:
  [[nodiscard]] Tensor pooled(const Tensor& x) const {
    Tensor y(x.backend(), x.dtype(), out_);
    y.backend().run(kernel::AvgPool{.params = params_, .x = x, .y = y});
    return y;
  }

  PoolParams params_;
  Shape in_, out_;
};

class GlobalAvgPool final : public Operator {
 public:
  [[nodiscard]] std::string_view name() const override { return "global_avg_pool"; }

  Tensor forward(std::span<const Tensor> x) override {
    check_inputs(name(), x, 1);
    check_rank(name(), "x", x[0].shape(), 5);
    in_ = x[0].shape();
    if (in_.numel() == 0) fail(name(), "x is empty: {}", in_.str());
    window_.kernel = {in_.d(), in_.h(), in_.w()};
    return pooled(x[0]);
  }
  Tensors vjp(const Tensor& y_bar, Wanted wanted) override {
    if (!wanted[0] || !y_bar) return Tensors(1);
    Tensor x_bar(y_bar.backend(), y_bar.dtype(), in_);
    y_bar.backend().run(kernel::AvgPoolAdjoint{
        .params = window_, .y_bar = y_bar.reshaped({in_.n(), 1, 1, 1, in_.c()}), .x_bar = x_bar});
    return {x_bar};
  }
  Tensor jvp(std::span<const Tensor> x_dot) override { return pooled(x_dot[0]); }
  Tensors vjp_dot(const Tensor&, const Tensor& y_bar_dot, Wanted wanted) override { return vjp(y_bar_dot, wanted); }

 private:
  [[nodiscard]] Tensor pooled(const Tensor& x) const {
    Tensor y(x.backend(), x.dtype(), {in_.n(), 1, 1, 1, in_.c()});
    y.backend().run(kernel::AvgPool{.params = window_, .x = x, .y = y});
    return y.reshaped({in_.n(), in_.c()});
  }

  PoolParams window_;
  Shape in_;
};

}  // namespace

OperatorPtr max_pool(const PoolParams& params) { return std::make_unique<MaxPool>(params); }
OperatorPtr avg_pool(const PoolParams& params) { return std::make_unique<AvgPool>(params); }
OperatorPtr global_avg_pool() { return std::make_unique<GlobalAvgPool>(); }

}  // namespace mcn::ops
