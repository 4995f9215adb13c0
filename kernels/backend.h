// A backend: every kernel of the engine for one kind of device, its memory, and an account of what has run.
// Implementations: kernels/ref (the oracle), kernels/cpu; kernels/cuda and kernels/simt take the same seat.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/gemm_library.h"
#include "kernels/list.h"
#include "kernels/precision.h"
#include "kernels/range.h"

namespace mcn {

/// Bytes handed out by a backend.
struct MemoryUse {
  std::size_t current = 0;
  std::size_t peak = 0;
};

/// Work of a backend that was recorded once and runs as a whole.
class Graph {
 public:
  Graph() = default;
  virtual ~Graph() = default;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  /// Puts it on the device once more, on the memory that the recorded calls named.
  virtual void launch() = 0;
};

/// backend.run(kernel::Scale{.alpha = 2, .x = x, .y = y}) puts a kernel on the device. Shapes are checked before
/// (engine/ops), so kernels trust them. Calls are ordered: a kernel sees what earlier calls wrote. A device's stream
/// belongs to its backend object, not to a call.
class Backend : public TakesKernels<Kernels> {
 public:
  explicit Backend(std::string name) : name_(std::move(name)) {}
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  /// The name that --device takes.
  [[nodiscard]] const std::string& name() const { return name_; }
  /// What else tells one such device from another; empty on most.
  [[nodiscard]] virtual std::string detail() const { return {}; }

  /// In a range of the kernel's name. UsageError for an argument that is absent and must not be, and for two dtypes.
  template <typename K>
  ResultOf<K> run(const K& kernel) {
    check_arguments(kernel);
    kernel_calls_.fetch_add(1, std::memory_order_relaxed);
    const Range range(K::name);
    return compute_any(kernel);
  }

  /// Memory aligned to 64 bytes, uninitialised; DeviceError names the size if there is none. bytes may be 0.
  void* allocate(std::size_t bytes) {
    void* p = allocate_impl(bytes);
    const std::size_t now = current_.fetch_add(bytes) + bytes;
    std::size_t peak = peak_.load();
    while (now > peak && !peak_.compare_exchange_weak(peak, now)) {
    }
    return p;
  }
  void release(void* p, std::size_t bytes) noexcept {
    if (p == nullptr) return;
    current_.fetch_sub(bytes);
    release_impl(p, bytes);
  }
  [[nodiscard]] MemoryUse memory() const { return {current_.load(), peak_.load()}; }
  /// Bytes of the device's own memory that are free; none if it computes in the host's.
  [[nodiscard]] virtual std::optional<std::size_t> free_memory() { return {}; }
  /// Makes the peak start again from what is in use now.
  void reset_peak() { peak_.store(current_.load()); }

  /// Copies of y.numel() elements. host points to elements of y's dtype.
  virtual void copy_from_host(const void* host, View y) = 0;
  virtual void copy_to_host(ConstView x, void* host) = 0;
  virtual void copy(ConstView x, View y) = 0;

  /// Host memory that upload() copies from at full speed: page-locked where the device has memory of its own. Safe from
  /// any thread, as is wait_upload().
  virtual void* allocate_host(std::size_t bytes);
  virtual void release_host(void* p) noexcept;
  /// Copies y.numel() elements as copy_from_host(), but may return before host memory is read; that must stay as it is
  /// until wait_upload() has returned, which is called once for each upload.
  using Upload = std::uint64_t;
  static constexpr Upload no_upload = 0;
  virtual Upload upload(const void* host, View y) {
    copy_from_host(host, y);
    return no_upload;
  }
  virtual void wait_upload(Upload upload) noexcept { (void)upload; }

  /// Whether convolutions of float32 can have it; any device has fp32.
  [[nodiscard]] virtual bool has_precision(Precision precision) const { return precision == Precision::fp32; }

  /// Whose matrix products are used from now on; our own at first. UsageError where the device has no other.
  virtual void set_gemm(GemmLibrary library) {
    if (library != GemmLibrary::own) fail("gemm", "device {} has only our own products; cublas needs a GPU", name());
  }

  /// Opens (closes) the window in which a profiler that waits for it records; nothing on a device without one.
  virtual void profile(bool on) { (void)on; }

