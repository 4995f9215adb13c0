// The CUDA backend's memory and copies.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/diagnosis.h"

namespace mcn {
namespace MCN_DEVICE_NAMESPACE {
namespace {

class CudaGraph final : public Graph {
 public:
  /// Takes the graph over.
  CudaGraph(cudaStream_t stream, cudaGraph_t graph) : stream_(stream), graph_(graph) {
    if (const cudaError_t error = cudaGraphInstantiate(&exec_, graph, 0); error != cudaSuccess) {
      (void)cudaGraphDestroy(graph);
      check_graph(error, "cudaGraphInstantiate");
    }
  }
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;
  ~CudaGraph() override {
    use_device(device_);
    (void)cudaStreamSynchronize(stream_);  // a launch may still run
    (void)cudaGraphExecDestroy(exec_);
    (void)cudaGraphDestroy(graph_);
#if defined(__CUDACC__)
    (void)cudaDeviceGraphMemTrim(device_);  // what graphs have given back is of use to other graphs only
#endif
  }
  void launch() override {
    use_device(device_);
    check_graph(cudaGraphLaunch(exec_, stream_), "cudaGraphLaunch");
  }

 private:
  // A graph takes its memory when it is made or first runs.
  static void check_graph(cudaError_t error, std::string_view call,
                          const std::source_location& where = std::source_location::current()) {
    if (error == cudaErrorMemoryAllocation) {
      (void)cudaGetLastError();
      fail_out_of_memory(call, "what all kernels of an iteration need at a time");
    }
    check(error, call, where);
  }

  int device_ = current_device();
  cudaStream_t stream_;
  cudaGraph_t graph_;
  cudaGraphExec_t exec_ = nullptr;
};

std::size_t bytes_of(ConstView x) { return static_cast<std::size_t>(x.numel()) * size_of(x.dtype); }

}  // namespace

std::optional<std::size_t> CudaBackend::free_memory() {
#if defined(__CUDACC__)
  std::size_t free = 0, total = 0;
  use_device(device_);
  MCN_CUDA(cudaMemGetInfo(&free, &total));
  return free;
#else
  return {};  // the host's
#endif
}

void CudaBackend::profile(bool on) {
  stream_.synchronize();  // what was put on the stream before belongs to the other side
  if (on)
    MCN_CUDA(cudaProfilerStart());
  else
    MCN_CUDA(cudaProfilerStop());
}

std::unique_ptr<Graph> CudaBackend::capture(const std::function<void()>& work) {
#if defined(__CUDACC__)
  // Graphs do not share in the pool, where the iterations before have left as much as this one is going to need.
  stream_.synchronize();
  cudaMemPool_t pool = nullptr;
  MCN_CUDA(cudaDeviceGetDefaultMemPool(&pool, device_));
  MCN_CUDA(cudaMemPoolTrimTo(pool, 0));
#endif
  MCN_CUDA(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal));
  cudaGraph_t graph = nullptr;
  const auto drop = [&] {
    if (graph != nullptr) (void)cudaGraphDestroy(graph);
    (void)cudaGetLastError();
  };
  try {
    work();
  } catch (...) {
    // The capture must end before anything else can be put on the stream.
    (void)cudaStreamEndCapture(stream(), &graph);
    drop();
    throw;
  }
  if (const cudaError_t error = cudaStreamEndCapture(stream(), &graph); error != cudaSuccess) {
    drop();
    check(error, "cudaStreamEndCapture", std::source_location::current());
  }
  return std::make_unique<CudaGraph>(stream(), graph);
}

void CudaBackend::copy_from_host(const void* host, View y) {
  MCN_CUDA(cudaMemcpyAsync(y.data, host, bytes_of(y), cudaMemcpyHostToDevice, stream()));
  stream_.synchronize();
}

void CudaBackend::copy_to_host(ConstView x, void* host) {
  MCN_CUDA(cudaMemcpyAsync(host, x.data, bytes_of(x), cudaMemcpyDeviceToHost, stream()));
  stream_.synchronize();
}

void* CudaBackend::allocate_host(std::size_t bytes) {
  use_device(device_);
  void* p = nullptr;
  const cudaError_t error = cudaMallocHost(&p, bytes);
  if (error == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    fail<MemoryError>("memory", "{}: out of page-locked host memory: asked for {:.1f} MiB", name(),
                      static_cast<double>(bytes) / (1024.0 * 1024.0));
  }
  check(error, "cudaMallocHost", std::source_location::current());
  return p;
}

void CudaBackend::release_host(void* p) noexcept {
  use_device(device_);  // another GPU would be set up for the call
  (void)cudaFreeHost(p);
}

Backend::Upload CudaBackend::upload(const void* host, View y) {
  use_device(device_);
  const std::lock_guard lock(uploads_mutex_);
  const auto event = [&] {
    if (spare_events_.empty()) return Event();
    Event spare = std::move(spare_events_.back());
    spare_events_.pop_back();
    return spare;
  };
  // y was allocated in the order of the kernels' stream, and may still be in use there.
  Event allocated = event();
  allocated.record(stream());
  allocated.hold(copy_stream_.get());
  MCN_CUDA(cudaMemcpyAsync(y.data, host, bytes_of(y), cudaMemcpyHostToDevice, copy_stream_.get()));
  Event copied = event();
  copied.record(copy_stream_.get());
  copied.hold(stream());
  spare_events_.push_back(std::move(allocated));
  uploads_.emplace(++last_upload_, std::move(copied));
  return last_upload_;
}

void CudaBackend::wait_upload(Upload upload) noexcept {
  if (upload == no_upload) return;
  std::optional<Event> event;
  {
    const std::lock_guard lock(uploads_mutex_);
    auto node = uploads_.extract(upload);
    if (node.empty()) return;
    event.emplace(std::move(node.mapped()));
  }
  use_device(device_);
  (void)cudaEventSynchronize(event->get());  // what went wrong in the copy comes out at the next call
  const std::lock_guard lock(uploads_mutex_);
  spare_events_.push_back(std::move(*event));
}

void CudaBackend::copy(ConstView x, View y) {
  if (x.data != y.data) MCN_CUDA(cudaMemcpyAsync(y.data, x.data, bytes_of(x), cudaMemcpyDeviceToDevice, stream()));
}

void* CudaBackend::allocate_impl(std::size_t bytes) {
  return bytes == 0 ? nullptr : allocate_on(stream(), bytes, name());
}

void CudaBackend::release_impl(void* p, std::size_t) noexcept { (void)cudaFreeAsync(p, stream()); }

}  // namespace MCN_DEVICE_NAMESPACE

