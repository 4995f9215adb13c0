// /proc/meminfo, the files of the control groups, and memory that is kept.
#include "engine/host_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <new>
#include <optional>

#include "kernels/error.h"

namespace mcn {
namespace {

// The number after `key` at the start of a line; with an empty key the file's first word. None for "max" and the like.
std::optional<std::size_t> number_in(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string word; file >> word;) {
    if (!key.empty()) {
      const bool found = word == key;
      std::string rest;
      if (found) file >> word;
      std::getline(file, rest);
      if (!found) continue;
    }
    std::size_t value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error == std::errc() && end == word.data() + word.size()) return value;
    return {};
  }
  return {};
}

struct GroupFiles {
  const char *limit, *usage, *cache;
};

// A group's limits and those of all groups that it is in: `path` from the hierarchy's mount upwards. In a container the
// path may be one of the host's, which is not there; the mount's top is the container's own group then.
void apply_limits(HostMemory& memory, const std::string& mount, std::string path, const GroupFiles& files) {
  for (;; path.resize(path.find_last_of('/'))) {
    while (path.ends_with('/')) path.pop_back();
    const std::string folder = mount + path + "/";
    const auto limit = number_in(folder + files.limit, "");
    const auto usage = number_in(folder + files.usage, "");
    if (limit && usage) {
      const std::size_t cache = number_in(folder + "memory.stat", files.cache).value_or(0);
      const std::size_t held = *usage - std::min(*usage, cache);
      memory.total = std::min(memory.total, *limit);
      memory.available = std::min(memory.available, *limit - std::min(*limit, held));
    }
    if (path.empty()) return;
  }
}

}  // namespace

HostMemory host_memory(const std::string& root) {
  const std::string meminfo = root + "/proc/meminfo";
  const auto total = number_in(meminfo, "MemTotal:");
  const auto available = number_in(meminfo, "MemAvailable:");
  if (!total || !available)
    fail<DeviceError>("memory", "/proc/meminfo does not say how much memory there is and how much is available");
  HostMemory memory{*total * 1024, *available * 1024};
  std::ifstream groups(root + "/proc/self/cgroup");
  // HIERARCHY:CONTROLLERS:PATH; v2 has no controllers.
  for (std::string line; std::getline(groups, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string path = line.substr(second + 1);
    if (controllers == ",,")
      apply_limits(memory, root + "/sys/fs/cgroup", path, {"memory.max", "memory.current", "inactive_file"});
    else if (controllers.find(",memory,") != std::string::npos)
      apply_limits(memory, root + "/sys/fs/cgroup/memory", path,
                   {"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"});
  }
  return memory;
}

MemoryReserve::MemoryReserve(std::size_t bytes) {
  constexpr std::size_t least = std::size_t{1} << 16;
  for (; bytes >= least; bytes /= 2) {
    void* const memory =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) continue;
    memory_ = memory;
    bytes_ = bytes;
    return;
  }
}

void MemoryReserve::release() noexcept {
  if (memory_ != nullptr) munmap(memory_, bytes_);
  memory_ = nullptr;
  bytes_ = 0;
}

namespace {

std::atomic<void*> memory_for_destructors{nullptr};
std::atomic<bool> run_out{false};

void give_memory_back() {
  void* const kept = memory_for_destructors.exchange(nullptr);
  if (kept == nullptr) throw std::bad_alloc();
  run_out = true;
  std::free(kept);
}

}  // namespace

void keep_memory_for_destructors() {
  if (void* const before = memory_for_destructors.exchange(std::malloc(std::size_t{1} << 20))) std::free(before);
  std::set_new_handler(give_memory_back);
}

bool memory_has_run_out() noexcept { return run_out; }

[[gnu::noinline]] void grow_stack() {
  std::array<volatile char, std::size_t{512} << 10> room;
  constexpr std::size_t page = 4096;
  // Downwards, as a stack grows.
  for (std::size_t at = room.size(); at > 0; at -= page) room[at - 1] = 0;
}

std::size_t resident_memory(const std::string& root) {
  return number_in(root + "/proc/self/status", "VmRSS:").value_or(0) * 1024;
}

}  // namespace mcn
