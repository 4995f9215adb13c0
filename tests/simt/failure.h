// A kernel with a planted bug, run in every order of threads.
#pragma once

#include <string>

#include "kernels/cuda/memory.h"
#include "tests/simt/orders.h"

namespace mcn::test {

inline constexpr unsigned failure_threads = 64;

/// What a launch of one block comes to, in every order: empty, or its error, which is a fault that sticks until the
/// device is started again. The first order's.
template <auto kernel, class... Args>
std::string outcome_of(unsigned threads, std::size_t shared_bytes, const Args&... args) {
  std::string first;
  for (const simt::Order o : every_order) {
    const ThreadOrder order(o);
    const simt_device::Stream stream;
    simt_device::launch<kernel>(stream.get(), {dim3(1), dim3(threads), shared_bytes}, args...);
    std::string message;
    try {
      stream.synchronize();
    } catch (const DeviceError& e) {
      message = e.what();
      CHECK(cudaDeviceSynchronize() == cudaErrorLaunchFailure);
      simt::clear_fault();
    }
    CHECK(cudaDeviceSynchronize() == cudaSuccess);
    INFO(message);
    CHECK(message.find('\n') == std::string::npos);
    if (o == every_order[0]) first = message;
    CHECK(message.empty() == first.empty());
  }
  return first;
}

/// The error of a kernel that must fail.
template <auto kernel, class... Args>
std::string failure(std::size_t shared_bytes, const Args&... args) {
  std::string message = outcome_of<kernel>(failure_threads, shared_bytes, args...);
  CHECK(!message.empty());
  return message;
}

}  // namespace mcn::test
