// Memory and copies of the `ref` backend.
#include "kernels/ref/ref_backend.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>

namespace mcn {
namespace ref {

namespace {
constexpr std::size_t alignment = 64;

void copy_bytes(const void* from, void* to, const View& y) {
  const std::size_t bytes = static_cast<std::size_t>(y.numel()) * size_of(y.dtype);
  if (bytes != 0) std::memcpy(to, from, bytes);
}
}  // namespace

void* RefBackend::allocate_impl(std::size_t bytes) {
  // A tensor without elements still needs an address, since a null one means absent.
  const std::size_t wanted = std::max(bytes, alignment);
  void* p = nullptr;
  if (wanted <= std::numeric_limits<std::size_t>::max() - alignment)
    p = std::aligned_alloc(alignment, (wanted + alignment - 1) / alignment * alignment);
  if (p == nullptr) fail<MemoryError>("ref", "out of memory: cannot allocate {} bytes", bytes);
  return p;
}

void RefBackend::release_impl(void* p, std::size_t) noexcept { std::free(p); }

void RefBackend::copy_from_host(const void* host, View y) { copy_bytes(host, y.data, y); }

void RefBackend::copy_to_host(ConstView x, void* host) { copy_bytes(x.data, host, {nullptr, x.dtype, x.shape}); }

void RefBackend::copy(ConstView x, View y) { copy_bytes(x.data, y.data, y); }

}  // namespace ref

std::unique_ptr<Backend> make_ref_backend() { return std::make_unique<ref::RefBackend>(); }

}  // namespace mcn
