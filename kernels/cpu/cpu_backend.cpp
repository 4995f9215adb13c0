// The cpu backend's copies, and how a level of it is made.
#include "kernels/cpu/cpu_backend.h"

#include <cstring>

#include "kernels/cpu/parallel.h"

namespace mcn {
namespace cpu {
namespace {

void copy_bytes(const void* from, void* to, std::int64_t bytes) {
  parallel_blocks(bytes, std::int64_t{1} << 20, [&](std::int64_t begin, std::int64_t end) {
    std::memcpy(static_cast<char*>(to) + begin, static_cast<const char*>(from) + begin,
                static_cast<std::size_t>(end - begin));
  });
}

std::int64_t bytes_of(ConstView x) { return x.numel() * static_cast<std::int64_t>(size_of(x.dtype)); }

}  // namespace

void CpuBackend::copy_from_host(const void* host, View y) { copy_bytes(host, y.data, bytes_of(y)); }

void CpuBackend::copy_to_host(ConstView x, void* host) { copy_bytes(x.data, host, bytes_of(x)); }

void CpuBackend::copy(ConstView x, View y) {
  if (x.data != y.data) copy_bytes(x.data, y.data, bytes_of(y));
}

#define MCN_TEXT_OF(x) #x
#define MCN_TEXT(x) MCN_TEXT_OF(x)
std::string CpuBackend::detail() const {
#if defined(__x86_64__)
  const std::string level = "x86-64-" MCN_TEXT(MCN_CPU_LEVEL);
#else
  const std::string level = MCN_TEXT(MCN_CPU_LEVEL);
#endif
  return fmt::format("{} kernels, {} threads", level, thread_count());
}

}  // namespace cpu
}  // namespace mcn

// All that the rest of the program sees of this level: its object file makes every other symbol local (CMakeLists.txt).
#define MCN_FACTORY_OF(level) mcn_make_cpu_backend_##level
#define MCN_FACTORY(level) MCN_FACTORY_OF(level)
extern "C" mcn::Backend* MCN_FACTORY(MCN_CPU_LEVEL)();
extern "C" mcn::Backend* MCN_FACTORY(MCN_CPU_LEVEL)() { return new mcn::cpu::CpuBackend(); }
