// What a user reads where no GPU can be used.
#include "kernels/cuda/diagnosis.h"
#include "tests/catch.h"

namespace mcn {

TEST_CASE("a GPU that cannot be used is explained") {
  GpuProbe good;
  good.driver_version = 13000;
  good.runtime_version = 13000;
  good.count = 2;
  good.index = 1;
  good.capability = 90;
  good.built_for = {80, 90, 100};
  CHECK(gpu_fault(good).empty());
  const auto fault = [&](auto change) {
    GpuProbe p = good;
    change(p);
    return gpu_fault(p);
  };
  CHECK(fault([](GpuProbe& p) { p.driver_version = 0; }) == "no NVIDIA driver is installed");
  CHECK(fault([](GpuProbe& p) { p.driver_version = 12040; }) ==
        "the NVIDIA driver is too old: it supports CUDA 12.4, this build needs 13.0; a newer driver helps");
  CHECK(fault([](GpuProbe& p) { p.runtime_version = 13020; }).empty());  // minor versions are compatible
  CHECK(fault([](GpuProbe& p) { p.error = "system not yet initialized"; }) ==
        "no usable GPU: system not yet initialized");
  CHECK(fault([](GpuProbe& p) { p.count = 0; }) == "no GPU is found; CUDA_VISIBLE_DEVICES may hide it");
  CHECK(fault([](GpuProbe& p) { p.index = 2; }) == "cuda:2 asked for, but there are 2 GPUs, counted from 0");
  CHECK(fault([](GpuProbe& p) { p.count = 1; }) == "cuda:1 asked for, but there is 1 GPU, counted from 0");
  CHECK(fault([](GpuProbe& p) {
          p.capability = 75;
          p.has_image = false;
        }) == "no kernel image for sm_75: built for sm_80, sm_90, sm_100; configure with -DMCN_CUDA_ARCHITECTURES=75");
}

}  // namespace mcn
