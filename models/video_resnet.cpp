// R(2+1)D and R3D, layer by layer.
#include "models/video_resnet.h"

#include <fmt/ranges.h>

#include <cmath>

namespace mcn {
namespace {

struct Arch {
  const char* name;
  bool factored;  // (2+1)D convolutions; else full 3-D ones
  int blocks_a_stage;
};
constexpr Arch archs[] = {{"r2plus1d_18", true, 2}, {"r2plus1d_10", true, 1}, {"r3d_18", false, 2}};

const Arch& find_arch(const std::string& name) {
  for (const Arch& arch : archs)
    if (name == arch.name) return arch;
  fail("model", "expected one of {}, got \"{}\"", fmt::join(video_resnet_archs(), ", "), name);
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
    update(variance,
           Tensor::from(variance.backend(), variance.dtype(), variance.shape(), std::span<const double>(unbiased)));
  }
  // A layer can make something finite of a variance that is not.
  if (const auto bad = first_not_finite(updated))
    fail<NonFiniteError>("statistics", "the running {} of normalization layer {} of {} is not finite",
                         *bad % 2 == 0 ? "mean" : "variance", *bad / 2 + 1, batch.size());
  for (std::size_t i = 0; i < batch.size(); ++i) running[i] = {updated[2 * i], updated[2 * i + 1]};
}

std::vector<std::string> video_resnet_archs() {
  std::vector<std::string> names;
  for (const Arch& arch : archs) names.emplace_back(arch.name);
  return names;
}

VideoResNet::VideoResNet(const VideoResNetConfig& config) : precision_(config.precision) {
  const Arch& arch = find_arch(config.arch);
  if (!(config.width > 0 && config.width <= 16)) fail("model", "width must be in (0, 16], got {}", config.width);
  const auto scaled = [&](std::int64_t channels) {
    return std::max<std::int64_t>(1, std::llround(static_cast<double>(channels) * config.width));
  };
  const std::int64_t base = scaled(64);
  if (arch.factored) {
    const std::int64_t mid = scaled(45);
    stem_.push_back({add_conv("stem.0", 3, mid, {1, 7, 7}, {1, 2, 2}, {0, 3, 3}), add_norm("stem.1", mid, true)});
    stem_.push_back({add_conv("stem.3", mid, base, {3, 1, 1}, {1, 1, 1}, {1, 0, 0}), add_norm("stem.4", base, true)});
  } else {
    stem_.push_back({add_conv("stem.0", 3, base, {3, 7, 7}, {1, 2, 2}, {1, 3, 3}), add_norm("stem.1", base, true)});
  }
  std::int64_t in = base;
  for (int stage = 1; stage <= 4; ++stage) {
    const std::int64_t out = scaled(std::int64_t{64} << (stage - 1));
    for (int block = 0; block < arch.blocks_a_stage; ++block) {
      const bool shrinks = stage > 1 && block == 0;
      add_block(fmt::format("layer{}.{}", stage, block), in, out, shrinks ? 2 : 1, arch.factored);
      in = out;
    }
  }
  features_ = in;
  if (config.classes > 0) {
    fc_ = add({"fc.weight", {config.classes, features_}, Init::gaussian, 0.01, true});
    add({"fc.bias", {config.classes}, Init::zeros, 0, false});
  }
}

std::size_t VideoResNet::add(ParameterSpec spec) {
  specs_.push_back(std::move(spec));
  return specs_.size() - 1;
}

VideoResNet::Conv VideoResNet::add_conv(const std::string& name, std::int64_t in, std::int64_t out,
                                        std::array<std::int64_t, 3> kernel, std::array<std::int64_t, 3> stride,
                                        std::array<std::int64_t, 3> padding) {
  return {add({name + ".weight", {out, kernel[0], kernel[1], kernel[2], in}, Init::kaiming, 0, true}),
          {stride, padding, precision_}};
}

VideoResNet::Norm VideoResNet::add_norm(const std::string& name, std::int64_t channels, bool relu) {
  const std::size_t gamma = add({name + ".weight", {channels}, Init::ones, 0, false});
  add({name + ".bias", {channels}, Init::zeros, 0, false});
  norms_.push_back(name);
  norm_channels_.push_back(channels);
  return {gamma, norms_.size() - 1, relu};
}

void VideoResNet::add_block(const std::string& name, std::int64_t in, std::int64_t out, std::int64_t stride,
                            bool factored) {
  Block block;
  // torchvision's midplanes: as many parameters as the full 3-D convolution has; shared by both of a block.
  const std::int64_t mid = (in * out * 27) / (in * 9 + 3 * out);
  const auto add_half = [&](const std::string& half, std::int64_t from, std::int64_t step) {
    if (factored) {
      const std::string conv = half + ".0";
      const Conv spatial = add_conv(conv + ".0", from, mid, {1, 3, 3}, {1, step, step}, {0, 1, 1});
      block.path.push_back({spatial, add_norm(conv + ".1", mid, true)});
      const Conv temporal = add_conv(conv + ".3", mid, out, {3, 1, 1}, {step, 1, 1}, {1, 0, 0});
      block.path.push_back({temporal, add_norm(half + ".1", out, true)});
    } else {
      const Conv full = add_conv(half + ".0", from, out, {3, 3, 3}, {step, step, step}, {1, 1, 1});
      block.path.push_back({full, add_norm(half + ".1", out, true)});
    }
  };
  add_half(name + ".conv1", in, stride);
  add_half(name + ".conv2", out, 1);
  if (stride != 1 || in != out) {
    const Conv conv = add_conv(name + ".downsample.0", in, out, {1, 1, 1}, {stride, stride, stride}, {0, 0, 0});
    block.downsample = ConvNorm{conv, add_norm(name + ".downsample.1", out, false)};
  }
  blocks_.push_back(std::move(block));
}

double VideoResNet::multiplications(const Shape& clip) const {
  double total = 0;
  const auto through = [&](const Conv& conv, const Shape& x) {
    const Shape& w = specs_[conv.weight].shape;
    Shape y{x.n()};
    for (int axis = 0; axis < 3; ++axis) {
      const auto a = static_cast<std::size_t>(axis);
      y.append((x[1 + axis] + 2 * conv.params.padding[a] - w[1 + axis]) / conv.params.stride[a] + 1);
    }
    y.append(w.o());
    const std::int64_t multiplications_each = w.numel() / w.o();
    total += static_cast<double>(y.numel()) * static_cast<double>(multiplications_each);
    return y;
  };
  Shape x = clip;
  for (const ConvNorm& layer : stem_) x = through(layer.conv, x);
  for (const Block& block : blocks_) {
    if (block.downsample) through(block.downsample->conv, x);
    for (const ConvNorm& layer : block.path) x = through(layer.conv, x);
  }
  if (fc_) total += static_cast<double>(clip.n() * specs_[*fc_].shape.numel());
  return total;
}

// One pass: the tape, the parameters and the normalisation's mode, so that layers read as layers.
struct VideoResNet::Pass {
  Tape& tape;
  std::span<const Var> theta;
  const NormPass& norms;

