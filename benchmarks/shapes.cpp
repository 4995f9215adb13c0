// The layers of networks, as a walk over the models meets them.
#include "benchmarks/shapes.h"

#include <algorithm>

#include "models/walk.h"

namespace mcn::shapes {
namespace {

struct Network {
  BackboneConfig config;
  Shape clips;
};

Network r2plus1d_18(std::int64_t batch, std::int64_t frames, std::int64_t size) {
  return {{.arch = "r2plus1d_18"}, {batch, frames, size, size, 3}};
}
Network small() { return {{.arch = "r2plus1d_10", .width = 0.25}, {48, 8, 48, 48, 3}}; }

// Counts a case that is there already, and appends any other.
template <class Case, class Same>
void count(std::vector<Case>& cases, Case one, Same&& same) {
  const auto found = std::ranges::find_if(cases, [&](const Case& other) { return same(one, other); });
  if (found == cases.end())
    cases.push_back(std::move(one));
  else
    ++found->count;
}

std::vector<ConvCase> convs_of(const Network& network) {
  std::vector<ConvCase> cases;
  walk(*make_backbone(network.config), network.clips, {.conv = [&](const ConvLayer& layer) {
    count(cases, {layer.name, layer.x, layer.w, layer.params},
          [](const ConvCase& a, const ConvCase& b) { return a.x == b.x && a.w == b.w && a.params == b.params; });
  }});
  return cases;
}

std::vector<NormCase> norms_of(const Network& network) {
  std::vector<NormCase> cases;
  walk(*make_backbone(network.config), network.clips, {.norm = [&](const NormLayer& layer) {
    count(cases, {layer.name, layer.x.rows(), layer.x.c(), layer.relu, layer.residual},
          [](const NormCase& a, const NormCase& b) {
            return a.rows == b.rows && a.channels == b.channels && a.relu == b.relu && a.residual == b.residual;
          });
  }});
  return cases;
}

}  // namespace

std::vector<ConvCase> r2plus1d_18_convs(std::int64_t batch, std::int64_t frames, std::int64_t size) {
  return convs_of(r2plus1d_18(batch, frames, size));
}
std::vector<NormCase> r2plus1d_18_norms(std::int64_t batch, std::int64_t frames, std::int64_t size) {
  return norms_of(r2plus1d_18(batch, frames, size));
}
std::vector<ConvCase> small_convs() { return convs_of(small()); }
std::vector<NormCase> small_norms() { return norms_of(small()); }

}  // namespace mcn::shapes
