// The part of CUDA's runtime that the project calls, on the CPU. Names and meanings are CUDA's own; what CUDA leaves
// open is taken the hard way: work on a stream happens only when somebody waits for it, and fresh memory holds NaN.
//
// What a GPU refuses is refused with its error: a stream or event of a device that is not the thread's current one,
// and, in a capture, a call that waits or allocates. What a GPU does not notice is a fault (cudaErrorLaunchFailure, its
// text in fault()): a copy that leaves its allocation, a graph launched after memory that it uses has been freed, a
// wait that spins. cudaMalloc, cudaFree and cudaMemcpy, which wait for the whole device, are not here: code with them
// does not compile.
#pragma once

#include <cstddef>
#include <cstring>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/simt/dry.h"
#include "kernels/simt/language.h"

// NOLINTBEGIN(readability-identifier-naming)
enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInvalidDevice = 101,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorIllegalState = 401,
  cudaErrorNotReady = 600,
  cudaErrorLaunchFailure = 719,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
  cudaErrorStreamCaptureIsolation = 905,
  cudaErrorCapturedEvent = 907,
  cudaErrorStreamCaptureWrongThread = 908,
};
enum cudaMemcpyKind { cudaMemcpyHostToHost, cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum cudaStreamCaptureMode { cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal };

using cudaStream_t = struct SimtStream*;
using cudaEvent_t = struct SimtEvent*;
using cudaGraph_t = struct SimtGraph*;
using cudaGraphExec_t = struct SimtGraphExec*;

inline constexpr unsigned cudaStreamNonBlocking = 1;
inline constexpr unsigned cudaEventBlockingSync = 1;
inline constexpr unsigned cudaEventDisableTiming = 2;

const char* cudaGetErrorName(cudaError_t error);
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();

cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total);

cudaError_t cudaMallocAsync(void** p, std::size_t bytes, cudaStream_t stream);
cudaError_t cudaFreeAsync(void* p, cudaStream_t stream);
cudaError_t cudaMallocHost(void** p, std::size_t bytes);
cudaError_t cudaFreeHost(void* p);
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* p, int value, std::size_t bytes, cudaStream_t stream);

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventSynchronize(cudaEvent_t event);

cudaError_t cudaProfilerStart();
cudaError_t cudaProfilerStop();

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags = 0);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
// NOLINTEND(readability-identifier-naming)

namespace mcn::simt {

#if defined(__has_builtin)
#if __has_builtin(__builtin_clear_padding)
#define MCN_CLEAR_PADDING(p) __builtin_clear_padding(p)
#endif
#endif

/// Adds the aligned words of an argument of a launch, which may be addresses. Padding is left out, because it holds
/// what the host's stack held before: often the address of something freed. A compiler that cannot clear it (clang up
/// to 19) adds pointers alone.
template <class Arg>
void add_words(Arg arg, std::vector<const void*>& words) {
  static_assert(std::is_trivially_copyable_v<Arg>);
  if constexpr (std::is_pointer_v<Arg>) {
    words.push_back(static_cast<const void*>(arg));
  } else if constexpr (std::is_class_v<Arg>) {
#ifdef MCN_CLEAR_PADDING
    MCN_CLEAR_PADDING(&arg);
    const std::size_t first = words.size();
    words.resize(first + sizeof arg / sizeof(void*));
    if (words.size() > first) std::memcpy(&words[first], &arg, (words.size() - first) * sizeof(void*));
#endif
  }
}

/// "f<2>" for the mangled name of a type whose last template argument is the address of a function a::b::f<2>.
std::string last_name(const char* mangled);

/// Puts a launch on a stream. cudaErrorInvalidConfiguration for one that some GPU from sm_80 on would refuse, also in
/// dry mode: more or fewer blocks, threads or bytes of shared memory than it takes.
cudaError_t enqueue(cudaStream_t stream, Launch launch);

/// Names of all kernels that have run, with their template arguments: how a test knows that none is left out.
std::set<std::string> kernels_run();

/// The order of the threads of every launch that runs from now on; forward at first.
void set_order(Order order);

/// What went wrong in a launch: the text behind cudaErrorLaunchFailure, which sticks to every later call. Empty while
/// nothing did.
std::string fault();
/// Forgets the fault; CUDA would need a new process.
void clear_fault();

/// How many devices there are: 1 at first. They differ in nothing, and have their memory together.
void set_device_count(int count);

/// Device memory there is; 0 (at first): as much as the machine has.
void set_memory_limit(std::size_t bytes);

/// A launch that dry mode has noted.
struct LaunchRecord {
  std::string kernel;  ///< with its template arguments
  Index3 grid, block;
  std::size_t shared_bytes = 0;
};
/// The launches since the last call, or since set_dry(), in order.
std::vector<LaunchRecord> launches();

}  // namespace mcn::simt
