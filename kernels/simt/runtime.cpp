// Streams as queues of work that run when somebody waits: an operation waits for what its stream and its events put
// before it, and for nothing else.
#include "kernels/simt/runtime.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <new>
#include <set>
#include <stdexcept>
#include <unordered_map>
#include <utility>
#include <vector>

namespace {

using Work = std::function<void()>;

struct Allocation {
  std::size_t bytes;
  bool reserved;  // address space only, of dry mode
};

// One lock for everything: the layer is for testing. Recursive, because work that runs waits for other streams' work.
std::recursive_mutex& lock() {
  static std::recursive_mutex mutex;
  return mutex;
}

}  // namespace

struct SimtStream {
  std::deque<Work> queue;
  unsigned long long put = 0;   // operations ever put on the stream
  unsigned long long done = 0;  // of those, how many have run
  bool running = false;
  SimtGraph* capture = nullptr;
};

struct SimtEvent {
  SimtStream* stream = nullptr;  // of the latest record
  unsigned long long position = 0;
};

struct SimtGraph {
  ~SimtGraph();
  std::vector<Work> work;
  std::unordered_map<void*, Allocation> memory;  // of its allocations, at fixed addresses as long as it lives
  std::set<void*> kept;                          // of those, what it does not free
  // Here every allocation has memory of its own. A GPU's graph uses it again, and holds what is live at a time.
  std::size_t live = 0;
  std::size_t held = 0;
};

struct SimtGraphExec {
  std::vector<Work> work;
  bool keeps_memory = false;
  bool launched = false;
};

namespace {

struct Device {
  std::set<SimtStream*> streams;
  std::unordered_map<void*, Allocation> allocations;
  std::unordered_map<void*, Allocation> graph_memory;  // freed with the graph
  std::size_t in_use = 0;
  std::size_t peak = 0;
  std::size_t limit = 0;
  mcn::simt::Order order = mcn::simt::Order::forward;
  std::set<std::string, std::less<>> kernels;
  std::string fault;
  cudaError_t last = cudaSuccess;
  bool dry = false;
  std::vector<mcn::simt::LaunchRecord> launches;
};

Device& device() {
  // Never destroyed: streams in other statics may outlive it.
  static auto& instance = *new Device;
  return instance;
}

cudaError_t result(cudaError_t error) {
  if (error == cudaSuccess && !device().fault.empty()) error = cudaErrorLaunchFailure;
  if (error != cudaSuccess) device().last = error;
  return error;
}

// Runs a stream's operations up to a position. After a fault nothing runs, but everything counts as over.
void run_until(SimtStream& stream, unsigned long long position) {
  if (stream.running) return;  // an operation that waits for its own stream: what went before it has run
  stream.running = true;
  while (stream.done < position && !stream.queue.empty()) {
    const Work work = std::move(stream.queue.front());
    stream.queue.pop_front();
    ++stream.done;
    if (!device().fault.empty()) continue;
    try {
      work();
    } catch (const std::exception& e) {
      device().fault = e.what();
    }
  }
  stream.running = false;
}

cudaError_t put(SimtStream* stream, Work work) {
  if (stream == nullptr || !device().streams.contains(stream)) return result(cudaErrorInvalidValue);
  if (stream->capture != nullptr) {
    stream->capture->work.push_back(std::move(work));
    return result(cudaSuccess);
  }
  // Late, but not for ever: the queue holds memory.
  constexpr std::size_t longest_queue = 4096;
  if (stream->queue.size() >= longest_queue) run_until(*stream, stream->put);
  stream->queue.push_back(std::move(work));
  ++stream->put;
  if (device().dry) run_until(*stream, stream->put);
  return result(cudaSuccess);
}

void poison(void* p, const Allocation& allocation) {
  if (!allocation.reserved) std::memset(p, 0xFF, allocation.bytes);
}

void give_back(void* p, const Allocation& allocation) {
  if (allocation.reserved)
    munmap(p, allocation.bytes);
  else
    std::free(p);
}

void release(void* p) {
  if (const auto found = device().graph_memory.find(p); found != device().graph_memory.end()) {
    poison(p, found->second);
    return;
  }
  const auto found = device().allocations.find(p);
  if (found == device().allocations.end()) throw std::runtime_error("[simt] free of memory that is not allocated");
  const Allocation allocation = found->second;
  device().in_use -= allocation.bytes;
  device().allocations.erase(found);
  give_back(p, allocation);
}

// To the byte, so that AddressSanitizer sees the first store past the end; std::aligned_alloc wants whole multiples.
void* aligned(std::size_t bytes) {
  constexpr std::size_t alignment = 256;
  void* memory = nullptr;
  return posix_memalign(&memory, alignment, bytes) == 0 ? memory : nullptr;
}

// Addresses without memory behind them: a store or load by mistake is a fault.
void* reserve(std::size_t bytes) {
  void* p = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? nullptr : p;
}

}  // namespace

