// Own kernels beside NVIDIA's libraries, on the first GPU: what is compared, and the figures of one comparison.
#pragma once

#include <cstddef>
#include <functional>
#include <limits>
#include <string>

namespace mcn::bench {

/// The GPU and the libraries that a run was on. Clocks are the most that the GPU is set to; tools/gpu_run.sh notes
/// those of the run itself.
struct Gpu {
  std::string name;
  int major = 0, minor = 0, multiprocessors = 0;
  int clock_mhz = 0, memory_clock_mhz = 0;
  std::size_t l2_bytes = 0;
  int driver = 0, runtime = 0;  ///< 13000 is 13.0
  std::string cudnn, cublas;    ///< version; empty where there is none
};

/// A call of the backend and the peer's. A peer that was not timed has no name, a NaN for its time, and a note why.
struct Row {
  std::string family, name, number;
  double flops = 0, bytes = 0;  ///< of the call, every operand counted once
  double own_ms = std::numeric_limits<double>::quiet_NaN();
  std::string peer;
  double peer_ms = std::numeric_limits<double>::quiet_NaN();
  double error = std::numeric_limits<double>::quiet_NaN();  ///< Frobenius norm of the difference over that of the peer
  double tolerance = 0;
  bool ok = false;  ///< error <= tolerance: false for NaN. What is not ok is not timed.
  std::string note;
};

struct Settings {
  int runs = 30;           ///< of which the median is taken
  std::int64_t batch = 4;  ///< clips of the large network
  std::string filter;      ///< only rows whose "family/name/number" contains it
};

/// DeviceError if there is no usable GPU.
Gpu describe_gpu();

/// Verifies and times every row that the filter names; `done` gets them one by one.
void compare_all(const Settings&, const std::function<void(const Row&)>& done);

}  // namespace mcn::bench
