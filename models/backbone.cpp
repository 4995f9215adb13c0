// The table of architectures, and what all of them share.
#include "models/backbone.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "models/archs.h"

namespace mcn {
namespace {

struct Arch {
  const char* name;
  std::shared_ptr<const Backbone> (*make)(const BackboneConfig&);
};

constexpr Arch archs[] = {
    {"r2plus1d_18",
     [](const BackboneConfig& c) { return make_video_resnet(c, {.factored = true, .blocks_a_stage = 2}); }},
    {"r2plus1d_10",
     [](const BackboneConfig& c) { return make_video_resnet(c, {.factored = true, .blocks_a_stage = 1}); }},
    {"r3d_18", [](const BackboneConfig& c) { return make_video_resnet(c, {.factored = false, .blocks_a_stage = 2}); }},
    {"s3d", make_s3d},
};

}  // namespace

std::vector<std::string> backbone_archs() {
  std::vector<std::string> names;
  for (const Arch& arch : archs) names.emplace_back(arch.name);
  return names;
}

std::shared_ptr<const Backbone> make_backbone(const BackboneConfig& config) {
  const auto* arch = std::ranges::find(archs, config.arch, &Arch::name);
  if (arch == std::end(archs))
    fail("model", "expected one of {}, got \"{}\"", fmt::join(backbone_archs(), ", "), config.arch);
  if (!(config.width > 0 && config.width <= 16)) fail("model", "width must be in (0, 16], got {}", config.width);
  return arch->make(config);
}

std::int64_t scaled_channels(std::int64_t channels, double width) {
  return std::max<std::int64_t>(1, std::llround(static_cast<double>(channels) * width));
}

Var Backbone::pooled(Tape& tape, std::span<const Var> theta, const Var& clip, const NormPass& norm) const {
  if (theta.size() < parameters().size())
    fail("model", "expected {} parameters, got {}", parameters().size(), theta.size());
  if (norm.running != nullptr && norm.running->size() != norms().size())
    fail("model", "running statistics of {} layers, the model has {}", norm.running->size(), norms().size());
  if (norm.collect != nullptr) norm.collect->assign(norms().size(), {});
  return run({tape, theta, norm}, clip);
}

Var Backbone::logits(Tape& tape, std::span<const Var> theta, const Var& clip, const NormPass& norm) const {
  if (!classifier_) fail("model", "the model has no classifier");
  const Var features = pooled(tape, theta, clip, norm);
  return (*classifier_)({tape, theta, norm}, features);
}

}  // namespace mcn