SimtGraph::~SimtGraph() {
  device().in_use -= held;
  for (const auto& [p, allocation] : memory) {
    device().graph_memory.erase(p);
    give_back(p, allocation);
  }
}

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
  }
  return "unknown";
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    case cudaErrorNotReady:
      return "device not ready";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure";
  }
  return "unrecognized error code";
}

cudaError_t cudaGetLastError() {
  const std::lock_guard guard(lock());
  const cudaError_t last = device().last;
  device().last = device().fault.empty() ? cudaSuccess : cudaErrorLaunchFailure;
  return last;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* index) {
  *index = 0;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int index) { return index == 0 ? cudaSuccess : cudaErrorInvalidDevice; }

cudaError_t cudaDeviceSynchronize() {
  const std::lock_guard guard(lock());
  for (SimtStream* stream : device().streams) run_until(*stream, stream->put);
  return result(cudaSuccess);
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
  if (bytes == 0) return result(cudaSuccess);
  SimtGraph* const graph = stream != nullptr ? stream->capture : nullptr;
  // What the device is to hold more than before.
  const std::size_t more = graph == nullptr ? bytes : std::max(graph->held, graph->live + bytes) - graph->held;
  const auto fits = [&] { return device().limit == 0 || device().in_use + more <= device().limit; };
  if (!fits() && stream != nullptr) run_until(*stream, stream->put);  // what it frees may be enough
  const bool dry = device().dry;
  void* memory = !fits() ? nullptr : dry ? reserve(bytes) : aligned(bytes);
  if (memory == nullptr) return result(cudaErrorMemoryAllocation);
  *p = memory;
  device().in_use += more;
  device().peak = std::max(device().peak, device().in_use);
  const Allocation allocation{bytes, dry};
  if (graph != nullptr) {
    graph->live += bytes;
    graph->held += more;
    graph->memory[memory] = device().graph_memory[memory] = allocation;
    graph->kept.insert(memory);
    return put(stream, [memory, allocation] { poison(memory, allocation); });
  }
  poison(memory, allocation);
  device().allocations[memory] = allocation;
  return result(cudaSuccess);
}

cudaError_t cudaFreeAsync(void* p, cudaStream_t stream) {
  const std::lock_guard guard(lock());
  if (p == nullptr) return result(cudaSuccess);
  if (!device().fault.empty()) {  // nothing runs any more, but memory is still given back
    release(p);
    return cudaErrorLaunchFailure;
  }
  if (stream != nullptr && stream->capture != nullptr) {
    const auto found = stream->capture->memory.find(p);
    if (found != stream->capture->memory.end() && stream->capture->kept.erase(p) == 1) {
      stream->capture->live -= found->second.bytes;
      return put(stream, [memory = found->first, allocation = found->second] { poison(memory, allocation); });
    }
    device().fault = "[simt] a capture frees memory from before it";
    return result(cudaErrorLaunchFailure);
  }
  return put(stream, [p] { release(p); });
}

cudaError_t cudaMallocHost(void** p, std::size_t bytes) {
  *p = aligned(bytes == 0 ? 1 : bytes);
  return *p == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
}

cudaError_t cudaFreeHost(void* p) {
  std::free(p);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  const std::lock_guard guard(lock());
  if (bytes == 0) return result(cudaSuccess);
  return put(stream, [=] {
    if (!device().dry || kind == cudaMemcpyHostToHost)
      std::memmove(to, from, bytes);
    else if (kind == cudaMemcpyDeviceToHost)
      std::memset(to, 0, bytes);
  });
}

