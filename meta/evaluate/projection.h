// A map of features in two dimensions.
#pragma once

#include <array>
#include <vector>

#include "meta/evaluate/embedding.h"

namespace mcn {

/// Principal component analysis of rows scaled to unit length, as retrieval compares them.
struct Projection {
  std::vector<std::array<double, 2>> points;  ///< of each row: its coordinates on the first two components
  std::array<double, 2> variance{};           ///< share of the whole variance that each of these has, in [0, 1]
};

/// The coordinate that is largest in magnitude is positive on both axes. Takes rows cubed operations: for some hundreds
/// of rows. Where all rows are equal, everything is 0. UsageError without rows, NonFiniteError for a feature that is
/// not finite.
Projection principal_plane(const Embedding& embedding);

}  // namespace mcn
