// Several tensors side by side along the channels. Linear, so that nothing is saved but the shapes.
#include <algorithm>
#include <vector>

#include "engine/ops.h"
#include "engine/ops/check.h"

namespace mcn::ops {
namespace {

class ConcatChannels final : public Operator {
 public:
  [[nodiscard]] std::string_view name() const override { return "concat_channels"; }

  Tensor forward(std::span<const Tensor> x) override {
    constexpr std::size_t most = 32;  // that Wanted can name
    if (x.empty() || x.size() > most) fail(name(), "expected 1 to {} inputs, got {}", most, x.size());
    check_inputs(name(), x, x.size());
    const Shape& first = x[0].shape();
    if (first.rank() == 0) fail(name(), "input 0 has no axes");
    std::int64_t channels = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      check_shape(name(), fmt::format("input {}", i), x[i].shape(), with_channels(first, x[i].shape().back()));
      channels += x[i].shape().back();
      shapes_.push_back(x[i].shape());
    }
    out_ = with_channels(first, channels);
    return concat(x, x[0]);
  }
  Tensors vjp(const Tensor& y_bar, Wanted wanted) override {
    Tensors bars(shapes_.size());
    if (!y_bar) return bars;
    std::vector<OptionalView> parts;
    for (std::size_t i = 0; i < bars.size(); ++i) {
      if (wanted[i]) bars[i] = Tensor(y_bar.backend(), y_bar.dtype(), shapes_[i]);
      parts.emplace_back(View{bars[i].view().data, y_bar.dtype(), shapes_[i]});
    }
    y_bar.backend().run(kernel::SplitChannels{.y = y_bar, .parts = parts});
    return bars;
  }
  Tensor jvp(std::span<const Tensor> x_dot) override {
    return concat(x_dot, *std::ranges::find_if(x_dot, [](const Tensor& t) { return static_cast<bool>(t); }));
  }
  Tensors vjp_dot(const Tensor&, const Tensor& y_bar_dot, Wanted wanted) override { return vjp(y_bar_dot, wanted); }

 private:
  static Shape with_channels(const Shape& shape, std::int64_t channels) {
    Shape other;
    for (int axis = 0; axis + 1 < shape.rank(); ++axis) other.append(shape[axis]);
    other.append(channels);
    return other;
  }
  // like: of the dtype and on the backend of the result.
  [[nodiscard]] Tensor concat(std::span<const Tensor> x, const Tensor& like) const {
    Tensor y(like.backend(), like.dtype(), out_);
    std::vector<OptionalConstView> parts;
    for (std::size_t i = 0; i < shapes_.size(); ++i)
      parts.emplace_back(ConstView{at(x, i).view().data, y.dtype(), shapes_[i]});
    y.backend().run(kernel::ConcatChannels{.parts = parts, .y = y});
    return y;
  }

  std::vector<Shape> shapes_;
  Shape out_;
};

}  // namespace

OperatorPtr concat_channels() { return std::make_unique<ConcatChannels>(); }

}  // namespace mcn::ops
