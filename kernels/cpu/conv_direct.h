// Convolution kernels of our own: indirect matrix products over channels-last rows, for float and double, any kernel,
// stride and padding. Results do not depend on the number of threads.
#pragma once

#include <span>

#include "kernels/conv.h"
#include "kernels/cpu/allocator.h"

namespace mcn::cpu {

/// y (+)= sum of a * b, a: x, b: w
template <class T>
void direct_fprop(CachingAllocator&, const Conv3dParams&, std::span<const ConvProduct>, View y, Mode);
/// x_bar (+)= sum of dgrad(a, b), a: y_bar, b: w
template <class T>
void direct_dgrad(CachingAllocator&, const Conv3dParams&, std::span<const ConvProduct>, View x_bar, Mode);
/// w_bar (+)= sum of wgrad(a, b), a: x, b: y_bar
template <class T>
void direct_wgrad(CachingAllocator&, const Conv3dParams&, std::span<const ConvProduct>, View w_bar, Mode);

}  // namespace mcn::cpu
