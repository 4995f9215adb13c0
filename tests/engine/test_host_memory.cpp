// The machine's memory and the limits of control groups, from files as Linux writes them.
#include <filesystem>
#include <fstream>
#include <new>

#include "engine/host_memory.h"
#include "kernels/error.h"
#include "tests/catch.h"
#include "tests/temporary_folder.h"

namespace mcn {
namespace {

constexpr std::size_t mib = std::size_t{1} << 20;

struct Machine {
  Machine() { put("proc/meminfo", "MemTotal:       8388608 kB\nMemFree:  1 kB\nMemAvailable:   4194304 kB\n"); }
  void put(const std::string& name, const std::string& text) const {
    const std::filesystem::path path = folder.file(name);
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  [[nodiscard]] HostMemory memory() const { return host_memory(folder.file("")); }

  test::TemporaryFolder folder;
};

}  // namespace

TEST_CASE("without limits the machine's memory is all there is") {
  const Machine machine;
  CHECK(machine.memory().total == 8192 * mib);
  CHECK(machine.memory().available == 4096 * mib);
  machine.put("proc/self/cgroup", "0::/a\n");
  machine.put("sys/fs/cgroup/a/memory.max", "max\n");
  machine.put("sys/fs/cgroup/a/memory.current", "104857600\n");
  CHECK(machine.memory().available == 4096 * mib);
}

TEST_CASE("the tightest limit of a group and those above it counts, and its page cache is available") {
  const Machine machine;
  machine.put("proc/self/cgroup", "0::/job/step\n");
  machine.put("sys/fs/cgroup/job/step/memory.max", "2147483648\n");
  machine.put("sys/fs/cgroup/job/step/memory.current", "1073741824\n");
  machine.put("sys/fs/cgroup/job/step/memory.stat", "anon 5\ninactive_file 536870912\nactive_file 7\n");
  CHECK(machine.memory().total == 2048 * mib);
  CHECK(machine.memory().available == 1536 * mib);
  machine.put("sys/fs/cgroup/job/memory.max", "1073741824\n");
  machine.put("sys/fs/cgroup/job/memory.current", "2147483648\n");
  CHECK(machine.memory().total == 1024 * mib);
  CHECK(machine.memory().available == 0);
}

TEST_CASE("version 1 of control groups, in a container that does not see its group's path") {
  const Machine machine;
  machine.put("proc/self/cgroup", "5:devices:/x\n4:cpu,memory:/host/path\n0::/\n");
  machine.put("sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n");
  machine.put("sys/fs/cgroup/memory/memory.usage_in_bytes", "805306368\n");
  machine.put("sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 268435456\n");
  CHECK(machine.memory().total == 1024 * mib);
  CHECK(machine.memory().available == 512 * mib);
}

TEST_CASE("a machine that does not say how much memory it has is an error") {
  const test::TemporaryFolder folder;
  CHECK_THROWS_AS(host_memory(folder.file("")), DeviceError);
  CHECK(host_memory().available > 0);
  CHECK(host_memory().total >= host_memory().available);
}

TEST_CASE("a reserve takes address space and no memory, and gives it back") {
  const auto pages = [](int column) {
    std::ifstream statm("/proc/self/statm");
    std::size_t value = 0;
    for (int i = 0; i <= column; ++i) statm >> value;
    return value * 4096;
  };
  const std::size_t space = pages(0), resident = pages(1);
  MemoryReserve reserve(1024 * mib);
  CHECK(reserve.bytes() == 1024 * mib);
  CHECK(pages(0) >= space + 1024 * mib);
  CHECK(pages(1) < resident + 64 * mib);
  reserve.release();
  CHECK(reserve.bytes() == 0);
  CHECK(pages(0) < space + 64 * mib);
  // Less than was asked for, or nothing, where there is too little.
  CHECK(MemoryReserve(std::size_t{1} << 62).bytes() < std::size_t{1} << 48);
}

TEST_CASE("what the process holds is what the kernel says of it") {
  const Machine machine;
  CHECK(resident_memory(machine.folder.file("")) == 0);
  machine.put("proc/self/status", "Name:\tVmRSS: x\nVmHWM:\t    9000 kB\nVmRSS:\t    2048 kB\nThreads:\t1\n");
  CHECK(resident_memory(machine.folder.file("")) == 2 * mib);
  CHECK(resident_memory() > mib);
}

TEST_CASE("where there is no memory, operator new gets what was kept, once, and says so") {
  const std::new_handler before = std::get_new_handler();
  keep_memory_for_destructors();
  const std::new_handler handler = std::get_new_handler();
  REQUIRE(handler != nullptr);
  CHECK_FALSE(memory_has_run_out());
  CHECK_NOTHROW(handler());  // which makes operator new try again
  CHECK(memory_has_run_out());
  CHECK_THROWS_AS(handler(), std::bad_alloc);
  std::set_new_handler(before);
}

}  // namespace mcn
