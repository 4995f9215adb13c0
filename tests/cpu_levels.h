// The cpu backend, once for each level of the instruction set that this processor has.
#pragma once

#include <memory>
#include <vector>

#include "kernels/backend.h"

namespace mcn::test {

/// The highest first.
inline const std::vector<std::unique_ptr<Backend>>& cpu_of_every_level() {
  static const auto backends = [] {
    std::vector<std::unique_ptr<Backend>> made;
    for (const std::string& level : cpu_levels()) made.push_back(make_cpu_backend(level));
    return made;
  }();
  return backends;
}

}  // namespace mcn::test
