// The harness of the operators: engine/gradcheck's checks as assertions, over its small cases and the layers of the
// real network.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "engine/gradcheck.h"

namespace mcn::test {

inline constexpr std::uint64_t seed = 20210801;

/// One assertion a row.
void require_ok(const std::vector<GradcheckRow>& rows);

/// The rules whose rows are not ok.
std::set<std::string> flagged(const std::vector<GradcheckRow>& rows);

/// The convolutions of R(2+1)D-18 on a few positions, with their real kernels, strides, paddings and odd channels.
std::vector<GradcheckCase> layer_convolutions();
/// Its batch normalisations, and the heads of the meta-contrastive network at their real widths.
std::vector<GradcheckCase> layer_others();
/// Shapes that the network has not: odd extents, extents of one, odd channels.
std::vector<GradcheckCase> odd_shapes();

/// A case on a backend, behind guard zones, in both dtypes: equal to `ref`, and the same bits whatever runs beside or
/// before what: simt in each order of a block's threads, the others with several numbers of threads; cpu on every level
/// that the processor has.
void compare_with_ref(const std::string& device, const GradcheckCase& c);

}  // namespace mcn::test
