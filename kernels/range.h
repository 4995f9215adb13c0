// Named ranges of the work: what Nsight Systems draws (NVTX, domain "mcn"), and where an error is said to have come up.
#pragma once

#include <string>
#include <string_view>

namespace mcn {

/// From its construction to its destruction, on this thread; ranges nest. docs/profile.md lists them. Cheap: some tens
/// of nanoseconds while no profiler listens.
class Range {
 public:
  explicit Range(std::string_view name);
  ~Range();
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;

 private:
  int exceptions_;  // on their way at construction
};

/// The ranges that the latest exception on this thread left, from the outermost: "iteration 3 > outer step > backward >
/// conv3d". Empty if it left none. A device works later than it is called: this is where its error was noticed.
std::string failed_range();

/// Is this build's NVTX there? Without the header of the CUDA toolkit ranges serve errors alone.
bool has_nvtx();

}  // namespace mcn
