// The cpu backend's copies.
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

void CpuBackend::copy_from_host(const void* host, View y) {
  count_kernel();
  copy_bytes(host, y.data, bytes_of(y));
}

void CpuBackend::copy_to_host(ConstView x, void* host) {
  count_kernel();
  copy_bytes(x.data, host, bytes_of(x));
}

void CpuBackend::copy(ConstView x, View y) {
  count_kernel();
  if (x.data != y.data) copy_bytes(x.data, y.data, bytes_of(y));
}

}  // namespace cpu

std::unique_ptr<Backend> make_cpu_backend() { return std::make_unique<cpu::CpuBackend>(); }

}  // namespace mcn
