// What every kernel file starts from: CUDA C++ by nvcc, or its words on the CPU by the host compiler (kernels/simt).
// The same sources become the devices `cuda` and `simt`; their namespaces keep them apart in one program.
#pragma once

#include <cstddef>
#include <cstdint>
#include <source_location>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

#if defined(__CUDACC__)
#include <cuda_profiler_api.h>
#include <cuda_runtime.h>
#define MCN_DEVICE_NAMESPACE cuda
#else
#include "kernels/simt/runtime.h"
#define MCN_DEVICE_NAMESPACE simt_device
#endif

#include "kernels/error.h"

namespace mcn::MCN_DEVICE_NAMESPACE {

/// Throws DeviceError unless error is cudaSuccess: the call or kernel, its file and line, CUDA's words for it.
inline void check(cudaError_t error, std::string_view what, const std::source_location& where) {
  if (error == cudaSuccess) return;
  (void)cudaGetLastError();  // the next launch asks for it, and would be blamed
  const std::string_view path = where.file_name();
  std::string detail = cudaGetErrorString(error);
#if !defined(__CUDACC__)
  if (error == cudaErrorLaunchFailure && !simt::fault().empty()) detail = simt::fault();
#endif
  fail<DeviceError>("cuda", "{} failed at {}:{}: {} ({})", what, path.substr(path.rfind('/') + 1), where.line(), detail,
                    cudaGetErrorName(error));
}

/// Calls a function of CUDA's runtime and throws if it fails.
#define MCN_CUDA(call) ::mcn::MCN_DEVICE_NAMESPACE::check((call), #call, std::source_location::current())

/// Blocks, threads a block, and bytes of dynamic shared memory.
struct Grid {
  dim3 blocks, threads;
  std::size_t shared_bytes = 0;
};

/// A kernel's name with its template arguments, without the namespaces of this project's kernels.
template <auto kernel>
std::string kernel_name() {
#if defined(__clang__) && !defined(__CUDACC__)
  // clang's __PRETTY_FUNCTION__ leaves the kernel's template arguments out; the name of a type has them.
  return simt::last_name(typeid(std::integral_constant<decltype(kernel), kernel>).name());
#else
  std::string_view text = __PRETTY_FUNCTION__;
  text.remove_prefix(text.find("kernel = ") + 9);
  text = text.substr(0, text.find(';'));
  if (text.find('[') == std::string_view::npos) text = text.substr(0, text.find_last_of(']'));
  // The namespaces, named ("a::b") or not ("{anonymous}"), stand before the name.
  const std::size_t scope = text.substr(0, text.find('<')).find_last_of(":}) &");
  if (scope != std::string_view::npos) text.remove_prefix(scope + 1);
  return std::string(text);
#endif
}

/// A launch's stream, and the place of the launch, which an error names.
struct LaunchOn {
  cudaStream_t stream;
  std::source_location where;

  // NOLINTNEXTLINE(google-explicit-constructor)
  LaunchOn(cudaStream_t on, const std::source_location& from = std::source_location::current())
      : stream(on), where(from) {}
};

/// Puts a kernel on a stream. The only way that kernels are started.
template <auto kernel, class... Args>
void launch(const LaunchOn& on, const Grid& grid, Args... args) {
  const auto check_launch = [&](cudaError_t error) {
    if (error != cudaSuccess) check(error, kernel_name<kernel>(), on.where);
  };
#if defined(__CUDACC__)
  constexpr std::size_t default_limit = 48 << 10;
  if (grid.shared_bytes > default_limit)
    check_launch(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(grid.shared_bytes)));
  kernel<<<grid.blocks, grid.threads, grid.shared_bytes, on.stream>>>(args...);
#else
  static const std::string name = kernel_name<kernel>();
  std::vector<const void*> words;
  (simt::add_words(args, words), ...);
  check_launch(simt::enqueue(on.stream, {name,
                                         {grid.blocks.x, grid.blocks.y, grid.blocks.z},
                                         {grid.threads.x, grid.threads.y, grid.threads.z},
                                         grid.shared_bytes,
                                         [=] { kernel(args...); },
                                         std::move(words)}));
#endif
  check_launch(cudaGetLastError());
}

/// The block's dynamic shared memory as one T. A launch gives sizeof(T) bytes.
template <class T>
__device__ T& shared() {
  static_assert(alignof(T) <= 16);
#if defined(__CUDACC__)
  extern __shared__ __align__(16) unsigned char dynamic_shared[];
  return *reinterpret_cast<T*>(dynamic_shared);
#else
  return *static_cast<T*>(simt::shared_memory(sizeof(T)));
#endif
}

/// Index types are 64 bits only where a tensor may have 2^31 elements.
__host__ __device__ constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

}  // namespace mcn::MCN_DEVICE_NAMESPACE
