// Some rows of the first axis. Forward and tangents share memory with their argument; the adjoint pads with zeros.
#include "engine/ops.h"
#include "engine/ops/check.h"

namespace mcn::ops {
namespace {

class SliceRows final : public Operator {
 public:
  SliceRows(std::int64_t begin, std::int64_t end) : begin_(begin), end_(end) {}
  [[nodiscard]] std::string_view name() const override { return "slice_rows"; }

  Tensor forward(std::span<const Tensor> x) override {
    check_inputs(name(), x, 1);
    shape_ = x[0].shape();
    return x[0].rows(begin_, end_);
  }
  Tensors vjp(const Tensor& y_bar, Wanted wanted) override {
    if (!wanted[0] || !y_bar) return Tensors(1);
    Tensor x_bar = Tensor::full(y_bar.backend(), y_bar.dtype(), shape_, 0);
    x_bar.backend().copy(y_bar, x_bar.rows(begin_, end_));
    return {x_bar};
  }
  Tensor jvp(std::span<const Tensor> x_dot) override { return x_dot[0].rows(begin_, end_); }
  Tensors vjp_dot(const Tensor&, const Tensor& y_bar_dot, Wanted wanted) override { return vjp(y_bar_dot, wanted); }

 private:
  std::int64_t begin_, end_;
  Shape shape_;
};

}  // namespace

OperatorPtr slice_rows(std::int64_t begin, std::int64_t end) { return std::make_unique<SliceRows>(begin, end); }

}  // namespace mcn::ops
