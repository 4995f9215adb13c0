// The CUDA backend called from threads whose current device is another: a thread starts with device 0.
#include <thread>

#include "engine/tensor.h"
#include "kernels/cuda/cuda_backend.h"
#include "tests/catch.h"

namespace mcn {
namespace {

/// As many devices, of which this thread has the last.
class LastOf {
 public:
  explicit LastOf(int devices) {
    simt::set_device_count(devices);
    simt_device::use_device(devices - 1);
  }
  ~LastOf() {
    simt_device::use_device(0);
    simt::set_device_count(1);
  }
  LastOf(const LastOf&) = delete;
  LastOf& operator=(const LastOf&) = delete;
};

}  // namespace

TEST_CASE("a backend works on its own device, whichever thread calls") {
  const LastOf two(2);
  simt_device::CudaBackend backend("simt");
  std::string error;
  std::vector<double> sum;
  // Each piece of work in a thread of its own, whose first call is another part of the backend.
  const auto in_a_thread = [&](const std::function<void()>& work) {
    std::thread([&] {
      try {
        work();
      } catch (const std::exception& e) {
        error = e.what();
      }
    }).join();
    CHECK(error.empty());
  };
  Tensor x, y;
  std::unique_ptr<Graph> graph;
  void* host = nullptr;
  Backend::Upload upload = Backend::no_upload;
  in_a_thread([&] { x = Tensor(backend, DType::f64, {5}); });
  in_a_thread([&] { backend.run(kernel::Fill{.value = 3, .y = x}); });
  in_a_thread([&] { y = x.clone(); });
  in_a_thread([&] {
    graph = backend.capture([&] {
      Tensor twice = Tensor::like(x);
      backend.run(kernel::Add{.a = x, .b = y, .y = twice});
      backend.copy(twice, y);
    });
  });
  in_a_thread([&] { graph->launch(); });
  in_a_thread([&] {
    const ConstView a = x, b = y;
    sum = {backend.run(kernel::Dot{.a = {&a, 1}, .b = {&b, 1}})};
  });
  CHECK(sum == std::vector<double>{5 * 3 * 6});
  in_a_thread([&] { host = backend.allocate_host(5 * sizeof(double)); });
  in_a_thread([&] {
    std::fill_n(static_cast<double*>(host), 5, 7.0);
    upload = backend.upload(host, x);
  });
  in_a_thread([&] { backend.wait_upload(upload); });
  in_a_thread([&] { sum = x.to_doubles(); });
  CHECK(sum == std::vector<double>(5, 7));
  in_a_thread([&] { backend.release_host(host); });
  in_a_thread([&] { graph.reset(); });
  in_a_thread([&] { x = y = Tensor(); });
  in_a_thread([&] { sum = Tensor::full(backend, DType::f64, {2}, 1).to_doubles(); });
  CHECK(simt::fault().empty());
}

}  // namespace mcn
