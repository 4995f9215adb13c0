// What the GPU at hand reaches at most: the rates that kernels are measured against.
#pragma once

#include <functional>

#include "benchmarks/cuda/comparison.h"

namespace mcn::bench {

/// A row each for a copy within device memory, float32 multiply-adds, and TF32 and BF16 products by mma.sync, which is
/// what the kernels use (Hopper's wgmma reaches more). The results are verified. DeviceError if there is no usable GPU.
void measure_ceilings(const Settings&, const std::function<void(const Row&)>& done);

}  // namespace mcn::bench
