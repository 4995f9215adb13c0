// How much memory the machine has for this process.
#pragma once

#include <cstddef>
#include <string>

namespace mcn {

/// Bytes. Both are what the limits of the process's control groups (cgroup v1 and v2, as of a container or a batch job)
/// leave of the machine's.
struct HostMemory {
  std::size_t total = 0;
  std::size_t available = 0;  ///< without swapping; a control group's page cache counts as available
};

/// root: a folder that holds proc/ and sys/, for tests; empty: the machine's. DeviceError if /proc/meminfo does not
/// say.
HostMemory host_memory(const std::string& root = {});

/// Bytes of memory that this process holds now (resident set size); 0 if /proc does not say.
std::size_t resident_memory(const std::string& root = {});

}  // namespace mcn
