// InfoNCE with in-batch negatives and an optional bank (van den Oord et al. 2018; Wu et al. 2018 for the bank).
#include "engine/ops.h"
#include "engine/ops/check.h"

namespace mcn::ops {
namespace {

class InfoNce final : public Operator {
 public:
  InfoNce(double temperature, InfoNceBank bank) : temperature_(temperature), bank_(std::move(bank)) {
    if (!(temperature > 0)) fail(name(), "temperature must be positive, got {}", temperature);
  }
  [[nodiscard]] std::string_view name() const override { return "info_nce"; }

  Tensor forward(std::span<const Tensor> x) override {
    check_inputs(name(), x, 2);
    check_rank(name(), "anchor", x[0].shape(), 2);
    check_shape(name(), "key", x[1].shape(), x[0].shape());
    const std::int64_t rows = x[0].shape()[0];
    if (rows == 0) fail(name(), "no rows");
    if (bank_.features) {
      check_rank(name(), "bank", bank_.features.shape(), 2);
      check_shape(name(), "bank", bank_.features.shape(), {bank_.features.shape()[0], x[0].shape()[1]});
      if (bank_.features.dtype() != x[0].dtype())
        fail(name(), "bank is {}, anchor {}", name_of(bank_.features.dtype()), name_of(x[0].dtype()));
    }
    if (bool(bank_.ids) != bool(bank_.bank_ids)) fail(name(), "ids and bank ids come together");
    if (bank_.ids) {
      check_shape(name(), "ids", bank_.ids.shape(), {rows});
      check_shape(name(), "bank ids", bank_.bank_ids.shape(), {bank_.features ? bank_.features.shape()[0] : 0});
    }
    anchor_.value = x[0];
    key_.value = x[1];
    lse_.value = Tensor(x[0].backend(), x[0].dtype(), {rows});
    Tensor loss = scalar_like(x[0]);
    loss.backend().run(kernel::InfoNceForward{.inputs = inputs(), .loss = loss, .lse = lse_.value});
    return loss;
  }
  Tensors vjp(const Tensor& loss_bar, Wanted wanted) override {
    Tensors bars{Tensor::like(anchor_.value), Tensor::like(key_.value)};
    loss_bar.backend().run(kernel::InfoNceVjp{
        .inputs = inputs(), .lse = lse_.value, .loss_bar = loss_bar, .anchor_bar = bars[0], .key_bar = bars[1]});
    return only(std::move(bars), wanted);
  }
  Tensor jvp(std::span<const Tensor> x_dot) override {
    anchor_.dot = at(x_dot, 0);
    key_.dot = at(x_dot, 1);
    lse_.dot = Tensor::like(lse_.value);
    Tensor loss_dot = scalar_like(lse_.value);
    loss_dot.backend().run(kernel::InfoNceJvp{.inputs = inputs(),
                                              .lse = lse_.value,
                                              .anchor_dot = anchor_.dot,
                                              .key_dot = key_.dot,
                                              .loss_dot = loss_dot,
                                              .lse_dot = lse_.dot});
    return loss_dot;
  }
  Tensors vjp_dot(const Tensor& loss_bar, const Tensor& loss_bar_dot, Wanted wanted) override {
    if (!anchor_.dot && !key_.dot && !loss_bar_dot) return Tensors(2);
    Tensors dots{Tensor::like(anchor_.value), Tensor::like(key_.value)};
    loss_bar.backend().run(kernel::InfoNceVjpDot{.inputs = inputs(),
                                                 .lse = lse_.value,
                                                 .anchor_dot = anchor_.dot,
                                                 .key_dot = key_.dot,
                                                 .lse_dot = lse_.dot,
                                                 .loss_bar = loss_bar,
                                                 .loss_bar_dot = loss_bar_dot,
                                                 .anchor_bar_dot = dots[0],
                                                 .key_bar_dot = dots[1]});
    return only(std::move(dots), wanted);
  }

 private:
  [[nodiscard]] InfoNceInputs inputs() const {
    return {temperature_, anchor_.value, key_.value, bank_.features, bank_.ids, bank_.bank_ids};
  }

  double temperature_;
  InfoNceBank bank_;
  Saved anchor_{*this}, key_{*this}, lse_{*this};
};

}  // namespace

OperatorPtr info_nce(double temperature, const InfoNceBank& bank) {
  return std::make_unique<InfoNce>(temperature, bank);
}

}  // namespace mcn::ops
