// Evaluation by retrieval (the protocol of IIC): every test video looks for its nearest training videos by the cosine
// of their features; R@k is the share of test videos of whose k nearest any has the same class.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace mcn {

/// Features of videos: rows x features, float32, one row a video.
struct Embedding {
  std::int64_t features = 0;
  std::vector<float> values;
  std::vector<std::int64_t> labels;
};

/// R@k in [0, 1] for every k. UsageError if either set is empty or their features differ in number.
std::vector<double> retrieval(const Embedding& gallery, const Embedding& queries, std::span<const int> ks);

}  // namespace mcn
