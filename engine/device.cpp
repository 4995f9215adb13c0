// The table of devices.
#include "engine/device.h"

#include <fmt/ranges.h>

#include <map>
#include <mutex>

namespace mcn {
namespace {

struct Device {
  const char* name;
  std::unique_ptr<Backend> (*make)();  // throws DeviceError where the machine or the build has none
  const char* description;
};

#ifndef MCN_HAS_CUDA
std::unique_ptr<Backend> no_cuda() {
  fail<DeviceError>("cuda", "this build has no CUDA; configure it with the preset cuda, which needs nvcc");
}
#endif

constexpr Device devices[] = {
    {"cpu", make_cpu_backend, "vectorised kernels and OpenMP on this machine's processor (default)"},
    {"ref", make_ref_backend, "plain loops on one thread: the oracle, slow"},
#ifdef MCN_HAS_CUDA
    {"cuda", make_cuda_backend, "hand-written CUDA kernels on the first NVIDIA GPU"},
#else
    {"cuda", no_cuda, "hand-written CUDA kernels on the first NVIDIA GPU"},
#endif
    {"simt", make_simt_backend, "the CUDA kernels on the CPU, for testing: slow"}};

const Device& find_device(std::string_view name) {
  for (const Device& device : devices)
    if (name == device.name) return device;
  fail("device", "expected one of {}, got \"{}\"", fmt::join(device_names(), ", "), name);
}

}  // namespace

Backend& open_device(std::string_view name) {
  static std::mutex mutex;
  // Never destroyed: tensors in other statics may outlive this function's.
  static auto& open = *new std::map<std::string, std::unique_ptr<Backend>, std::less<>>;
  const std::lock_guard lock(mutex);
  if (const auto found = open.find(name); found != open.end()) return *found->second;
  const Device& device = find_device(name);
  return *open.emplace(device.name, device.make()).first->second;
}

std::vector<std::string> device_names() {
  std::vector<std::string> names;
  for (const Device& device : devices) names.emplace_back(device.name);
  return names;
}

std::string device_description(std::string_view name) { return find_device(name).description; }

std::string device_fault(std::string_view name) {
  try {
    open_device(name);
    return {};
  } catch (const DeviceError& e) {
    return e.what();
  }
}

}  // namespace mcn
