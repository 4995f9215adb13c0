// Bugs that GPU code has, planted: each must be found.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/cuda/device/platform.h"
#include "kernels/cuda/memory.h"
#include "tests/catch.h"
#include "tests/simt/failure.h"
#include "tests/simt/orders.h"

namespace mcn::simt_device {
namespace {

using test::every_order;
using test::failure;
using test::ThreadOrder;

constexpr unsigned threads = test::failure_threads;

struct Line {
  float values[threads];
};

// Bug: no barrier between the write and another thread's read.
__global__ void missing_barrier_kernel(const float* x, float* y) {
  auto& s = shared<Line>();
  s.values[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = s.values[threads - 1 - threadIdx.x];
}

// Bug: every thread adds to the same place.
__global__ void race_kernel(const float* x, float* y) {
  auto& s = shared<Line>();
  if (threadIdx.x == 0) s.values[0] = 0;
  __syncthreads();
  s.values[0] = s.values[0] * 0.5F + x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = s.values[0];
}

// Bug: half of the block waits for the other half, which has gone.
__global__ void divergent_barrier_kernel(float* y) {
  if (threadIdx.x >= threads / 2) return;
  __syncthreads();
  y[threadIdx.x] = 1;
}

// Bug: two barriers that are not the same.
__global__ void two_barriers_kernel(float* y) {
  if (threadIdx.x < threads / 2)
    __syncthreads();
  else
    __syncthreads();
  y[threadIdx.x] = 1;
}

// Bug: a lane does not take part.
__global__ void absent_lane_kernel(float* y) {
  if (threadIdx.x == 5) return;
  y[threadIdx.x] = __shfl_xor_sync(0xFFFFFFFFU, 1.0F, 1);
}

// Bug: uses what has not been waited for.
__global__ void early_use_kernel(const float* x, float* y) {
  auto& s = shared<Line>();
  if (threadIdx.x % 4 == 0) simt::copy_async(&s.values[threadIdx.x], x + threadIdx.x, 16);
  simt::commit_copies();
  __syncthreads();
  y[threadIdx.x] = s.values[threadIdx.x];
  simt::wait_copies(0);
}

// Bug: ends with copies on their way.
__global__ void forgotten_copy_kernel(const float* x) {
  auto& s = shared<Line>();
  if (threadIdx.x % 4 == 0) simt::copy_async(&s.values[threadIdx.x], x + threadIdx.x, 16);
  simt::commit_copies();
}

// Bug: more shared memory than was asked for.
__global__ void too_much_shared_kernel(float* y) { y[0] = shared<Line>().values[0]; }

#if defined(__SANITIZE_ADDRESS__)
// Bug: thread 63 of block 1 writes past the end.
__global__ void out_of_bounds_kernel(int n, float* y) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i <= n) y[i] = 1;
}
#endif

#if !defined(__SANITIZE_ADDRESS__)
// Bug: threads read past the end, or before the beginning, and drop what they find.
__global__ void read_outside_kernel(std::int64_t offset, const float* x, float* y) {
  const float value = x[static_cast<std::int64_t>(threadIdx.x) + offset];
  y[threadIdx.x] = value == 12345.0F ? 1.0F : 0.0F;
}

// Bug: reads 16 bytes of which the last 4 lie past the end.
__global__ void wide_read_kernel(const float* x, float* y) {
  if (threadIdx.x != 0) return;
  float four[4];
  std::memcpy(four, x + 61, sizeof four);
  y[0] = four[0] + four[3] == 12345.0F ? 1.0F : 0.0F;
}

// Bug: writes past the end.
__global__ void write_outside_kernel(float* y) { y[threadIdx.x + 1] = 1; }
#endif

__global__ void double_kernel(float* x) { x[threadIdx.x] *= 2; }

std::vector<float> numbers() {
  std::vector<float> values(threads);
  for (std::size_t i = 0; i < threads; ++i) values[i] = static_cast<float>(i + 1);
  return values;
}

// What a kernel of (x, y) leaves in y.
template <auto kernel>
std::vector<float> outcome(simt::Order o) {
  const ThreadOrder order(o);
  const Stream stream;
  const DeviceArray<float> x(stream.get(), threads), y(stream.get(), threads);
  std::vector<float> values = numbers();
  MCN_CUDA(cudaMemcpyAsync(x.get(), values.data(), sizeof(Line), cudaMemcpyHostToDevice, stream.get()));
  launch<kernel>(stream.get(), {dim3(1), dim3(threads), sizeof(Line)}, x.get(), y.get());
  MCN_CUDA(cudaMemcpyAsync(values.data(), y.get(), sizeof(Line), cudaMemcpyDeviceToHost, stream.get()));
  stream.synchronize();
  return values;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

template <auto kernel>
bool depends_on_order() {
  const std::vector<float> forward = outcome<kernel>(simt::Order::forward);
  return !same_bits(forward, outcome<kernel>(simt::Order::reverse)) ||
         !same_bits(forward, outcome<kernel>(simt::Order::shuffled));
}

}  // namespace

TEST_CASE("a missing barrier shows") { CHECK(depends_on_order<missing_barrier_kernel>()); }

TEST_CASE("a race in shared memory shows") { CHECK(depends_on_order<race_kernel>()); }

TEST_CASE("a divergent barrier is an error that names kernel, block, threads and places") {
  std::array<float, threads> y{};
  const std::string message = failure<divergent_barrier_kernel>(0, y.data());
  CHECK(message.find("divergent_barrier_kernel, block (0, 0, 0): divergent barrier: thread (0, 0, 0) waits at "
                     "test_planted_bugs.cpp:") != std::string::npos);
  CHECK(message.find("thread (32, 0, 0) has returned") != std::string::npos);
}

TEST_CASE("barriers at two places are not one barrier") {
  std::array<float, threads> y{};
  CHECK(failure<two_barriers_kernel>(0, y.data()).find("divergent barrier") != std::string::npos);
}

TEST_CASE("a lane that misses a warp operation is an error") {
  std::array<float, threads> y{};
  const std::string message = failure<absent_lane_kernel>(0, y.data());
  CHECK(message.find("divergent warp operation") != std::string::npos);
  CHECK(message.find("thread (5, 0, 0) has returned") != std::string::npos);
}

TEST_CASE("use before the wait sees poison") {
  for (const simt::Order o : every_order) {
    const std::vector<float> got = outcome<early_use_kernel>(o);
    CHECK(std::any_of(got.begin(), got.end(), [](float v) { return std::isnan(v); }));
  }
}

TEST_CASE("a kernel that ends with copies on their way is an error") {
  const Stream stream;
  const DeviceArray<float> x(stream.get(), threads);
  CHECK(failure<forgotten_copy_kernel>(sizeof(Line), x.get()).find("asynchronous copies") != std::string::npos);
}

TEST_CASE("more shared memory than the launch gave is an error") {
  std::array<float, threads> y{};
  CHECK(failure<too_much_shared_kernel>(16, y.data()).find("uses 256 bytes of shared memory, launched with 16") !=
        std::string::npos);
}

#if !defined(__SANITIZE_ADDRESS__)
TEST_CASE(
    "a read outside its allocation is an error that names kernel, block, thread and byte, also if it is dropped") {
  const Stream stream;
  const DeviceArray<float> x(stream.get(), threads), y(stream.get(), threads);
  CHECK(failure<read_outside_kernel>(0, std::int64_t{1}, x.get(), y.get())
            .find("read_outside_kernel, block (0, 0, 0): thread (63, 0, 0) reads byte 256 of an allocation of 256 "
                  "bytes") != std::string::npos);
  CHECK(failure<read_outside_kernel>(0, std::int64_t{-2048}, x.get(), y.get()).find("reads byte -") !=
        std::string::npos);
  CHECK(failure<wide_read_kernel>(0, x.get(), y.get()).find("reads byte 256 of an allocation of 256 bytes") !=
        std::string::npos);
  CHECK(failure<write_outside_kernel>(0, y.get())
            .find("write_outside_kernel, block (0, 0, 0): thread (63, 0, 0) writes byte 256 of an allocation of 256 "
                  "bytes") != std::string::npos);
  // The same kernel within its allocation, afterwards.
  CHECK(test::outcome_of<read_outside_kernel>(threads, 0, std::int64_t{0}, x.get(), y.get()).empty());
}
#endif

TEST_CASE("a missing event wait shows: the other stream's work has not happened yet") {
  const Stream first, second;
  const DeviceArray<float> x(first.get(), threads);
  const std::vector<float> values = numbers();
  std::vector<float> without(threads), with(threads);
  MCN_CUDA(cudaMemcpyAsync(x.get(), values.data(), sizeof(Line), cudaMemcpyHostToDevice, first.get()));
  launch<double_kernel>(first.get(), {dim3(1), dim3(threads)}, x.get());
  MCN_CUDA(cudaMemcpyAsync(without.data(), x.get(), sizeof(Line), cudaMemcpyDeviceToHost, second.get()));
  second.synchronize();
  CHECK(std::all_of(without.begin(), without.end(), [](float v) { return std::isnan(v); }));

  cudaEvent_t event = nullptr;
  MCN_CUDA(cudaEventCreateWithFlags(&event, cudaEventBlockingSync));
  MCN_CUDA(cudaEventRecord(event, first.get()));
  CHECK(cudaEventQuery(event) == cudaErrorNotReady);
  MCN_CUDA(cudaStreamWaitEvent(second.get(), event));
  MCN_CUDA(cudaMemcpyAsync(with.data(), x.get(), sizeof(Line), cudaMemcpyDeviceToHost, second.get()));
  second.synchronize();
  CHECK(cudaEventQuery(event) == cudaSuccess);
  for (std::size_t i = 0; i < threads; ++i) CHECK(with[i] == 2 * values[i]);
  MCN_CUDA(cudaEventDestroy(event));
}

TEST_CASE("a host buffer that is used again before its copy ran shows") {
  const Stream stream;
  const DeviceArray<float> x(stream.get(), threads);
  std::vector<float> buffer = numbers();
  std::vector<float> got(threads);
  MCN_CUDA(cudaMemcpyAsync(x.get(), buffer.data(), sizeof(Line), cudaMemcpyHostToDevice, stream.get()));
  std::fill(buffer.begin(), buffer.end(), -1.0F);  // bug: nobody waited
  MCN_CUDA(cudaMemcpyAsync(got.data(), x.get(), sizeof(Line), cudaMemcpyDeviceToHost, stream.get()));
  stream.synchronize();
  CHECK(got == std::vector<float>(threads, -1.0F));
}

TEST_CASE("a launch that a GPU would refuse is refused, with its place, and does no harm") {
  const Stream stream;
  std::vector<float> x(threads, 1.0F);
  struct Case {
    const char* what;
    Grid grid;
  };
  const dim3 one(1);
  for (const Case& c : {Case{"an empty grid", {dim3(0), one}}, Case{"too many blocks along y", {dim3(1, 65536), one}},
                        Case{"too many blocks along z", {dim3(1, 1, 65536), one}}, Case{"no thread", {one, dim3(0)}},
                        Case{"too many threads", {one, dim3(32, 33)}}, Case{"threads along z", {one, dim3(1, 1, 65)}},
                        Case{"too much shared memory", {one, one, 100 << 10}}}) {
    INFO(c.what);
    CHECK_THROWS_WITH(launch<double_kernel>(stream.get(), c.grid, x.data()),
                      Catch::Matchers::ContainsSubstring("double_kernel failed at test_planted_bugs.cpp:") &&
                          Catch::Matchers::ContainsSubstring("cudaErrorInvalidConfiguration"));
  }
  launch<double_kernel>(stream.get(), {one, dim3(threads)}, x.data());
  stream.synchronize();
  CHECK(x == std::vector<float>(threads, 2.0F));
}

TEST_CASE("a launch after a call that failed without anybody's notice is told so, as on a GPU") {
  const Stream stream;
  std::vector<float> x(threads, 1.0F);
  (void)cudaMemcpyAsync(x.data(), x.data(), 4, cudaMemcpyHostToHost, nullptr);  // bug: the result is not looked at
  CHECK_THROWS_WITH(launch<double_kernel>(stream.get(), {dim3(1), dim3(threads)}, x.data()),
                    Catch::Matchers::ContainsSubstring("cudaErrorInvalidValue"));
  stream.synchronize();
  CHECK(cudaGetLastError() == cudaSuccess);
}

TEST_CASE("scratch of a kernel that does not fit is asked for in words, and is no later launch's fault") {
  const Stream stream;
  std::vector<float> x(threads, 1.0F);
  simt::set_memory_limit(1 << 20);
  CHECK_THROWS_WITH(DeviceArray<float>(stream.get(), 1 << 20),
                    Catch::Matchers::ContainsSubstring("out of memory: asked for 4.0 MiB, ") &&
                        Catch::Matchers::ContainsSubstring(" of 1.0 MiB are free"));
  simt::set_memory_limit(0);
  CHECK_NOTHROW(launch<double_kernel>(stream.get(), {dim3(1), dim3(threads)}, x.data()));
  stream.synchronize();
}

TEST_CASE("memory that does not suffice is cudaErrorMemoryAllocation, not the end") {
  const Stream stream;
  simt::set_memory_limit(1 << 20);
  void* p = nullptr;
  CHECK(cudaMallocAsync(&p, 2 << 20, stream.get()) == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(cudaMallocAsync(&p, 1 << 19, stream.get()) == cudaSuccess);
  CHECK(cudaFreeAsync(p, stream.get()) == cudaSuccess);
  CHECK(cudaMallocAsync(&p, 1 << 20, stream.get()) == cudaSuccess);  // what the stream was going to free is free
  CHECK(cudaFreeAsync(p, stream.get()) == cudaSuccess);
  simt::set_memory_limit(0);
}

#if defined(__SANITIZE_ADDRESS__)
TEST_CASE("a store out of bounds is found by AddressSanitizer, with its block and thread") {
  std::array<int, 2> ends{};
  REQUIRE(pipe(ends.data()) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    const Stream stream;
    const DeviceArray<float> y(stream.get(), 127);
    launch<out_of_bounds_kernel>(stream.get(), {dim3(2), dim3(threads)}, 127, y.get());
    (void)cudaStreamSynchronize(stream.get());
    _exit(0);
  }
  close(ends[1]);
  std::string report;
  std::array<char, 4096> chunk{};
  for (ssize_t n = 0; (n = read(ends[0], chunk.data(), chunk.size())) > 0;)
    report.append(chunk.data(), static_cast<std::size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  INFO(report);
  CHECK(!(WIFEXITED(status) && WEXITSTATUS(status) == 0));
  CHECK(report.find("heap-buffer-overflow") != std::string::npos);
  CHECK(report.find("out_of_bounds_kernel, block (1, 0, 0), thread (63, 0, 0)") != std::string::npos);
}
#endif

}  // namespace mcn::simt_device