#if defined(__CUDACC__)
namespace {

GpuProbe probe(int index) {
  GpuProbe p;
  p.index = index;
  for (const int arch : {__CUDA_ARCH_LIST__}) p.built_for.push_back(arch / 10);
  (void)cudaDriverGetVersion(&p.driver_version);
  (void)cudaRuntimeGetVersion(&p.runtime_version);
  if (const cudaError_t error = cudaGetDeviceCount(&p.count); error != cudaSuccess && error != cudaErrorNoDevice)
    p.error = cudaGetErrorString(error);
  if (p.error.empty() && index < p.count) {
    int major = 0, minor = 0;
    (void)cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index);
    (void)cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index);
    p.capability = 10 * major + minor;
    // Before anything else sets the GPU up: threads that wait for it sleep, and leave the processor to the decoders.
    cudaError_t error = cudaInitDevice(index, cudaDeviceScheduleBlockingSync, cudaInitDeviceFlagsAreValid);
    if (error == cudaSuccess) error = cudaSetDevice(index);
    if (error == cudaSuccess) error = cuda::find_kernel_image();
    if (error == cudaErrorNoKernelImageForDevice)
      p.has_image = false;
    else if (error != cudaSuccess)
      p.error = cudaGetErrorString(error);
  }
  (void)cudaGetLastError();
  return p;
}

}  // namespace

std::unique_ptr<Backend> make_cuda_backend(int index) {
  if (const std::string fault = gpu_fault(probe(index)); !fault.empty()) fail<DeviceError>("cuda", "{}", fault);
  // Memory that is given back stays with the process: by default it would go back to the driver at every wait.
  cudaMemPool_t pool = nullptr;
  MCN_CUDA(cudaDeviceGetDefaultMemPool(&pool, index));
  std::uint64_t keep_all = UINT64_MAX;
  MCN_CUDA(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep_all));
  return std::make_unique<cuda::CudaBackend>(index == 0 ? "cuda" : fmt::format("cuda:{}", index));
}
#else
std::unique_ptr<Backend> make_simt_backend() { return std::make_unique<simt_device::CudaBackend>("simt"); }
#endif

}  // namespace mcn
