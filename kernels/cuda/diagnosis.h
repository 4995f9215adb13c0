// Why a GPU cannot be used, in a sentence that says what to do: plain facts in, words out, so that it is tested where
// there is no GPU.
#pragma once

#include <fmt/ranges.h>

#include <string>
#include <vector>

namespace mcn {

/// What CUDA's runtime says of a machine. Versions as CUDA writes them: 13000 is 13.0; 0: there is no driver.
struct GpuProbe {
  int driver_version = 0, runtime_version = 0;
  int count = 0, index = 0;    ///< GPUs there are; the one asked for
  std::string error;           ///< CUDA's own words where counting failed; empty if it did not
  int capability = 0;          ///< of the GPU asked for: 90 is sm_90
  std::vector<int> built_for;  ///< capabilities that the build has machine code for
  bool has_image = true;       ///< is there code that this GPU runs?
};

/// Empty if nothing is wrong.
inline std::string gpu_fault(const GpuProbe& p) {
  const auto version = [](int v) { return fmt::format("{}.{}", v / 1000, v % 1000 / 10); };
  if (p.driver_version == 0) return "no NVIDIA driver is installed";
  if (p.driver_version / 1000 < p.runtime_version / 1000)
    return fmt::format("the NVIDIA driver is too old: it supports CUDA {}, this build needs {}; a newer driver helps",
                       version(p.driver_version), version(p.runtime_version));
  if (!p.error.empty()) return "no usable GPU: " + p.error;
  if (p.count == 0) return "no GPU is found; CUDA_VISIBLE_DEVICES may hide it";
  if (p.index >= p.count)
    return fmt::format("cuda:{} asked for, but there {} {} GPU{}, counted from 0", p.index, p.count == 1 ? "is" : "are",
                       p.count, p.count == 1 ? "" : "s");
  if (!p.has_image)
    return fmt::format("no kernel image for sm_{}: built for sm_{}; configure with -DMCN_CUDA_ARCHITECTURES={}",
                       p.capability, fmt::join(p.built_for, ", sm_"), p.capability);
  return {};
}

}  // namespace mcn
