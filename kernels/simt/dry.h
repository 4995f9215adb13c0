// The dry mode of the simt layer. Apart from runtime.h, for programs that have nothing to do with CUDA's words.
#pragma once

#include <cstddef>

namespace mcn::simt {

/// In dry mode no kernel and no copy is executed: launches are noted, device memory is reserved and never touched (so
/// there may be more of it than the machine has), and what a copy brings to the host is zeros. For plans of what a
/// program would launch and hold. Waits for all streams first, and forgets the launches and the peak noted so far.
void set_dry(bool dry);

/// Most device memory in use at a time since set_dry(): kernels' own scratch included. In dry mode streams do not lag
/// behind, so that memory counts as free where a GPU would have it free, too.
std::size_t memory_peak();

}  // namespace mcn::simt
