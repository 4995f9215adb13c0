// Checks of whole models: gradient, Hessian product and meta-gradients against central differences in float64.
#pragma once

#include "engine/gradcheck.h"

namespace mcn {

/// Rows for R(2+1)D and R3D with both branches of the objective, small: "gradient", "hessian", "symmetry",
/// "meta-gradient K=1" to 3 with a rate for every inner step and group of parameters, and "inner rates K=1" to 3, the
/// derivatives by these. float64 only: differences say nothing in float32.
std::vector<GradcheckRow> gradcheck_models(Backend& backend, std::uint64_t seed);

}  // namespace mcn
