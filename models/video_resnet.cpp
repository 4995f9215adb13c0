// R(2+1)D and R3D, layer by layer.
#include <fmt/format.h>

#include "models/archs.h"

namespace mcn {
namespace {

class VideoResNet final : public Backbone {
 public:
  VideoResNet(const BackboneConfig& config, const VideoResNetKind& kind) : Backbone(config) {
    const auto scaled = [&](std::int64_t channels) { return scaled_channels(channels, config.width); };
    const std::int64_t base = scaled(64);
    if (kind.factored) {
      const std::int64_t mid = scaled(45);
      stem_.push_back(layers().conv_norm(
          "stem.0", {.in = 3, .out = mid, .kernel = {1, 7, 7}, .stride = {1, 2, 2}, .padding = {0, 3, 3}}, "stem.1",
          {}));
      stem_.push_back(layers().conv_norm("stem.3", {.in = mid, .out = base, .kernel = {3, 1, 1}, .padding = {1, 0, 0}},
                                         "stem.4", {}));
    } else {
      stem_.push_back(layers().conv_norm(
          "stem.0", {.in = 3, .out = base, .kernel = {3, 7, 7}, .stride = {1, 2, 2}, .padding = {1, 3, 3}}, "stem.1",
          {}));
    }
    std::int64_t in = base;
    for (int stage = 1; stage <= 4; ++stage) {
      const std::int64_t out = scaled(std::int64_t{64} << (stage - 1));
      for (int block = 0; block < kind.blocks_a_stage; ++block) {
        const bool shrinks = stage > 1 && block == 0;
        add_block(fmt::format("layer{}.{}", stage, block), in, out, shrinks ? 2 : 1, kind.factored);
        in = out;
      }
    }
    std::optional<Linear> fc;
    if (config.classes > 0) fc = layers().linear("fc", {config.classes, in}, 0.01);
    set_output(in, fc);
  }

 private:
  struct Block {
    std::vector<ConvNorm> path;  // the last one's norm adds the residual, then ReLU
    std::optional<ConvNorm> downsample;
  };

  void add_block(const std::string& name, std::int64_t in, std::int64_t out, std::int64_t stride, bool factored) {
    Block block;
    // torchvision's midplanes: as many parameters as the full 3-D convolution has; shared by both of a block.
    const std::int64_t mid = (in * out * 27) / (in * 9 + 3 * out);
    const auto add_half = [&](const std::string& half, std::int64_t from, std::int64_t step) {
      if (factored) {
        const std::string conv = half + ".0";
        block.path.push_back(layers().conv_norm(
            conv + ".0", {.in = from, .out = mid, .kernel = {1, 3, 3}, .stride = {1, step, step}, .padding = {0, 1, 1}},
            conv + ".1", {}));
        block.path.push_back(layers().conv_norm(
            conv + ".3", {.in = mid, .out = out, .kernel = {3, 1, 1}, .stride = {step, 1, 1}, .padding = {1, 0, 0}},
            half + ".1", {}));
      } else {
        block.path.push_back(layers().conv_norm(
            half + ".0",
            {.in = from, .out = out, .kernel = {3, 3, 3}, .stride = {step, step, step}, .padding = {1, 1, 1}},
            half + ".1", {}));
      }
    };
    add_half(name + ".conv1", in, stride);
    add_half(name + ".conv2", out, 1);
    if (stride != 1 || in != out)
      block.downsample =
          layers().conv_norm(name + ".downsample.0", {.in = in, .out = out, .stride = {stride, stride, stride}},
                             name + ".downsample.1", {.relu = false});
    blocks_.push_back(std::move(block));
  }

  [[nodiscard]] Var run(const Pass& pass, const Var& clip) const override {
    Var x = clip;
    for (const ConvNorm& layer : stem_) x = layer(pass, x);
    for (const Block& block : blocks_) {
      const Var shortcut = block.downsample ? (*block.downsample)(pass, x) : x;
      for (std::size_t i = 0; i + 1 < block.path.size(); ++i) x = block.path[i](pass, x);
      x = block.path.back()(pass, x, shortcut);
    }
    return pass.tape.apply(ops::global_avg_pool(), {x});
  }

  std::vector<ConvNorm> stem_;
  std::vector<Block> blocks_;
};

}  // namespace

std::shared_ptr<const Backbone> make_video_resnet(const BackboneConfig& config, const VideoResNetKind& kind) {
  return std::make_shared<const VideoResNet>(config, kind);
}

}  // namespace mcn
