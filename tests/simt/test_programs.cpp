// Known programs on the simt layer, in every order of threads: reduction, scan, transposition, warp sums, votes,
// asynchronous copies, graphs.
#include <numeric>
#include <vector>

#include "kernels/cuda/device/reduce.h"
#include "kernels/cuda/memory.h"
#include "tests/catch.h"
#include "tests/simt/orders.h"

namespace mcn::simt_device {
namespace {

using test::in_every_order;

template <class T>
std::vector<T> on_host(const Stream& stream, const DeviceArray<T>& array, std::size_t count) {
  std::vector<T> values(count);
  MCN_CUDA(cudaMemcpyAsync(values.data(), array.get(), count * sizeof(T), cudaMemcpyDeviceToHost, stream.get()));
  stream.synchronize();
  return values;
}

template <class T>
void upload(const Stream& stream, const std::vector<T>& values, const DeviceArray<T>& array) {
  MCN_CUDA(
      cudaMemcpyAsync(array.get(), values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice, stream.get()));
  stream.synchronize();
}

std::vector<float> numbers(std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>((i * 37 + 11) % 101) - 50.0F;
  return values;
}

constexpr unsigned threads = 128;

__global__ void reduce_kernel(int n, const float* x, float* sums) {
  float sum = 0;
  for (int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); i < n;
       i += static_cast<int>(gridDim.x * blockDim.x))
    sum += x[i];
  sum = block_sum(sum, shared<BlockSum<float>>());
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

struct ScanShared {
  float values[2][threads];
};

// Inclusive scan by doubling strides.
__global__ void scan_kernel(const float* x, float* y) {
  auto& s = shared<ScanShared>();
  const unsigned t = threadIdx.x;
  s.values[0][t] = x[t];
  int from = 0;
  for (unsigned stride = 1; stride < threads; stride *= 2) {
    __syncthreads();
    s.values[1 - from][t] = s.values[from][t] + (t >= stride ? s.values[from][t - stride] : 0.0F);
    from = 1 - from;
  }
  y[t] = s.values[from][t];
}

struct TransposeShared {
  float tile[32][33];
};

__global__ void transpose_kernel(int rows, int columns, const float* x, float* y) {
  auto& s = shared<TransposeShared>();
  int column = static_cast<int>(blockIdx.x * 32 + threadIdx.x);
  int row = static_cast<int>(blockIdx.y * 32);
  for (int i = static_cast<int>(threadIdx.y); i < 32; i += 8)
    if (row + i < rows && column < columns) s.tile[i][threadIdx.x] = x[(row + i) * columns + column];
  __syncthreads();
  column = static_cast<int>(blockIdx.y * 32 + threadIdx.x);
  row = static_cast<int>(blockIdx.x * 32);
  for (int i = static_cast<int>(threadIdx.y); i < 32; i += 8)
    if (row + i < columns && column < rows) y[(row + i) * rows + column] = s.tile[threadIdx.x][i];
}

struct WarpFacts {
  float sum, most, first, up, down;
  unsigned ballot;
  int any, all;
};

__global__ void warp_kernel(const float* x, WarpFacts* facts) {
  const unsigned t = threadIdx.x;
  const float v = x[t];
  WarpFacts f{};
  f.sum = warp_sum(v);
  f.most = warp_max(v);
  f.first = __shfl_sync(all_lanes, v, 0);
  f.up = __shfl_up_sync(all_lanes, v, 1);
  f.down = __shfl_down_sync(all_lanes, v, 1);
  f.ballot = __ballot_sync(all_lanes, v > 0 ? 1 : 0);
  f.any = __any_sync(all_lanes, v > 1000 ? 1 : 0);
  f.all = __all_sync(all_lanes, v > -1000 ? 1 : 0);
  facts[t] = f;
}

struct CopyShared {
  alignas(16) float stages[2][threads];
};

// A pipeline of two stages: the next stage is on its way while this one is used.
__global__ void copy_pipeline_kernel(int steps, const float* x, float* y) {
  auto& s = shared<CopyShared>();
  const unsigned t = threadIdx.x;
  const auto begin = [&](int step) {
    if (step < steps && t % 4 == 0)
      simt::copy_async(&s.stages[step % 2][t], x + step * static_cast<int>(threads) + t, 16);
    simt::commit_copies();
  };
  begin(0);
  float sum = 0;
  for (int step = 0; step < steps; ++step) {
    begin(step + 1);
    simt::wait_copies(1);
    __syncthreads();
    sum += s.stages[step % 2][threads - 1 - t];
    __syncthreads();
  }
  simt::wait_copies(0);
  y[t] = sum;
}

__global__ void add_one_kernel(float* x) { x[threadIdx.x] += 1; }

}  // namespace

TEST_CASE("a reduction in blocks") {
  in_every_order([] {
    const Stream stream;
    const std::vector<float> x = numbers(5000);
    const DeviceArray<float> in(stream.get(), 5000), sums(stream.get(), 7);
    upload(stream, x, in);
    launch<reduce_kernel>(stream.get(), {dim3(7), dim3(threads), sizeof(BlockSum<float>)}, 5000, in.get(), sums.get());
    std::vector<float> got = on_host(stream, sums, 7);
    CHECK(std::accumulate(got.begin(), got.end(), 0.0F) == std::accumulate(x.begin(), x.end(), 0.0F));
    return got;
  });
}

TEST_CASE("a scan") {
  in_every_order([] {
    const Stream stream;
    const std::vector<float> x = numbers(threads);
    std::vector<float> expected(threads);
    std::partial_sum(x.begin(), x.end(), expected.begin());
    const DeviceArray<float> in(stream.get(), threads), out(stream.get(), threads);
    upload(stream, x, in);
    launch<scan_kernel>(stream.get(), {dim3(1), dim3(threads), sizeof(ScanShared)}, in.get(), out.get());
    std::vector<float> got = on_host(stream, out, threads);
    CHECK((got == expected));
    return got;
  });
}

TEST_CASE("a transposition with ragged edges") {
  in_every_order([] {
    constexpr int rows = 45, columns = 70;
    const Stream stream;
    const std::vector<float> x = numbers(rows * columns);
    const DeviceArray<float> in(stream.get(), rows * columns), out(stream.get(), rows * columns);
    upload(stream, x, in);
    launch<transpose_kernel>(stream.get(), {dim3(3, 2), dim3(32, 8), sizeof(TransposeShared)}, rows, columns, in.get(),
                             out.get());
    std::vector<float> got = on_host(stream, out, rows * columns);
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < columns; ++c) REQUIRE(got[c * rows + r] == x[r * columns + c]);
    return got;
  });
}

