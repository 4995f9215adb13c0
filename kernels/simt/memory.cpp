// Allocations in the order of streams, page-locked memory, and copies that check what they touch.
#include "kernels/simt/memory.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

#include "kernels/error.h"
#include "kernels/simt/state.h"

using mcn::simt::Allocation;
using mcn::simt::device;
using mcn::simt::lock;
using mcn::simt::put;
using mcn::simt::result;
using mcn::simt::run_until;

namespace {

void poison(std::byte* p, const Allocation& allocation) {
  if (!allocation.reserved) std::memset(p, 0xFF, allocation.bytes);
}

// To the byte, so that AddressSanitizer sees the first store past the end; std::aligned_alloc wants whole multiples.
std::byte* aligned(std::size_t bytes) {
  constexpr std::size_t alignment = 256;
  void* memory = nullptr;
  return posix_memalign(&memory, alignment, bytes) == 0 ? static_cast<std::byte*>(memory) : nullptr;
}

#if defined(__SANITIZE_ADDRESS__)

// AddressSanitizer sees the first byte past the end.
std::byte* between_guards(std::size_t bytes) { return aligned(bytes); }
void unmap(std::byte* p, std::size_t) { std::free(p); }

#else

constexpr std::size_t guard_bytes = std::size_t{64} << 10;
constexpr std::size_t vector_bytes = 16;  // the widest load or store of a kernel

std::size_t rounded_up(std::size_t bytes, std::size_t to) { return (bytes + to - 1) / to * to; }

struct Mapping {
  std::size_t padded, pages;  // what the allocation takes, and the pages that it ends with
  explicit Mapping(std::size_t bytes)
      : padded(rounded_up(bytes, vector_bytes)),
        pages(rounded_up(padded, static_cast<std::size_t>(sysconf(_SC_PAGESIZE)))) {}
  [[nodiscard]] std::size_t all() const { return pages + 2 * guard_bytes; }
};

std::byte* between_guards(std::size_t bytes) {
  if (bytes > std::numeric_limits<std::size_t>::max() / 2) return nullptr;
  const Mapping mapping(bytes);
  void* begin = mmap(nullptr, mapping.all(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (begin == MAP_FAILED) return nullptr;
  std::byte* const usable = static_cast<std::byte*>(begin) + guard_bytes;
  if (mprotect(usable, mapping.pages, PROT_READ | PROT_WRITE) != 0) {
    munmap(begin, mapping.all());
    return nullptr;
  }
  std::byte* const p = usable + (mapping.pages - mapping.padded);
  std::memset(usable, 0xFF, mapping.pages - mapping.padded);
  std::memset(p + bytes, 0xFF, mapping.padded - bytes);
  return p;
}

void unmap(std::byte* p, std::size_t bytes) {
  const Mapping mapping(bytes);
  munmap(p + mapping.padded - mapping.pages - guard_bytes, mapping.all());
}

#endif

void give_back(std::byte* p, const Allocation& allocation) {
  if (allocation.reserved)
    munmap(p, allocation.bytes);
  else
    unmap(p, allocation.bytes);
}

void release(std::byte* p) {
  const auto found = device().allocations.find(p);
  if (found == device().allocations.end()) mcn::fail<mcn::DeviceError>("simt", "free of memory that is not allocated");
  if (found->second.graph != nullptr) {  // freed with the graph
    poison(p, found->second);
    found->second.live = false;
    return;
  }
  const Allocation allocation = found->second;
  device().in_use -= allocation.bytes;
  device().allocations.erase(found);
  give_back(p, allocation);
}

// An allocation of a graph, or its end, where the graph's work has come to it.
mcn::simt::Work turn(std::byte* p, bool live) {
  return [p, live] {
    Allocation& allocation = device().allocations.at(p);
    poison(p, allocation);
    allocation.live = live;
  };
}

// Addresses without memory behind them: a store or load by mistake is a fault.
std::byte* reserve(std::size_t bytes) {
  void* p = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? nullptr : static_cast<std::byte*>(p);
}

// Throws unless a call's operand lies in one allocation.
void check_operand(std::string_view call, std::string_view does, const void* p, std::size_t bytes) {
  if (mcn::simt::live_range(p).holds(p, bytes)) return;
  mcn::fail<mcn::DeviceError>("simt", "{} {} {} bytes at {}, expected them within one allocation", call, does, bytes,
                              mcn::simt::name_of_device_address(p));
}

}  // namespace

namespace mcn::simt {

Allocations::const_iterator find(const Allocations& allocations, const void* p) {
  const auto after = allocations.upper_bound(static_cast<const std::byte*>(p));
  if (after == allocations.begin()) return allocations.end();
  const auto found = std::prev(after);
  const bool inside = MemoryRange{found->first, found->second.bytes}.holds(p, 1);
  return inside ? found : allocations.end();
}

void release_freed() {
  std::vector<std::byte*> freed;
  for (const auto& [p, allocation] : device().allocations)
    if (allocation.freed && allocation.graph == nullptr) freed.push_back(const_cast<std::byte*>(p));
  for (std::byte* const p : freed) release(p);
}

// Without the lock: a kernel runs in a call that holds it, on more threads than that call's.
MemoryRange live_range(const void* p) {
  const auto found = find(device().allocations, p);
  if (found == device().allocations.end() || !found->second.live) return {};
  return {found->first, found->second.bytes};
}

MemoryRange allocation_beside([[maybe_unused]] const void* p) {
#if !defined(__SANITIZE_ADDRESS__)
  const Allocations& all = device().allocations;
  const auto* at = static_cast<const std::byte*>(p);
  const auto after = all.upper_bound(at);
  const auto beside = [&](const Allocations::value_type& entry) {
    const Mapping mapping(entry.second.bytes);
    const std::byte* begin = entry.first + mapping.padded - mapping.pages - guard_bytes;
    return !entry.second.reserved && at >= begin && at < begin + mapping.all();
  };
  if (after != all.begin() && beside(*std::prev(after)))
    return {std::prev(after)->first, std::prev(after)->second.bytes};
  if (after != all.end() && beside(*after)) return {after->first, after->second.bytes};
#endif
  return {};
}

std::string name_of_device_address(const void* p) {
  const auto found = find(device().allocations, p);
  if (found == device().allocations.end()) return "an address that the device has not handed out";
  return fmt::format("byte {} of an allocation of {} bytes{}", static_cast<const std::byte*>(p) - found->first,
                     found->second.bytes, found->second.live ? "" : " that is free");
}

}  // namespace mcn::simt

SimtGraph::~SimtGraph() {
  device().in_use -= held;
  for (std::byte* const p : memory) {
    const auto found = device().allocations.find(p);
    const Allocation allocation = found->second;
    device().allocations.erase(found);
    give_back(p, allocation);
  }
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  const std::lock_guard guard(lock());
  constexpr std::size_t unlimited = std::size_t{1} << 40;
  *total = device().limit == 0 ? unlimited : device().limit;
  *free = *total - std::min(*total, device().in_use);
  return result(cudaSuccess);
}

cudaError_t cudaMallocAsync(void** p, std::size_t bytes, cudaStream_t stream) {
  const std::lock_guard guard(lock());
  *p = nullptr;
  if (const cudaError_t error = mcn::simt::usable(stream); error != cudaSuccess) return result(error);
  if (bytes == 0) return result(cudaSuccess);
  SimtGraph* const graph = stream->capture;
  // What the device is to hold more than before.
  const std::size_t more = graph == nullptr ? bytes : std::max(graph->held, graph->live + bytes) - graph->held;
  const auto fits = [&] { return device().limit == 0 || device().in_use + more <= device().limit; };
  if (!fits()) run_until(*stream, stream->put);  // what it frees may be enough
  const bool dry = device().dry;
  std::byte* const memory = !fits() ? nullptr : dry ? reserve(bytes) : between_guards(bytes);
  if (memory == nullptr) return result(cudaErrorMemoryAllocation);
  *p = memory;
  device().in_use += more;
  device().peak = std::max(device().peak, device().in_use);
  const Allocation allocation{bytes, ++device().last_allocation, dry, graph, graph == nullptr};
  device().allocations[memory] = allocation;
  if (graph == nullptr) {
    poison(memory, allocation);
    return result(cudaSuccess);
  }
  graph->live += bytes;
  graph->held += more;
  graph->memory.insert(memory);
  graph->kept.insert(memory);
  return put(stream, turn(memory, true), {"cudaMallocAsync", {}, {}});
}

// Called by destructors: a lack of memory is an error code, as of every call of CUDA, and no exception.
cudaError_t cudaFreeAsync(void* p, cudaStream_t stream) try {
  const std::lock_guard guard(lock());
  if (p == nullptr) return result(cudaSuccess);
  auto* const memory = static_cast<std::byte*>(p);
  if (!device().fault.empty()) {  // nothing runs any more, but memory is still given back
    release(memory);
    return cudaErrorLaunchFailure;
  }
  if (const cudaError_t error = mcn::simt::usable(stream); error != cudaSuccess) return result(error);
  const auto found = device().allocations.find(memory);
  if (SimtGraph* const graph = stream->capture; graph != nullptr) {
    if (graph->kept.erase(memory) != 1) return mcn::simt::fault_of("[simt] a capture frees memory from before it");
    graph->live -= found->second.bytes;
    return put(stream, turn(memory, false), {"cudaFreeAsync", {}, {}});
  }
  if (found != device().allocations.end()) found->second.freed = true;
  return put(stream, [memory] { release(memory); }, {"cudaFreeAsync", {}, {}});
} catch (const std::bad_alloc&) {
  const std::lock_guard guard(lock());
  return result(cudaErrorMemoryAllocation);
}

cudaError_t cudaMallocHost(void** p, std::size_t bytes) {
  const std::lock_guard guard(lock());
  *p = nullptr;
  if (const cudaError_t error = mcn::simt::check_capture(); error != cudaSuccess) return result(error);
  std::byte* const memory = aligned(std::max<std::size_t>(bytes, 1));
  if (memory == nullptr) return result(cudaErrorMemoryAllocation);
  device().host[memory] = {bytes, ++device().last_allocation};
  *p = memory;
  return result(cudaSuccess);
}

cudaError_t cudaFreeHost(void* p) {
  const std::lock_guard guard(lock());
  if (p == nullptr) return result(cudaSuccess);
  if (const cudaError_t error = mcn::simt::check_capture(); error != cudaSuccess) return result(error);
  if (device().host.erase(static_cast<std::byte*>(p)) != 1) return result(cudaErrorInvalidValue);
  std::free(p);
  return result(cudaSuccess);
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  constexpr std::string_view call = "cudaMemcpyAsync";
  const std::lock_guard guard(lock());
  if (bytes == 0) return result(cudaSuccess);
  const bool reads_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  const bool writes_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  mcn::simt::Operands operands{call, {}, {}};
  (reads_device ? operands.device : operands.host).push_back(from);
  (writes_device ? operands.device : operands.host).push_back(to);
  return put(
      stream,
      [=] {
        if (reads_device) check_operand(call, "reads", from, bytes);
        if (writes_device) check_operand(call, "writes", to, bytes);
        if (!device().dry || kind == cudaMemcpyHostToHost)
          std::memmove(to, from, bytes);
        else if (kind == cudaMemcpyDeviceToHost)
          std::memset(to, 0, bytes);
      },
      operands);
}

cudaError_t cudaMemsetAsync(void* p, int value, std::size_t bytes, cudaStream_t stream) {
  constexpr std::string_view call = "cudaMemsetAsync";
  const std::lock_guard guard(lock());
  if (bytes == 0) return result(cudaSuccess);
  return put(stream,
             [=] {
               check_operand(call, "writes", p, bytes);
               if (!device().dry) std::memset(p, value, bytes);
             },
             {call, {p}, {}});
}
