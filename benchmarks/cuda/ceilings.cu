// The loops that do nothing but copy or multiply.
#include <cstring>
#include <vector>

#include "benchmarks/cuda/ceilings.h"
#include "benchmarks/cuda/gpu_timer.h"
#include "engine/device.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/device/mma.h"

namespace mcn::bench {
namespace {

using namespace cuda;  // NOLINT(google-build-using-namespace)

constexpr int block = 256, rounds = 4096, chains = 8;

__global__ void copy_kernel(std::int64_t n, const float4* x, float4* y) {
  for (std::int64_t i = std::int64_t{blockIdx.x} * block + threadIdx.x; i < n; i += std::int64_t{gridDim.x} * block)
    y[i] = x[i];
}

// Independent chains: one multiply-add need not wait for the one before it. They start from 0, 1, 2, ..., because the
// compiler would make one of equal ones.
constexpr float first_sums = chains * (chains - 1) / 2;

__global__ void fma_kernel(float one, float* out) {
  float sum[chains];
  for (int c = 0; c < chains; ++c) sum[c] = static_cast<float>(c);
  for (int i = 0; i < rounds; ++i)
#pragma unroll
    for (float& s : sum) s = fmaf(one, one, s);
  float total = 0;
  for (const float s : sum) total += s;
  out[blockIdx.x * block + threadIdx.x] = total;
}

template <bool bf16>
__global__ void mma_kernel(unsigned one, float* out) {
  float sum[chains][4];
  for (int c = 0; c < chains; ++c)
    for (float& s : sum[c]) s = static_cast<float>(c);
  const unsigned a[4] = {one, one, one, one};
  const unsigned b[2] = {one, one};
  for (int i = 0; i < rounds; ++i)
#pragma unroll
    for (auto& d : sum) {
      if constexpr (bf16)
        mma_bf16(d, a, b);
      else
        mma_tf32(d, a, b);
    }
  float total = 0;
  for (const auto& d : sum)
    for (const float s : d) total += s;
  out[blockIdx.x * block + threadIdx.x] = total;
}

}  // namespace

void measure_ceilings(const Settings& settings, const std::function<void(const Row&)>& done) {
  const Gpu gpu = describe_gpu();
  cudaStream_t stream = static_cast<CudaBackend&>(open_device("cuda")).stream();
  const GpuTimer timer(stream, gpu.l2_bytes);
  const unsigned blocks = static_cast<unsigned>(gpu.multiprocessors) * 8;
  const auto wanted = [&](const Row& row) {
    return (row.family + "/" + row.name + "/" + row.number).find(settings.filter) != std::string::npos;
  };
  {
    Row row;
    row.family = "ceiling";
    row.name = "copy";
    row.number = "fp32";
    constexpr std::int64_t bytes = std::int64_t{1} << 30;
    row.bytes = 2.0 * bytes;
    if (wanted(row)) {
      const DeviceArray<float4> x(stream, bytes / 16), y(stream, bytes / 16);
      MCN_CUDA(cudaMemsetAsync(x.get(), 1, bytes, stream));
      const auto run = [&] { launch<copy_kernel>(stream, {dim3(blocks), dim3(block)}, bytes / 16, x.get(), y.get()); };
      run();
      float4 last{};
      MCN_CUDA(cudaMemcpyAsync(&last, y.get() + bytes / 16 - 1, 16, cudaMemcpyDeviceToHost, stream));
      MCN_CUDA(cudaStreamSynchronize(stream));
      const std::uint32_t expected = 0x01010101;
      row.error = std::memcmp(&last.w, &expected, 4) == 0 ? 0 : 1;
      row.ok = row.error <= row.tolerance;
      if (row.ok) row.own_ms = timer.median_ms(settings.runs, run);
      done(row);
    }
  }
  const DeviceArray<float> out(stream, std::int64_t{blocks} * block);
  const auto arithmetic = [&](const char* name, const char* number, double flops_a_thread, float expected, auto&& run) {
    Row row;
    row.family = "ceiling";
    row.name = name;
    row.number = number;
    row.flops = flops_a_thread * blocks * block;
    if (!wanted(row)) return;
    run();
    std::vector<float> host(std::size_t{blocks} * block);
    MCN_CUDA(cudaMemcpyAsync(host.data(), out.get(), host.size() * sizeof(float), cudaMemcpyDeviceToHost, stream));
    MCN_CUDA(cudaStreamSynchronize(stream));
    row.error = 0;
    for (const float value : host)
      if (!(value == expected)) row.error = 1;
    row.ok = row.error <= row.tolerance;
    if (row.ok) row.own_ms = timer.median_ms(settings.runs, run);
    done(row);
  };
  const Grid grid{dim3(blocks), dim3(block)};
  arithmetic("multiply-add", "fp32", 2.0 * rounds * chains, 1.0F * rounds * chains + first_sums,
             [&] { launch<fma_kernel>(stream, grid, 1.0F, out.get()); });
  // A warp's product of 16 x depth and depth x 8; all factors are one, so that each of a lane's four sums is the depth.
  arithmetic("mma.sync", "tf32", 2.0 * 16 * 8 * 8 / 32 * rounds * chains, 4 * (8.0F * rounds * chains + first_sums),
             [&] { launch<mma_kernel<false>>(stream, grid, 0x3F800000U, out.get()); });
  arithmetic("mma.sync", "bf16", 2.0 * 16 * 8 * 16 / 32 * rounds * chains, 4 * (16.0F * rounds * chains + first_sums),
             [&] { launch<mma_kernel<true>>(stream, grid, 0x3F803F80U, out.get()); });
}

}  // namespace mcn::bench
