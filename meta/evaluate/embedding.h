// Features of videos, as the protocols of this folder take them.
#pragma once

#include <cstdint>
#include <vector>

namespace mcn {

/// rows x features, float32, one row a video, and the class of each.
struct Embedding {
  std::int64_t features = 0;
  std::vector<float> values;
  std::vector<std::int64_t> labels;

  [[nodiscard]] std::int64_t rows() const { return static_cast<std::int64_t>(labels.size()); }
  [[nodiscard]] const float* row(std::int64_t i) const { return values.data() + i * features; }
};

}  // namespace mcn
