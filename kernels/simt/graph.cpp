// Captures and graphs: what CUDA forbids while a stream is captured, and what must still be there at a launch.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "kernels/simt/state.h"

using mcn::simt::device;
using mcn::simt::lock;
using mcn::simt::put;
using mcn::simt::result;

namespace mcn::simt {

cudaError_t invalidate(SimtGraph& capture, cudaError_t error) {
  capture.invalidated = true;
  return error;
}

cudaError_t check_capture() {
  cudaError_t error = cudaSuccess;
  for (SimtStream* stream : device().streams) {
    SimtGraph* const capture = stream->capture;
    if (capture != nullptr &&
        (capture->mode == cudaStreamCaptureModeGlobal || capture->thread == std::this_thread::get_id()))
      error = invalidate(*capture, cudaErrorStreamCaptureUnsupported);
  }
  return error;
}

cudaError_t note_uses(SimtGraph& capture, const Operands& operands) {
  const auto note = [&](const Allocation& memory, const std::byte* begin, bool on_host) {
    const bool known = std::any_of(capture.uses.begin(), capture.uses.end(),
                                   [&](const Use& use) { return use.memory.number == memory.number; });
    if (!known) capture.uses.push_back({std::string(operands.what), begin, memory, on_host});
  };
  for (const void* p : operands.device) {
    const auto found = find(device().allocations, p);
    if (found != device().allocations.end() && found->second.graph != &capture)
      note(found->second, found->first, false);
  }
  for (const void* p : operands.host) {
    const auto found = find(device().host, p);
    if (found == device().host.end()) return invalidate(capture, cudaErrorStreamCaptureUnsupported);
    note(found->second, found->first, true);
  }
  return cudaSuccess;
}

}  // namespace mcn::simt

namespace {

// Is the memory that a graph uses still what was captured?
cudaError_t check_uses(const SimtGraphExec& exec) {
  for (const mcn::simt::Use& use : exec.uses) {
    const mcn::simt::Allocations& allocations = use.on_host ? device().host : device().allocations;
    const auto found = allocations.find(use.begin);
    const bool there = found != allocations.end() && !found->second.freed;
    if (there && found->second.number == use.memory.number) continue;
    return mcn::simt::fault_of(
        fmt::format("[simt] cudaGraphLaunch: {} was captured with {} bytes of {} memory, which have been freed{} since",
                    use.what, use.memory.bytes, use.on_host ? "host" : "device", there ? " and handed out again" : ""));
  }
  return cudaSuccess;
}

}  // namespace

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  const std::lock_guard guard(lock());
  if (const cudaError_t error = mcn::simt::usable(stream); error != cudaSuccess) return result(error);
  if (stream->capture != nullptr) return result(cudaErrorIllegalState);
  stream->capture = new SimtGraph(std::this_thread::get_id(), mode);
  return result(cudaSuccess);
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const std::lock_guard guard(lock());
  *graph = nullptr;
  if (stream == nullptr) return result(cudaErrorInvalidValue);
  if (stream->capture == nullptr) return result(cudaErrorIllegalState);
  if (stream->capture->thread != std::this_thread::get_id()) return result(cudaErrorStreamCaptureWrongThread);
  SimtGraph* const captured = std::exchange(stream->capture, nullptr);
  if (captured->invalidated) {
    delete captured;
    return result(cudaErrorStreamCaptureInvalidated);
  }
  *graph = captured;
  return result(cudaSuccess);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  const std::lock_guard guard(lock());
  *exec = new SimtGraphExec{graph->work, graph->uses, !graph->kept.empty()};
  return result(cudaSuccess);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  const std::lock_guard guard(lock());
  if (const cudaError_t error = mcn::simt::usable(stream); error != cudaSuccess) return result(error);
  if (exec->launched && exec->keeps_memory) return result(cudaErrorInvalidValue);  // it would allocate over its own
  if (const cudaError_t error = check_uses(*exec); error != cudaSuccess) return error;
  exec->launched = true;
  for (const mcn::simt::Work& work : exec->work)
    if (const cudaError_t error = put(stream, work, {"cudaGraphLaunch", {}, {}}); error != cudaSuccess) return error;
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
