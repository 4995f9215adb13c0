// Owners of what CUDA hands out: a stream, and memory in the order of a stream.
#pragma once

#include <utility>

#include "kernels/cuda/device/platform.h"

namespace mcn::MCN_DEVICE_NAMESPACE {

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

inline int current_device() {
  int device = 0;
  MCN_CUDA(cudaGetDevice(&device));
  return device;
}

/// A point in a stream's work.
class Event {
 public:
  Event() { MCN_CUDA(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming)); }
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
  DeviceArray(cudaStream_t stream, std::int64_t count) : stream_(stream) {
    void* p = nullptr;
    MCN_CUDA(cudaMallocAsync(&p, static_cast<std::size_t>(count) * sizeof(T), stream));
    data_ = static_cast<T*>(p);
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { (void)cudaFreeAsync(data_, stream_); }

  [[nodiscard]] T* get() const { return data_; }

 private:
  cudaStream_t stream_;
  T* data_ = nullptr;
};

}  // namespace mcn::MCN_DEVICE_NAMESPACE