TEST_CASE("shuffles and votes of a warp") {
  in_every_order([] {
    const Stream stream;
    const std::vector<float> x = numbers(64);
    const DeviceArray<float> in(stream.get(), 64);
    const DeviceArray<WarpFacts> out(stream.get(), 64);
    upload(stream, x, in);
    launch<warp_kernel>(stream.get(), {dim3(1), dim3(64)}, in.get(), out.get());
    const std::vector<WarpFacts> got = on_host(stream, out, 64);
    std::vector<float> sums;
    for (std::size_t t = 0; t < 64; ++t) {
      const std::size_t base = t / 32 * 32;
      const auto first = x.begin() + static_cast<std::ptrdiff_t>(base);
      unsigned ballot = 0;
      for (std::size_t lane = 0; lane < 32; ++lane) ballot |= x[base + lane] > 0 ? 1U << lane : 0U;
      CHECK(got[t].sum == std::accumulate(first, first + 32, 0.0F));
      CHECK(got[t].most == *std::max_element(first, first + 32));
      CHECK(got[t].first == x[base]);
      CHECK(got[t].up == x[t == base ? t : t - 1]);
      CHECK(got[t].down == x[t == base + 31 ? t : t + 1]);
      CHECK(got[t].ballot == ballot);
      CHECK(got[t].any == 0);
      CHECK(got[t].all == 1);
      sums.push_back(got[t].sum);
    }
    return sums;
  });
}

TEST_CASE("asynchronous copies in two stages") {
  in_every_order([] {
    constexpr int steps = 5;
    const Stream stream;
    const std::vector<float> x = numbers(steps * threads);
    const DeviceArray<float> in(stream.get(), steps * threads), out(stream.get(), threads);
    upload(stream, x, in);
    launch<copy_pipeline_kernel>(stream.get(), {dim3(1), dim3(threads), sizeof(CopyShared)}, steps, in.get(),
                                 out.get());
    std::vector<float> got = on_host(stream, out, threads);
    for (std::size_t t = 0; t < threads; ++t) {
      float sum = 0;
      for (std::size_t step = 0; step < steps; ++step) sum += x[step * threads + threads - 1 - t];
      CHECK(got[t] == sum);
    }
    return got;
  });
}

TEST_CASE("a captured graph runs as often as it is launched") {
  const Stream stream;
  const DeviceArray<float> x(stream.get(), 8);
  MCN_CUDA(cudaMemsetAsync(x.get(), 0, 8 * sizeof(float), stream.get()));
  cudaGraph_t graph = nullptr;
  MCN_CUDA(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal));
  launch<add_one_kernel>(stream.get(), {dim3(1), dim3(8)}, x.get());
  launch<add_one_kernel>(stream.get(), {dim3(1), dim3(8)}, x.get());
  MCN_CUDA(cudaStreamEndCapture(stream.get(), &graph));
  CHECK((on_host(stream, x, 8) == std::vector<float>(8, 0)));
  cudaGraphExec_t exec = nullptr;
  MCN_CUDA(cudaGraphInstantiate(&exec, graph));
  for (int i = 0; i < 3; ++i) MCN_CUDA(cudaGraphLaunch(exec, stream.get()));
  CHECK((on_host(stream, x, 8) == std::vector<float>(8, 6)));
  MCN_CUDA(cudaGraphExecDestroy(exec));
  MCN_CUDA(cudaGraphDestroy(graph));
}

TEST_CASE("a kernel's name is its own with its template arguments") {
  CHECK(kernel_name<reduce_kernel>() == "reduce_kernel");
}

}  // namespace mcn::simt_device
