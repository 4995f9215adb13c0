// The table of devices.
#include "engine/device.h"

#include <fmt/ranges.h>

#include <map>
#include <mutex>

namespace mcn {
namespace {

struct Device {
  const char* name;
  std::unique_ptr<Backend> (*make)();
};

constexpr Device devices[] = {{"cpu", make_cpu_backend}, {"ref", make_ref_backend}};

}  // namespace

Backend& open_device(std::string_view name) {
  static std::mutex mutex;
  // Never destroyed: tensors in other statics may outlive this function's.
  static auto& open = *new std::map<std::string, std::unique_ptr<Backend>, std::less<>>;
  const std::lock_guard lock(mutex);
  if (const auto found = open.find(name); found != open.end()) return *found->second;
  for (const Device& device : devices)
    if (name == device.name) return *open.emplace(device.name, device.make()).first->second;
  fail("device", "expected one of {}, got \"{}\"", fmt::join(device_names(), ", "), name);
}

std::vector<std::string> device_names() {
  std::vector<std::string> names;
  for (const Device& device : devices) names.emplace_back(device.name);
  return names;
}

}  // namespace mcn
