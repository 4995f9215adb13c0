// Where and how exactly a subcommand computes: --device, --threads, --precision, --gemm.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "kernels/backend.h"

namespace mcn {

struct DeviceOptions {
  std::string device = "cpu";
  int threads = 0;
  Precision precision = Precision::fp32;
  GemmLibrary gemm = GemmLibrary::own;
};

/// --device and --threads.
void add_device_options(CLI::App& command, DeviceOptions& options);
/// --precision and --gemm.
void add_arithmetic_options(CLI::App& command, DeviceOptions& options);

/// The device, ready for tensors of that dtype. DeviceError if it is not here; UsageError for a precision that it, or
/// the dtype, has not.
Backend& open(const DeviceOptions& options, DType dtype);

}  // namespace mcn
