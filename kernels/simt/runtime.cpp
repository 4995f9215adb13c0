// Streams as queues of work that run when somebody waits: an operation waits for what its stream and its events put
// before it, and for nothing else.
#include "kernels/simt/runtime.h"

#include <cxxabi.h>

#include <cstdlib>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "kernels/simt/state.h"

using mcn::simt::device;
using mcn::simt::lock;
using mcn::simt::put;
using mcn::simt::result;
using mcn::simt::run_until;

namespace {

thread_local int current_device = 0;

// Refuses a wait for an event that is a part of a capture, which is then invalid.
cudaError_t check_captured(const SimtEvent& event) {
  if (event.capture == nullptr) return mcn::simt::check_capture();
  for (const SimtStream* stream : device().streams)
    if (stream->capture != nullptr && stream->capture == event.capture) stream->capture->invalidated = true;
  return cudaErrorCapturedEvent;
}

}  // namespace

namespace mcn::simt {

std::recursive_mutex& lock() {
  static std::recursive_mutex mutex;
  return mutex;
}

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

cudaError_t fault_of(std::string text) {
  device().fault = std::move(text);
  return result(cudaErrorLaunchFailure);
}

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

cudaError_t usable(SimtStream* stream) {
  if (stream == nullptr || !device().streams.contains(stream)) return cudaErrorInvalidValue;
  if (stream->device != current_device) return cudaErrorInvalidResourceHandle;
  if (stream->capture != nullptr && stream->capture->invalidated) return cudaErrorStreamCaptureInvalidated;
  return cudaSuccess;
}

cudaError_t put(SimtStream* stream, Work work, const Operands& operands) {
  if (const cudaError_t error = usable(stream); error != cudaSuccess) return result(error);
  if (SimtGraph* const capture = stream->capture; capture != nullptr) {
    if (const cudaError_t error = note_uses(*capture, operands); error != cudaSuccess) return result(error);
    capture->work.push_back(std::move(work));
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

}  // namespace mcn::simt

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
    case cudaErrorInvalidResourceHandle:
      return "cudaErrorInvalidResourceHandle";
    case cudaErrorIllegalState:
      return "cudaErrorIllegalState";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
    case cudaErrorStreamCaptureIsolation:
      return "cudaErrorStreamCaptureIsolation";
    case cudaErrorCapturedEvent:
      return "cudaErrorCapturedEvent";
    case cudaErrorStreamCaptureWrongThread:
      return "cudaErrorStreamCaptureWrongThread";
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
    case cudaErrorInvalidResourceHandle:
      return "invalid resource handle";
    case cudaErrorIllegalState:
      return "the operation cannot be performed in the present state";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
      return "operation failed due to a previous error during capture";
    case cudaErrorStreamCaptureIsolation:
      return "dependency created on uncaptured work in another stream";
    case cudaErrorCapturedEvent:
      return "operation not permitted on an event last recorded in a capturing stream";
    case cudaErrorStreamCaptureWrongThread:
      return "attempt to terminate a thread-local capture sequence from another thread";
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
  const std::lock_guard guard(lock());
  *count = device().count;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* index) {
  *index = current_device;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int index) {
  const std::lock_guard guard(lock());
  if (index < 0 || index >= device().count) return result(cudaErrorInvalidDevice);
  current_device = index;
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  const std::lock_guard guard(lock());
  if (const cudaError_t error = mcn::simt::check_capture(); error != cudaSuccess) return result(error);
  for (SimtStream* stream : device().streams) run_until(*stream, stream->put);
  return result(cudaSuccess);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const std::lock_guard guard(lock());
  *stream = new SimtStream;
  (*stream)->device = current_device;
  device().streams.insert(*stream);
  return result(cudaSuccess);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const std::lock_guard guard(lock());
  if (stream == nullptr) return result(cudaErrorInvalidValue);
  run_until(*stream, stream->put);
  device().streams.erase(stream);
  delete stream->capture;
  delete stream;
  return result(cudaSuccess);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const std::lock_guard guard(lock());
  if (stream == nullptr) return result(cudaErrorInvalidValue);
  if (stream->capture != nullptr)
    return result(mcn::simt::invalidate(*stream->capture, cudaErrorStreamCaptureUnsupported));
  if (const cudaError_t error = mcn::simt::check_capture(); error != cudaSuccess) return result(error);
  run_until(*stream, stream->put);
  return result(cudaSuccess);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const std::lock_guard guard(lock());
  if (event == nullptr) return result(cudaErrorInvalidValue);
  if (const cudaError_t error = mcn::simt::usable(stream); error != cudaSuccess) return result(error);
  if (event->capture != nullptr && event->capture == stream->capture) return result(cudaSuccess);
  if (stream->capture != nullptr)
    return result(mcn::simt::invalidate(*stream->capture, cudaErrorStreamCaptureIsolation));
  // A GPU would let this stream join the capture; nothing here needs that.
  if (event->capture != nullptr) return result(check_captured(*event));
  if (event->stream == nullptr) return result(cudaSuccess);
  return put(stream,
             [from = event->stream, position = event->position] {
               if (device().streams.contains(from)) run_until(*from, position);
             },
             {"cudaStreamWaitEvent", {}, {}});
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  *event = new SimtEvent{flags, current_device};
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const std::lock_guard guard(lock());
  if (event == nullptr) return result(cudaErrorInvalidValue);
  if (const cudaError_t error = mcn::simt::usable(stream); error != cudaSuccess) return result(error);
  if (event->device != stream->device) return result(cudaErrorInvalidResourceHandle);
  event->stream = stream;
  event->position = stream->put;
  event->capture = stream->capture;
  return result(cudaSuccess);
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  const std::lock_guard guard(lock());
  if (event == nullptr) return result(cudaErrorInvalidValue);
  if (const cudaError_t error = check_captured(*event); error != cudaSuccess) return result(error);
  const bool over =
      event->stream == nullptr || !device().streams.contains(event->stream) || event->stream->done >= event->position;
  return over ? result(cudaSuccess) : cudaErrorNotReady;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const std::lock_guard guard(lock());
  if (event == nullptr) return result(cudaErrorInvalidValue);
  if (const cudaError_t error = check_captured(*event); error != cudaSuccess) return result(error);
  if ((event->flags & cudaEventBlockingSync) == 0)
    return mcn::simt::fault_of(
        "[simt] cudaEventSynchronize: the event is without cudaEventBlockingSync, so that a GPU's"
        " host thread would spin");
  if (event->stream != nullptr && device().streams.contains(event->stream)) run_until(*event->stream, event->position);
  return result(cudaSuccess);
}

// No profiler waits for these.
cudaError_t cudaProfilerStart() { return cudaSuccess; }
cudaError_t cudaProfilerStop() { return cudaSuccess; }

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
  const Operands operands{launch.kernel, launch.words, {}};
  return put(
      stream,
      [launch = std::move(launch)] {
        if (device().dry) {
          device().launches.push_back({std::string(launch.kernel), launch.grid, launch.block, launch.shared_bytes});
          return;
        }
        auto& kernels = device().kernels;
        if (!kernels.contains(launch.kernel)) kernels.emplace(launch.kernel);
        run_grid(launch, device().order);
      },
      operands);
}

