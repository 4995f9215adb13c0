// A device on which nothing runs and everything is counted: what a program would hold, before it starts.
#pragma once

#include "kernels/backend.h"

namespace mcn {

/// The CUDA backend on the simt layer's dry mode: kernels are noted, memory is reserved and never touched, what is read
/// is zeros. One at a time, or a DeviceError where the
/// build has no simt; while it lives, nothing else may compute on the device simt.
class DryDevice {
 public:
  DryDevice();
  ~DryDevice();
  DryDevice(const DryDevice&) = delete;
  DryDevice& operator=(const DryDevice&) = delete;

  /// False where the build has no simt.
  [[nodiscard]] static bool in_this_build();

  [[nodiscard]] Backend& backend() { return *backend_; }
  /// Most bytes in use at a time, the kernels' own scratch included (backend().memory() has it without).
  [[nodiscard]] std::size_t peak() const;

 private:
  std::unique_ptr<Backend> backend_;
};

}  // namespace mcn
