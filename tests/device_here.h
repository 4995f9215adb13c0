// Tests of a device that most machines lack.
#pragma once

#include <string>

#include "engine/device.h"
#include "tests/catch.h"

namespace mcn::test {

/// True if the device can be opened. If not, the test is to return: it is reported as skipped, with the reason. For
/// test cases about that device alone, because a skipped one counts as neither passed nor failed.
inline bool device_here(const std::string& name) {
  const std::string fault = device_fault(name);
  if (fault.empty()) return true;
  // tests/CMakeLists.txt knows a skipped test by this text; Catch2 2 has no word for it.
  WARN("skipped: " << fault);
  return false;
}

}  // namespace mcn::test