  /// Records what `work` puts on the device, which does not run now. Memory that work allocates it must also release;
  /// memory from before must outlive the graph and is not released in it; nothing is read by the host. UsageError on a
  /// device without graphs.
  [[nodiscard]] virtual bool has_graphs() const { return false; }
  virtual std::unique_ptr<Graph> capture(const std::function<void()>& work) {
    (void)work;
    fail("graph", "device {} has no graphs", name());
  }

  /// UsageError unless has_precision().
  void require_precision(Precision precision) const {
    if (!has_precision(precision))
      fail("precision", "device {} computes in fp32; tf32 and bf16 need tensor cores (devices cuda and simt)", name());
  }

  /// Number of kernels that this backend's own code has run: how a forced backend is proven to have run.
  [[nodiscard]] std::int64_t kernel_calls() const { return kernel_calls_.load(); }

 protected:
  virtual void* allocate_impl(std::size_t bytes) = 0;
  virtual void release_impl(void* p, std::size_t bytes) noexcept = 0;

 private:
  std::string name_;
  std::atomic<std::size_t> current_{0};
  std::atomic<std::size_t> peak_{0};
  std::atomic<std::int64_t> kernel_calls_{0};
};

/// A Base whose kernels are computed by Derived::compute(const K&), a member template that Derived declares and
/// specializes for every kernel. One that it lacks is an error of the linker, which names both.
template <typename Derived, typename Base = Backend, typename List = Kernels>
class ComputesKernels;
template <typename Derived, typename Base>
class ComputesKernels<Derived, Base, KernelList<>> : public Base {
 public:
  using Base::Base;
};
template <typename Derived, typename Base, typename K, typename... Rest>
class ComputesKernels<Derived, Base, KernelList<K, Rest...>>
    : public ComputesKernels<Derived, Base, KernelList<Rest...>> {
 public:
  using ComputesKernels<Derived, Base, KernelList<Rest...>>::ComputesKernels;

 protected:
  using ComputesKernels<Derived, Base, KernelList<Rest...>>::compute_any;
  ResultOf<K> compute_any(const K& kernel) final { return static_cast<Derived&>(*this).compute(kernel); }
};

// Kernels over lists, for one tensor.
inline void axpy(Backend& backend, double alpha, ConstView x, View y) {
  backend.run(kernel::Axpy{.alpha = alpha, .x = {&x, 1}, .y = {&y, 1}});
}
inline double dot(Backend& backend, ConstView a, ConstView b) {
  return backend.run(kernel::Dot{.a = {&a, 1}, .b = {&b, 1}});
}
inline bool all_finite(Backend& backend, ConstView x) { return backend.run(kernel::AllFinite{.x = {&x, 1}}); }

inline void* Backend::allocate_host(std::size_t bytes) {
  void* p = ::operator new (bytes, std::align_val_t{64}, std::nothrow);
  if (p == nullptr) fail<MemoryError>("memory", "{}: no {} bytes of host memory are to be had", name(), bytes);
  return p;
}
inline void Backend::release_host(void* p) noexcept { ::operator delete (p, std::align_val_t{64}); }

/// A new `ref` backend: boring loops in float32 and float64, one thread, never optimised.
std::unique_ptr<Backend> make_ref_backend();
/// A new `cpu` backend: vectorised kernels on the threads of kernels/parallel.h, the same bits for any number of
/// threads. Of the highest level of the instruction set that the processor has, or of the one that the environment
/// variable MCN_CPU_ISA names; DeviceError if the processor lacks it. Two levels may round differently.
std::unique_ptr<Backend> make_cpu_backend();
/// Of one of cpu_levels().
std::unique_ptr<Backend> make_cpu_backend(std::string_view level);
/// The levels that the cpu kernels are compiled for and the processor has, the highest first: v4, v3 and v2 of x86-64,
/// "generic" on any other processor.
std::vector<std::string> cpu_levels();
/// A new `cuda` backend on a GPU, counted from 0; only where the build has nvcc. DeviceError, with the cause, if that
/// GPU is not there or cannot run this build's kernels.
std::unique_ptr<Backend> make_cuda_backend(int index);
/// A new `simt` backend: the CUDA kernels, executed on the CPU. For testing; slow.
std::unique_ptr<Backend> make_simt_backend();

}  // namespace mcn
