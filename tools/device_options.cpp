// Names and help texts of the device's options, and their order of effect.
#include "tools/device_options.h"

#include <fmt/ranges.h>

#include "engine/device.h"
#include "kernels/parallel.h"
#include "tools/choice.h"

namespace mcn {

void add_device_options(CLI::App& command, DeviceOptions& o) {
  command.add_option("--device", o.device, "where to compute, also cuda:INDEX; mcn devices says which are there")
      ->type_name(fmt::format("TEXT:{{{}}}", fmt::join(device_names(), ",")));
  command.add_option("--threads", o.threads, "number of CPU threads; 0: one for each core")->check(CLI::Range(0, 1024));
}

void add_arithmetic_options(CLI::App& command, DeviceOptions& o) {
  add_choice<Precision>(command, "--precision", o.precision,
                        {{"fp32", Precision::fp32}, {"tf32", Precision::tf32}, {"bf16", Precision::bf16}},
                        "how convolutions multiply: exactly, or on tensor cores (devices cuda and simt) with factors "
                        "rounded to 11 (tf32) or 8 (bf16) bits; sums and weights stay float32");
  add_choice<GemmLibrary>(command, "--gemm", o.gemm, {{"own", GemmLibrary::own}, {"cublas", GemmLibrary::cublas}},
                          "whose products the fully connected layers use; cublas: device cuda only");
}

Backend& open(const DeviceOptions& o, DType dtype) {
  if (o.threads > 0) set_thread_count(o.threads);
  if (dtype == DType::f64 && o.precision != Precision::fp32)
    fail("precision", "tf32 and bf16 are precisions of float32; leave --precision or --dtype f64 out");
  Backend& backend = open_device(o.device);
  backend.require_precision(o.precision);
  backend.set_gemm(o.gemm);
  return backend;
}

}  // namespace mcn
