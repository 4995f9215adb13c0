// The devices that this build can compute on, by the names that --device takes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/backend.h"

namespace mcn {

/// The backend of a device, made at the first call and kept until the process ends. UsageError for an unknown name.
Backend& open_device(std::string_view name);
std::vector<std::string> device_names();
/// One line on a device. UsageError for an unknown name.
std::string device_description(std::string_view name);
/// What this build compiled a device for: instruction sets, or GPU architectures. Empty if the build is without it.
std::string device_build(std::string_view name);
/// Why a device cannot be opened here; empty if it can.
std::string device_fault(std::string_view name);
/// Bytes that a device can still hand out: its own memory's, or what host_memory() says is available.
std::size_t free_memory(Backend& backend);

}  // namespace mcn
