// What a graph relies on.
#include "engine/replay.h"

namespace mcn {

std::vector<TensorPlace> places_of(const Tensors& tensors) {
  std::vector<TensorPlace> places;
  places.reserve(tensors.size());
  for (const Tensor& t : tensors) places.push_back({t.view().data, t.dtype(), t.shape()});
  return places;
}

bool all_fit(const std::vector<TensorPlace>& a, const std::vector<TensorPlace>& b) {
  return std::ranges::equal(a, b, [](const TensorPlace& x, const TensorPlace& y) { return x.fits(y); });
}

void copy_all(Backend& backend, const Tensors& from, Tensors to) {
  const std::vector<TensorPlace> sources = places_of(from), targets = places_of(to);
  if (sources.size() != targets.size()) fail("graph", "{} tensors for {}", sources.size(), targets.size());
  for (std::size_t i = 0; i < sources.size(); ++i) {
    if (!sources[i].fits(targets[i]))
      fail("graph", "tensor {} is {} {}, expected {} {}", i, name_of(sources[i].dtype), sources[i].shape.str(),
           name_of(targets[i].dtype), targets[i].shape.str());
    if (from[i]) backend.copy(from[i], to[i]);
  }
}

}  // namespace mcn