  Var operator()(const ConvNorm& layer, const Var& x, const Var& residual = {}) const {
    const Var y = tape.apply(ops::conv3d(layer.conv.params), {x, theta[layer.conv.weight]});
    const Norm& norm = layer.norm;
    const BatchNormParams params{.eps = 1e-5, .relu = norm.relu};
    std::vector<Var> inputs{y, theta[norm.gamma], theta[norm.gamma + 1]};
    if (residual.id >= 0) inputs.push_back(residual);
    if (norms.running != nullptr) {
      const RunningStatistics& running = (*norms.running)[norm.index];
      return tape.apply(ops::batch_norm_fixed(params, running.mean, running.variance), std::move(inputs));
    }
    return tape.apply(ops::batch_norm(params, norms.collect != nullptr ? &(*norms.collect)[norm.index] : nullptr),
                      std::move(inputs));
  }
};

Var VideoResNet::pooled(Tape& tape, std::span<const Var> theta, const Var& clip, const NormPass& norm) const {
  if (theta.size() < specs_.size()) fail("model", "expected {} parameters, got {}", specs_.size(), theta.size());
  if (norm.running != nullptr && norm.running->size() != norms_.size())
    fail("model", "running statistics of {} layers, the model has {}", norm.running->size(), norms_.size());
  if (norm.collect != nullptr) norm.collect->assign(norms_.size(), {});
  const Pass pass{tape, theta, norm};
  Var x = clip;
  for (const ConvNorm& layer : stem_) x = pass(layer, x);
  for (const Block& block : blocks_) {
    const Var shortcut = block.downsample ? pass(*block.downsample, x) : x;
    for (std::size_t i = 0; i + 1 < block.path.size(); ++i) x = pass(block.path[i], x);
    x = pass(block.path.back(), x, shortcut);
  }
  return tape.apply(ops::global_avg_pool(), {x});
}

Var VideoResNet::logits(Tape& tape, std::span<const Var> theta, const Var& clip, const NormPass& norm) const {
  if (!fc_) fail("model", "the model has no fc");
  return tape.apply(ops::linear(), {pooled(tape, theta, clip, norm), theta[*fc_], theta[*fc_ + 1]});
}

}  // namespace mcn
