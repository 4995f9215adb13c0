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

/// Memory that is kept for what must be done when there is no more, such as a checkpoint. It is never touched: what it
/// takes is room of the process's address space (ulimit -v), or of what the system has promised.
class MemoryReserve {
 public:
  /// Keeps less, or nothing, where there is too little.
  explicit MemoryReserve(std::size_t bytes);
  ~MemoryReserve() { release(); }
  MemoryReserve(const MemoryReserve&) = delete;
  MemoryReserve& operator=(const MemoryReserve&) = delete;

  void release() noexcept;
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  void* memory_ = nullptr;
  std::size_t bytes_ = 0;
};

/// From here on, where operator new finds no memory for the first time, 1 MiB that is kept for it is given back, and it
/// tries again: some destructors allocate (nlohmann::json's), and there an exception would end the process.
void keep_memory_for_destructors();
/// Whether that memory has been given back: whoever works for long should end the work soon.
bool memory_has_run_out() noexcept;

/// Lets the main thread's stack have 512 KiB at once. The system grows it as it is used, and ends the process where
/// there is no room for that.
void grow_stack();

}  // namespace mcn
