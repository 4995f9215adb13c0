// Tests of a device that most machines lack.
#pragma once

#include <string>

#include "engine/device.h"
#include "tests/catch.h"

namespace mcn::test {

/// True if the device can be opened. If not, the test case is reported as skipped, with the reason, and is to return.
/// For test cases about that device alone.
inline bool device_here(const std::string& name) {
  const std::string fault = device_fault(name);
  if (fault.empty()) return true;
  MCN_SKIPPED(fault);
  return false;
}

}  // namespace mcn::test
