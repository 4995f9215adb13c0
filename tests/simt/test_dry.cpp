// The dry mode of the simt layer: launches are noted, nothing is executed, memory is counted and never touched.
#include <vector>

#include "kernels/cuda/memory.h"
#include "tests/catch.h"

namespace mcn::simt_device {
namespace {

template <int step>
__global__ void add_kernel(float* x) {
  x[threadIdx.x] += step;
}

/// Sets dry mode, and sets it back.
class DryMode {
 public:
  DryMode() { simt::set_dry(true); }
  ~DryMode() { simt::set_dry(false); }
  DryMode(const DryMode&) = delete;
  DryMode& operator=(const DryMode&) = delete;
};

}  // namespace

TEST_CASE("a kernel's name has its template arguments, by a compiler's text and by the name of a type") {
  using OfTwo = std::integral_constant<decltype(&add_kernel<2>), &add_kernel<2>>;
  CHECK(simt::last_name(typeid(OfTwo).name()) == "add_kernel<2>");
  CHECK(kernel_name<add_kernel<2>>() == "add_kernel<2>");
  CHECK(simt::last_name("not mangled") == "mangled");
}

TEST_CASE("dry mode notes launches, touches no device memory, and gives zeros to the host") {
  const Stream stream;
  const std::set<std::string> before = simt::kernels_run();
  {
    const DryMode dry;
    constexpr std::int64_t far_too_much = std::int64_t{1} << 38;  // floats: a terabyte
    const DeviceArray<float> x(stream.get(), far_too_much);
    std::vector<float> host(8, 7.0F);
    MCN_CUDA(cudaMemcpyAsync(x.get(), host.data(), 32, cudaMemcpyHostToDevice, stream.get()));
    MCN_CUDA(cudaMemsetAsync(x.get(), 1, 32, stream.get()));
    launch<add_kernel<2>>(stream.get(), {dim3(3, 2), dim3(8), 100}, x.get());
    launch<add_kernel<1>>(stream.get(), {dim3(1), dim3(8)}, x.get());
    MCN_CUDA(cudaMemcpyAsync(host.data(), x.get(), 32, cudaMemcpyDeviceToHost, stream.get()));
    stream.synchronize();
    CHECK((host == std::vector<float>(8, 0.0F)));
    const std::vector<simt::LaunchRecord> launches = simt::launches();
    REQUIRE(launches.size() == 2);
    CHECK(launches[0].kernel == "add_kernel<2>");
    CHECK(launches[0].grid.x == 3);
    CHECK(launches[0].grid.y == 2);
    CHECK(launches[0].block.x == 8);
    CHECK(launches[0].shared_bytes == 100);
    CHECK(launches[1].kernel == "add_kernel<1>");
    CHECK(simt::launches().empty());
    CHECK(simt::memory_peak() >= static_cast<std::size_t>(far_too_much) * sizeof(float));
  }
  CHECK((simt::kernels_run() == before));
}

TEST_CASE("dry mode counts memory as free as soon as its stream has freed it") {
  const Stream stream;
  const DryMode dry;
  const std::size_t before = simt::memory_peak();
  for (int i = 0; i < 3; ++i) const DeviceArray<char> x(stream.get(), 1 << 20);
  CHECK(simt::memory_peak() - before == 1 << 20);
}

TEST_CASE("a graph that is captured in dry mode runs when it is over") {
  const Stream stream;
  const DeviceArray<float> x(stream.get(), 8);
  MCN_CUDA(cudaMemsetAsync(x.get(), 0, 32, stream.get()));
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  {
    const DryMode dry;
    MCN_CUDA(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal));
    launch<add_kernel<1>>(stream.get(), {dim3(1), dim3(8)}, x.get());
    MCN_CUDA(cudaStreamEndCapture(stream.get(), &graph));
    CHECK(simt::launches().empty());
    MCN_CUDA(cudaGraphInstantiate(&exec, graph));
    MCN_CUDA(cudaGraphLaunch(exec, stream.get()));
    CHECK(simt::launches().size() == 1);
  }
  MCN_CUDA(cudaGraphLaunch(exec, stream.get()));
  std::vector<float> host(8);
  MCN_CUDA(cudaMemcpyAsync(host.data(), x.get(), 32, cudaMemcpyDeviceToHost, stream.get()));
  stream.synchronize();
  CHECK((host == std::vector<float>(8, 1.0F)));
  MCN_CUDA(cudaGraphExecDestroy(exec));
  MCN_CUDA(cudaGraphDestroy(graph));
}

}  // namespace mcn::simt_device
