// Nearest neighbours among features.
#include "meta/retrieval.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/error.h"

namespace mcn {
namespace {

std::vector<float> normalised(const Embedding& e) {
  std::vector<float> out(e.values);
  const auto features = static_cast<std::size_t>(e.features);
  for (std::size_t row = 0; row < e.labels.size(); ++row) {
    const std::span<float> v(out.data() + row * features, features);
    double squares = 0;
    for (const float x : v) squares += static_cast<double>(x) * x;
    const auto scale = static_cast<float>(1 / std::sqrt(std::max(squares, 1e-24)));
    for (float& x : v) x *= scale;
  }
  return out;
}

}  // namespace

std::vector<double> retrieval(const Embedding& gallery, const Embedding& queries, std::span<const int> ks) {
  if (gallery.labels.empty() || queries.labels.empty())
    fail("retrieval", "{} gallery videos and {} queries", gallery.labels.size(), queries.labels.size());
  if (gallery.features != queries.features)
    fail("retrieval", "gallery has {} features, queries {}", gallery.features, queries.features);
  const std::vector<float> g = normalised(gallery);
  const std::vector<float> q = normalised(queries);
  const auto features = static_cast<std::size_t>(gallery.features);
  const auto rows = gallery.labels.size();
  std::vector<double> hits(ks.size(), 0);
  std::vector<std::size_t> order(rows);
  std::vector<double> similarity(rows);
  for (std::size_t i = 0; i < queries.labels.size(); ++i) {
    for (std::size_t j = 0; j < rows; ++j)
      similarity[j] = std::inner_product(q.begin() + static_cast<std::ptrdiff_t>(i * features),
                                         q.begin() + static_cast<std::ptrdiff_t>((i + 1) * features),
                                         g.begin() + static_cast<std::ptrdiff_t>(j * features), 0.0);
    std::iota(order.begin(), order.end(), std::size_t{0});
    // Ties by row, so that the ranking is one and the same everywhere.
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return similarity[a] != similarity[b] ? similarity[a] > similarity[b] : a < b;
    });
    const auto hit =
        std::find_if(order.begin(), order.end(), [&](std::size_t j) { return gallery.labels[j] == queries.labels[i]; });
    const auto rank = hit - order.begin();
    for (std::size_t k = 0; k < ks.size(); ++k)
      if (rank < ks[k]) hits[k] += 1;
  }
  for (double& h : hits) h /= static_cast<double>(queries.labels.size());
  return hits;
}

}  // namespace mcn
