// S3D, layer by layer.
#include <fmt/format.h>

#include <functional>

#include "models/archs.h"

namespace mcn {
namespace {

class S3d final : public Backbone {
 public:
  explicit S3d(const BackboneConfig& config) : Backbone(config), width_(config.width), channels_(3) {
    const PoolParams spatial_pool{{1, 3, 3}, {1, 2, 2}, {0, 1, 1}};
    add_separable(64, 7, 2);
    add_pool(spatial_pool);
    add_pointwise(64);
    add_separable(192, 3, 1);
    add_pool(spatial_pool);
    add_inception({64, 96, 128, 16, 32, 32});
    add_inception({128, 128, 192, 32, 96, 64});
    add_pool({{3, 3, 3}, {2, 2, 2}, {1, 1, 1}});
    add_inception({192, 96, 208, 16, 48, 64});
    add_inception({160, 112, 224, 24, 64, 64});
    add_inception({128, 128, 256, 24, 64, 64});
    add_inception({112, 144, 288, 32, 64, 64});
    add_inception({256, 160, 320, 32, 128, 128});
    add_pool({{2, 2, 2}, {2, 2, 2}, {0, 0, 0}});
    add_inception({256, 160, 320, 32, 128, 128});
    add_inception({384, 192, 384, 48, 128, 128});
    std::optional<Linear> classifier;
    // torchvision's 1x1x1 convolution of what the windows leave, then the mean, is that of the mean.
    if (config.classes > 0) classifier = layers().linear("classifier.1", {config.classes, 1, 1, 1, channels_}, 0.01);
    set_output(channels_, classifier);
  }

 private:
  using Step = std::function<Var(const Pass&, const Var&)>;
  using Chain = std::vector<ConvNorm>;

  /// Channels of an inception block: branch 0's, those between the convolutions and at the end of branches 1 and 2, and
  /// branch 3's.
  struct Branches {
    std::int64_t out0, mid1, out1, mid2, out2, out3;
  };

  static Var run_chain(const Chain& chain, const Pass& pass, Var x) {
    for (const ConvNorm& layer : chain) x = layer(pass, x);
    return x;
  }
  [[nodiscard]] std::int64_t scaled(std::int64_t channels) const { return scaled_channels(channels, width_); }
  [[nodiscard]] std::string next_name() const { return fmt::format("features.{}", steps_.size()); }

  ConvNorm conv_norm(const std::string& name, const Layers::ConvConfig& conv) {
    return layers().conv_norm(name + ".0", conv, name + ".1", {.relu = true, .eps = 1e-3});
  }
  ConvNorm pointwise(const std::string& name, std::int64_t in, std::int64_t out) {
    return conv_norm(name, {.in = in, .out = out});
  }
  // A convolution over space, then one over time.
  Chain separable(const std::string& name, std::int64_t in, std::int64_t out, std::int64_t kernel,
                  std::int64_t stride) {
    const std::int64_t padding = kernel / 2;
    return {
        conv_norm(name + ".0", {.in = in,
                                .out = out,
                                .kernel = {1, kernel, kernel},
                                .stride = {1, stride, stride},
                                .padding = {0, padding, padding}}),
        conv_norm(
            name + ".1",
            {.in = out, .out = out, .kernel = {kernel, 1, 1}, .stride = {stride, 1, 1}, .padding = {padding, 0, 0}})};
  }

  void add_chain(Chain chain) {
    steps_.emplace_back(
        [chain = std::move(chain)](const Pass& pass, const Var& x) { return run_chain(chain, pass, x); });
  }
  void add_separable(std::int64_t out, std::int64_t kernel, std::int64_t stride) {
    add_chain(separable(next_name(), channels_, scaled(out), kernel, stride));
    channels_ = scaled(out);
  }
  void add_pointwise(std::int64_t out) {
    add_chain({pointwise(next_name(), channels_, scaled(out))});
    channels_ = scaled(out);
  }
  void add_pool(const PoolParams& params) {
    steps_.emplace_back([params](const Pass& pass, const Var& x) { return max_pool(pass, params, x); });
  }
  void add_inception(const Branches& published) {
    const std::string name = next_name();
    const auto pointwise_then_separable = [&](const std::string& branch, std::int64_t mid, std::int64_t out) {
      Chain chain{pointwise(branch + ".0", channels_, mid)};
      for (const ConvNorm& layer : separable(branch + ".1", mid, out, 3, 1)) chain.push_back(layer);
      return chain;
    };
    const Branches b{scaled(published.out0), scaled(published.mid1), scaled(published.out1),
                     scaled(published.mid2), scaled(published.out2), scaled(published.out3)};
    std::vector<Chain> branches;
    branches.push_back({pointwise(name + ".branch0", channels_, b.out0)});
    branches.push_back(pointwise_then_separable(name + ".branch1", b.mid1, b.out1));
    branches.push_back(pointwise_then_separable(name + ".branch2", b.mid2, b.out2));
    branches.push_back({pointwise(name + ".branch3.1", channels_, b.out3)});
    channels_ = b.out0 + b.out1 + b.out2 + b.out3;
    steps_.emplace_back([branches = std::move(branches)](const Pass& pass, const Var& x) {
      const PoolParams window{{3, 3, 3}, {1, 1, 1}, {1, 1, 1}};
      std::vector<Var> parts;
      for (const Chain& chain : branches) {
        const bool last = &chain == &branches.back();
        parts.push_back(run_chain(chain, pass, last ? max_pool(pass, window, x) : x));
      }
      return pass.tape.apply(ops::concat_channels(), std::move(parts));
    });
  }

  [[nodiscard]] Var run(const Pass& pass, const Var& clip) const override {
    Var x = clip;
    for (const Step& step : steps_) x = step(pass, x);
    x = avg_pool(pass, {{2, 7, 7}, {1, 1, 1}, {0, 0, 0}}, x);
    return pass.tape.apply(ops::global_avg_pool(), {x});
  }

  double width_;
  std::int64_t channels_;  // of the last layer until now
  std::vector<Step> steps_;
};

}  // namespace

std::shared_ptr<const Backbone> make_s3d(const BackboneConfig& config) { return std::make_shared<const S3d>(config); }

}  // namespace mcn
