// Switches the simt layer's dry mode.
#include "engine/dry_device.h"

#ifdef MCN_HAS_SIMT

#include "kernels/simt/dry.h"

namespace mcn {

DryDevice::DryDevice() {
  simt::set_dry(true);
  backend_ = make_simt_backend();
}

DryDevice::~DryDevice() {
  backend_.reset();
  simt::set_dry(false);
}

std::size_t DryDevice::peak() const { return simt::memory_peak(); }

bool DryDevice::in_this_build() { return true; }

}  // namespace mcn

#else

#include "kernels/error.h"

namespace mcn {

DryDevice::DryDevice() {
  fail<DeviceError>("forecast", "this build has no simt, which counts memory; configure it with -DMCN_SIMT=ON");
}
DryDevice::~DryDevice() = default;
std::size_t DryDevice::peak() const { return 0; }
bool DryDevice::in_this_build() { return false; }

}  // namespace mcn

#endif
