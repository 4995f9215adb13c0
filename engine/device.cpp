// The table of devices.
#include "engine/device.h"

#include <fmt/ranges.h>

#include <charconv>
#include <map>
#include <mutex>
#include <utility>

#include "engine/host_memory.h"

namespace mcn {
namespace {

struct Device {
  const char* name;
  std::unique_ptr<Backend> (*make)(int index);  // throws DeviceError where the machine or the build has none
  bool many;                                    // "name:INDEX" is a device too
  const char* description;
  const char* build;  // empty: not in this build
};

#ifndef MCN_HAS_CUDA
std::unique_ptr<Backend> make_cuda_backend_or_say_why(int) {
  fail<DeviceError>("cuda", "this build has no CUDA; configure it with the preset cuda, which needs nvcc");
}
#define MCN_CUDA_BUILD ""
#else
constexpr auto make_cuda_backend_or_say_why = make_cuda_backend;
#endif

#ifndef MCN_HAS_SIMT
std::unique_ptr<Backend> make_simt_backend_or_say_why() {
  fail<DeviceError>("simt", "this build has no simt; configure it with -DMCN_SIMT=ON");
}
#define MCN_SIMT_BUILD ""
#else
#define MCN_SIMT_BUILD "portable"
constexpr auto make_simt_backend_or_say_why = make_simt_backend;
#endif

template <std::unique_ptr<Backend> (*make)()>
std::unique_ptr<Backend> only(int) {
  return make();
}

constexpr Device devices[] = {
    {"cpu", only<make_cpu_backend>, false, "vectorized kernels on this machine's processor (default)", MCN_CPU_BUILD},
    {"ref", only<make_ref_backend>, false, "plain loops on one thread: the oracle, slow", "portable"},
    {"cuda", make_cuda_backend_or_say_why, true, "hand-written CUDA kernels on an NVIDIA GPU: the first, or cuda:INDEX",
     MCN_CUDA_BUILD},
    {"simt", only<make_simt_backend_or_say_why>, false, "the CUDA kernels on the CPU, for testing: slow",
     MCN_SIMT_BUILD}};

// A device and its index: "cuda:1" is the second of them.
std::pair<const Device&, int> find_device(std::string_view name) {
  const std::size_t colon = name.find(':');
  for (const Device& device : devices) {
    if (name.substr(0, colon) != device.name) continue;
    if (colon == std::string_view::npos) return {device, 0};
    const std::string_view digits = name.substr(colon + 1);
    int index = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
    if (device.many && error == std::errc() && end == digits.data() + digits.size() && index >= 0)
      return {device, index};
  }
  fail("device", "expected one of {} or cuda:INDEX, got \"{}\"", fmt::join(device_names(), ", "), name);
}

}  // namespace

Backend& open_device(std::string_view name) {
  static std::mutex mutex;
  // Never destroyed: tensors in other statics may outlive this function's.
  static auto& open = *new std::map<std::pair<std::string_view, int>, std::unique_ptr<Backend>>;
  const std::lock_guard lock(mutex);
  const auto [device, index] = find_device(name);
  std::unique_ptr<Backend>& backend = open[{device.name, index}];
  if (backend == nullptr) backend = device.make(index);
  return *backend;
}

std::vector<std::string> device_names() {
  std::vector<std::string> names;
  for (const Device& device : devices) names.emplace_back(device.name);
  return names;
}

std::string device_description(std::string_view name) { return find_device(name).first.description; }

std::string device_build(std::string_view name) { return find_device(name).first.build; }

std::string device_fault(std::string_view name) {
  try {
    open_device(name);
    return {};
  } catch (const DeviceError& e) {
    return e.what();
  }
}

std::size_t free_memory(Backend& backend) {
  if (const auto own = backend.free_memory()) return *own;
  return host_memory().available;
}

}  // namespace mcn
