// Switches the simt layer's dry mode.
#include "engine/dry_device.h"

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

}  // namespace mcn
