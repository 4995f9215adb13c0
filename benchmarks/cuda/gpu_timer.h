// Time on the GPU: the median of many runs between events, each with a cold L2 cache.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <vector>

#include "kernels/cuda/memory.h"

namespace mcn::bench {

class GpuTimer {
 public:
  /// Runs are put on `stream`.
  GpuTimer(cudaStream_t stream, std::size_t l2_bytes)
      : stream_(stream),
        flush_bytes_(2 * std::max<std::size_t>(l2_bytes, 32 << 20)),
        flush_(stream, static_cast<std::int64_t>(flush_bytes_)) {}

  /// Median time of a run in milliseconds. run() puts work on the stream.
  template <class Run>
  double median_ms(int runs, Run&& run) const {
    constexpr int warm_up = 3;
    for (int i = 0; i < warm_up; ++i) run();
    std::vector<Event> begin(static_cast<std::size_t>(runs)), end(static_cast<std::size_t>(runs));
    for (std::size_t i = 0; i < begin.size(); ++i) {
      // Written, not read: what the cache held is gone. It also keeps the GPU busy while the CPU puts up the run.
      MCN_CUDA(cudaMemsetAsync(flush_.get(), 0, flush_bytes_, stream_));
      MCN_CUDA(cudaEventRecord(begin[i].get(), stream_));
      run();
      MCN_CUDA(cudaEventRecord(end[i].get(), stream_));
    }
    MCN_CUDA(cudaStreamSynchronize(stream_));
    std::vector<float> times(begin.size());
    for (std::size_t i = 0; i < times.size(); ++i)
      MCN_CUDA(cudaEventElapsedTime(&times[i], begin[i].get(), end[i].get()));
    const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
    std::nth_element(times.begin(), middle, times.end());
    return static_cast<double>(*middle);
  }

 private:
  class Event {
   public:
    Event() { MCN_CUDA(cudaEventCreate(&event_)); }
    ~Event() { (void)cudaEventDestroy(event_); }
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
    [[nodiscard]] cudaEvent_t get() const { return event_; }

   private:
    cudaEvent_t event_ = nullptr;
  };

  cudaStream_t stream_;
  std::size_t flush_bytes_;
  cuda::DeviceArray<unsigned char> flush_;
};

}  // namespace mcn::bench
