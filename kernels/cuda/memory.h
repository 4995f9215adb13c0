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
