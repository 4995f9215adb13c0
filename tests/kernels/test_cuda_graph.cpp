// Graphs of the CUDA backend on the device simt: what they do, and misuse that must not pass.
#include "engine/tensor.h"
#include "kernels/cuda/cuda_backend.h"
#include "tests/catch.h"

namespace mcn {
namespace {

using Catch::Matchers::ContainsSubstring;

Tensor filled(Backend& backend, double value) { return Tensor::full(backend, DType::f64, {5}, value); }

}  // namespace

TEST_CASE("a captured piece of work runs at each launch, with memory of its own") {
  simt_device::CudaBackend backend("simt");
  Tensor x = filled(backend, 1);
  Tensor y = filled(backend, 0);
  const std::int64_t before = backend.kernel_calls();
  const auto graph = backend.capture([&] {
    Tensor sum = Tensor::like(x);
    backend.run(kernel::Add{.a = x, .b = y, .y = sum});
    backend.copy(sum, y);
  });
  CHECK(backend.kernel_calls() > before);
  CHECK(y.to_doubles() == std::vector<double>(5, 0));
  for (int i = 0; i < 3; ++i) graph->launch();
  CHECK(y.to_doubles() == std::vector<double>(5, 3));
  backend.run(kernel::Fill{.value = 10, .y = x});
  graph->launch();
  CHECK(y.to_doubles() == std::vector<double>(5, 13));
}

TEST_CASE("an exception in a capture ends it") {
  simt_device::CudaBackend backend("simt");
  Tensor x = filled(backend, 1);
  CHECK_THROWS_WITH(backend.capture([&] {
    backend.run(kernel::Fill{.value = 2, .y = x});
    throw std::runtime_error("planted");
  }),
                    "planted");
  CHECK(x.to_doubles() == std::vector<double>(5, 1));
}

TEST_CASE("reading a value in a capture is an error, after which the device still works") {
  simt_device::CudaBackend backend("simt");
  Tensor x = filled(backend, 1);
  CHECK_THROWS_WITH(backend.capture([&] { (void)x.to_doubles(); }), ContainsSubstring("CaptureUnsupported"));
  CHECK(x.to_doubles() == std::vector<double>(5, 1));
}

TEST_CASE("a capture that frees memory from before it is found") {
  {
    simt_device::CudaBackend backend("simt");
    Tensor x = filled(backend, 1);
    const auto capture = [&] {
      const auto graph = backend.capture([&] { x = Tensor(); });
      graph->launch();
      (void)filled(backend, 1).to_doubles();
    };
    CHECK_THROWS_WITH(capture(), ContainsSubstring("frees memory from before it"));
  }
  simt::clear_fault();
}

TEST_CASE("a graph that keeps memory it allocated cannot run twice") {
  simt_device::CudaBackend backend("simt");
  Tensor x = filled(backend, 1);
  std::unique_ptr<Graph> graph;
  Tensor kept;
  graph = backend.capture([&] { kept = x.clone(); });
  graph->launch();
  CHECK_THROWS_AS(graph->launch(), DeviceError);
  CHECK(kept.to_doubles() == std::vector<double>(5, 1));
}

TEST_CASE("a graph that uses a tensor which is gone is not launched") {
  {
    simt_device::CudaBackend backend("simt");
    Tensor y = filled(backend, 0);
    std::unique_ptr<Graph> graph;
    {
      Tensor x = filled(backend, 1);
      graph = backend.capture([&] { backend.run(kernel::Add{.a = x, .b = y, .y = y}); });
      graph->launch();
      CHECK(y.to_doubles() == std::vector<double>(5, 1));
    }
    CHECK_THROWS_WITH(graph->launch(), ContainsSubstring("add_kernel<double> was captured with 40 bytes of device "
                                                         "memory, which have been freed since"));
  }
  simt::clear_fault();
}

TEST_CASE("a wait for an upload, and host memory, are refused in a capture") {
  simt_device::CudaBackend backend("simt");
  Tensor x = filled(backend, 1);
  CHECK_THROWS_WITH(backend.capture([&] { (void)backend.allocate_host(100); }),
                    ContainsSubstring("CaptureUnsupported"));
  void* const host = backend.allocate_host(x.bytes());
  CHECK_THROWS_WITH(backend.capture([&] { (void)backend.upload(host, x); }), ContainsSubstring("CapturedEvent"));
  backend.release_host(host);
  CHECK(x.to_doubles() == std::vector<double>(5, 1));
}

}  // namespace mcn
