// Owners of what CUDA hands out: a stream, and memory in the order of a stream.
#pragma once

#include <utility>

#include "kernels/cuda/device/platform.h"

namespace mcn::MCN_DEVICE_NAMESPACE {

inline int current_device() {
  int device = 0;
  MCN_CUDA(cudaGetDevice(&device));
  return device;
}

/// Makes a device the calling thread's current one, on which launches, allocations and events are; a new thread's is
/// device 0. Where that fails, the call that it was for fails too.
inline void use_device(int device) noexcept {
  int current = -1;
  (void)cudaGetDevice(&current);
  if (current != device) (void)cudaSetDevice(device);
}

/// Throws that memory is not to be had; `asked` says how much. `whose`: the device or what else asks.
[[noreturn]] inline void fail_out_of_memory(std::string_view whose, std::string_view asked) {
  std::size_t free = 0, total = 0;
  MCN_CUDA(cudaMemGetInfo(&free, &total));
#if defined(__CUDACC__)
  // What the process has given back stays in its pool, and is not the driver's to report.
  int device = 0;
  cudaMemPool_t pool = nullptr;
  std::uint64_t reserved = 0, used = 0;
  MCN_CUDA(cudaGetDevice(&device));
  MCN_CUDA(cudaDeviceGetDefaultMemPool(&pool, device));
  MCN_CUDA(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemCurrent, &reserved));
  MCN_CUDA(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &used));
  free += reserved - used;
#endif
  constexpr double mib = 1024.0 * 1024.0;
  fail<MemoryError>("memory", "{}: out of memory: asked for {}, {:.1f} of {:.1f} MiB are free", whose, asked,
                    static_cast<double>(free) / mib, static_cast<double>(total) / mib);
}

/// Memory in the order of a stream; MemoryError names the size if there is none.
inline void* allocate_on(cudaStream_t stream, std::size_t bytes, std::string_view whose) {
  void* p = nullptr;
  const cudaError_t error = cudaMallocAsync(&p, bytes, stream);
  if (error == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();  // the next launch asks for it, and would be blamed
    fail_out_of_memory(whose, fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1024.0 * 1024.0)));
  }
  check(error, "cudaMallocAsync", std::source_location::current());
  return p;
}

/// A stream of its own, not ordered with any other.
class Stream {
 public:
  Stream() { MCN_CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { (void)cudaStreamDestroy(stream_); }

  [[nodiscard]] cudaStream_t get() const { return stream_; }
  /// Waits for all work on the stream; throws what went wrong in it.
  void synchronize() const { MCN_CUDA(cudaStreamSynchronize(stream_)); }

 private:
  cudaStream_t stream_ = nullptr;
};

/// A point in a stream's work. A thread that waits for it sleeps: one that spins takes a processor from the decoders.
class Event {
 public:
  Event() { MCN_CUDA(cudaEventCreateWithFlags(&event_, cudaEventBlockingSync | cudaEventDisableTiming)); }
  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Event& operator=(Event&& other) noexcept {
    std::swap(event_, other.event_);
    return *this;
  }
  ~Event() {
    if (event_ != nullptr) (void)cudaEventDestroy(event_);
  }

  void record(cudaStream_t stream) const { MCN_CUDA(cudaEventRecord(event_, stream)); }
  /// What is put on the stream from now on runs after the recorded point.
  void hold(cudaStream_t stream) const { MCN_CUDA(cudaStreamWaitEvent(stream, event_)); }
  [[nodiscard]] cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

/// Device memory for `count` values of T, uninitialised, given and taken back in the stream's order: a kernel that was
/// launched before the owner goes may still use it.
template <class T>
class DeviceArray {
 public:
  DeviceArray(cudaStream_t stream, std::int64_t count)
      : stream_(stream),
        data_(
            static_cast<T*>(allocate_on(stream, static_cast<std::size_t>(count) * sizeof(T), "scratch of a kernel"))) {}
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { (void)cudaFreeAsync(data_, stream_); }

  [[nodiscard]] T* get() const { return data_; }

 private:
  cudaStream_t stream_;
  T* data_;
};

}  // namespace mcn::MCN_DEVICE_NAMESPACE
