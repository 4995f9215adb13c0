// Layers on a tape, and what normalization leaves.
#include "models/layers.h"

#include <algorithm>

namespace mcn {
namespace {

PoolParams cut_to(const Shape& x, PoolParams params) {
  for (std::size_t a = 0; a < 3; ++a)
    params.kernel[a] = std::min(params.kernel[a], x[static_cast<int>(a) + 1] + 2 * params.padding[a]);
  return params;
}

}  // namespace

void update_running(std::vector<RunningStatistics>& running, std::span<const ops::BatchStatistics> batch,
                    double momentum) {
  if (running.size() != batch.size())
    fail("model", "running statistics of {} layers, batch statistics of {}", running.size(), batch.size());
  Tensors updated;  // mean and variance of each
  const auto update = [&](const Tensor& old, const Tensor& value) {
    Tensor& next = updated.emplace_back(old.clone());
    next.backend().run(kernel::Scale{.alpha = 1 - momentum, .x = next, .y = next});
    mcn::axpy(next.backend(), momentum, value, next);
  };
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const Tensor& variance = running[i].variance;
    const std::vector<double> unbiased = batch[i].unbiased_variance();
    update(running[i].mean, batch[i].mean);
    update(variance, Tensor::from(variance.backend(), variance.dtype(), variance.shape(), unbiased));
  }
  // A layer can make something finite of a variance that is not.
  if (const auto bad = first_not_finite(updated))
    fail<NonFiniteError>("statistics", "the running {} of normalization layer {} of {} is not finite",
                         *bad % 2 == 0 ? "mean" : "variance", *bad / 2 + 1, batch.size());
  for (std::size_t i = 0; i < batch.size(); ++i) running[i] = {updated[2 * i], updated[2 * i + 1]};
}

Var Conv::operator()(const Pass& pass, const Var& x) const {
  return pass.tape.apply(ops::conv3d(params), {x, pass.theta[weight]});
}

Var Norm::operator()(const Pass& pass, const Var& x, const Var& residual) const {
  std::vector<Var> inputs{x, pass.theta[gamma], pass.theta[beta]};
  if (residual.id >= 0) inputs.push_back(residual);
  const NormPass& norms = pass.norms;
  if (norms.running != nullptr) {
    const RunningStatistics& running = (*norms.running)[index];
    return pass.tape.apply(ops::batch_norm_fixed(params, running.mean, running.variance), std::move(inputs));
  }
  return pass.tape.apply(ops::batch_norm(params, norms.collect != nullptr ? &(*norms.collect)[index] : nullptr),
                         std::move(inputs));
}

Var ConvNorm::operator()(const Pass& pass, const Var& x, const Var& residual) const {
  return norm(pass, conv(pass, x), residual);
}

Var Linear::operator()(const Pass& pass, const Var& x) const {
  return pass.tape.apply(ops::linear(), {x, pass.theta[weight], pass.theta[bias]});
}

Var max_pool(const Pass& pass, const PoolParams& params, const Var& x) {
  return pass.tape.apply(ops::max_pool(cut_to(x.value.shape(), params)), {x});
}

Var avg_pool(const Pass& pass, const PoolParams& params, const Var& x) {
  return pass.tape.apply(ops::avg_pool(cut_to(x.value.shape(), params)), {x});
}

std::size_t Layers::add(ParameterSpec spec) {
  parameters_.push_back(std::move(spec));
  return parameters_.size() - 1;
}

Conv Layers::conv(const std::string& name, const ConvConfig& c) {
  return {add({name + ".weight", {c.out, c.kernel[0], c.kernel[1], c.kernel[2], c.in}, Init::kaiming, 0, true}),
          {c.stride, c.padding, precision_}};
}

Norm Layers::norm(const std::string& name, std::int64_t channels, const NormConfig& config) {
  const std::size_t gamma = add({name + ".weight", {channels}, Init::ones, 0, false});
  const std::size_t beta = add({name + ".bias", {channels}, Init::zeros, 0, false});
  norms_.push_back(name);
  norm_channels_.push_back(channels);
  return {gamma, beta, norms_.size() - 1, {.eps = config.eps, .relu = config.relu}};
}

ConvNorm Layers::conv_norm(const std::string& conv_name, const ConvConfig& config, const std::string& norm_name,
                           const NormConfig& norm_config) {
  const Conv convolution = conv(conv_name, config);
  return {convolution, norm(norm_name, config.out, norm_config)};
}

Linear Layers::linear(const std::string& name, const Shape& weight_shape, double deviation) {
  const std::size_t weight = add({name + ".weight", weight_shape, Init::gaussian, deviation, true});
  return {weight, add({name + ".bias", {weight_shape[0]}, Init::zeros, 0, false})};
}

}  // namespace mcn