cudaError_t cudaMemsetAsync(void* p, int value, std::size_t bytes, cudaStream_t stream) {
  const std::lock_guard guard(lock());
  if (bytes == 0) return result(cudaSuccess);
  return put(stream, [=] {
    if (!device().dry) std::memset(p, value, bytes);
  });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const std::lock_guard guard(lock());
  *stream = new SimtStream;
  device().streams.insert(*stream);
  return result(cudaSuccess);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const std::lock_guard guard(lock());
  if (stream == nullptr) return result(cudaErrorInvalidValue);
  run_until(*stream, stream->put);
  device().streams.erase(stream);
  delete stream;
  return result(cudaSuccess);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const std::lock_guard guard(lock());
  if (stream == nullptr) return result(cudaErrorInvalidValue);
  if (stream->capture != nullptr) return result(cudaErrorStreamCaptureUnsupported);
  run_until(*stream, stream->put);
  return result(cudaSuccess);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const std::lock_guard guard(lock());
  if (event == nullptr) return result(cudaErrorInvalidValue);
  if (event->stream == nullptr) return result(cudaSuccess);
  return put(stream, [from = event->stream, position = event->position] {
    if (device().streams.contains(from)) run_until(*from, position);
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new SimtEvent;
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const std::lock_guard guard(lock());
  if (event == nullptr || stream == nullptr) return result(cudaErrorInvalidValue);
  event->stream = stream;
  event->position = stream->put;
  return result(cudaSuccess);
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  const std::lock_guard guard(lock());
  if (event == nullptr) return result(cudaErrorInvalidValue);
  const bool over =
      event->stream == nullptr || !device().streams.contains(event->stream) || event->stream->done >= event->position;
  return over ? result(cudaSuccess) : cudaErrorNotReady;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const std::lock_guard guard(lock());
  if (event == nullptr) return result(cudaErrorInvalidValue);
  if (event->stream != nullptr && device().streams.contains(event->stream)) run_until(*event->stream, event->position);
  return result(cudaSuccess);
}

// No profiler waits for these.
cudaError_t cudaProfilerStart() { return cudaSuccess; }
cudaError_t cudaProfilerStop() { return cudaSuccess; }

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  const std::lock_guard guard(lock());
  if (stream == nullptr || stream->capture != nullptr) return result(cudaErrorInvalidValue);
  stream->capture = new SimtGraph;
  return result(cudaSuccess);
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const std::lock_guard guard(lock());
  if (stream == nullptr || stream->capture == nullptr) return result(cudaErrorInvalidValue);
  *graph = stream->capture;
  stream->capture = nullptr;
  return result(cudaSuccess);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  *exec = new SimtGraphExec{graph->work, !graph->kept.empty()};
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  const std::lock_guard guard(lock());
  if (exec->launched && exec->keeps_memory) return result(cudaErrorInvalidValue);  // it would allocate over its own
  exec->launched = true;
  for (const Work& work : exec->work)
    if (const cudaError_t error = put(stream, work); error != cudaSuccess) return error;
  return result(cudaSuccess);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  const std::lock_guard guard(lock());
  delete graph;
  return cudaSuccess;
}

namespace mcn::simt {
namespace {

// CUDA C++ Programming Guide, compute capabilities. Shared memory: the least that a block may have of sm_80 to sm_120.
bool fits_a_gpu(const Launch& launch) {
  constexpr unsigned most_threads = 1024;
  constexpr std::size_t most_shared_bytes = std::size_t{99} << 10;
  const auto within = [](const Index3& i, unsigned x, unsigned y, unsigned z) {
    return i.x >= 1 && i.y >= 1 && i.z >= 1 && i.x <= x && i.y <= y && i.z <= z;
  };
  return within(launch.grid, 0x7FFFFFFF, 0xFFFF, 0xFFFF) && within(launch.block, most_threads, most_threads, 64) &&
         std::uint64_t{launch.block.x} * launch.block.y * launch.block.z <= most_threads &&
         launch.shared_bytes <= most_shared_bytes;
}

}  // namespace

cudaError_t enqueue(cudaStream_t stream, Launch launch) {
  const std::lock_guard guard(lock());
  if (!fits_a_gpu(launch)) return result(cudaErrorInvalidConfiguration);
  return put(stream, [launch = std::move(launch)] {
    if (device().dry) {
      device().launches.push_back({std::string(launch.kernel), launch.grid, launch.block, launch.shared_bytes});
      return;
    }
    auto& kernels = device().kernels;
    if (!kernels.contains(launch.kernel)) kernels.emplace(launch.kernel);
    run_grid(launch, device().order);
  });
}

std::set<std::string> kernels_run() {
  const std::lock_guard guard(lock());
  return {device().kernels.begin(), device().kernels.end()};
}

void set_order(Order order) {
  const std::lock_guard guard(lock());
  device().order = order;
}

std::string fault() {
  const std::lock_guard guard(lock());
  return device().fault;
}

void clear_fault() {
  const std::lock_guard guard(lock());
  device().fault.clear();
  device().last = cudaSuccess;
}

void set_memory_limit(std::size_t bytes) {
  const std::lock_guard guard(lock());
  device().limit = bytes;
}

void set_dry(bool dry) {
  const std::lock_guard guard(lock());
  for (SimtStream* stream : device().streams) run_until(*stream, stream->put);
  device().dry = dry;
  device().launches.clear();
  device().peak = device().in_use;
}

std::vector<LaunchRecord> launches() {
  const std::lock_guard guard(lock());
  return std::exchange(device().launches, {});
}

std::size_t memory_peak() {
  const std::lock_guard guard(lock());
  return device().peak;
}

}  // namespace mcn::simt