std::string last_name(const char* mangled) {
  const std::unique_ptr<char, decltype(&std::free)> demangled(abi::__cxa_demangle(mangled, nullptr, nullptr, nullptr),
                                                              std::free);
  std::string text = demangled == nullptr ? mangled : demangled.get();
  constexpr std::string_view unnamed = "(anonymous namespace)";  // its parenthesis is not that of the parameters
  for (std::size_t at = text.find(unnamed); at != std::string::npos; at = text.find(unnamed, at))
    text.replace(at, unnamed.size(), "{anonymous}");
  const std::size_t address = text.find('&');
  std::size_t begin = address == std::string::npos ? 0 : address + 1;
  if (begin < text.size() && text[begin] == '(') ++begin;
  int depth = 0;  // in template arguments
  std::size_t end = begin;
  for (; end < text.size() && (depth > 0 || text[end] != '('); ++end) {
    if (text[end] == '<') ++depth;
    if (text[end] == '>') --depth;
    if (depth == 0 && (text[end] == ':' || text[end] == ' ')) begin = end + 1;
  }
  return text.substr(begin, end - begin);
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
  if (!device().fault.empty()) {
    for (SimtStream* stream : device().streams) run_until(*stream, stream->put);
    release_freed();
  }
  device().fault.clear();
  device().last = cudaSuccess;
}

void set_memory_limit(std::size_t bytes) {
  const std::lock_guard guard(lock());
  device().limit = bytes;
}

void set_device_count(int count) {
  const std::lock_guard guard(lock());
  device().count = count;
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
