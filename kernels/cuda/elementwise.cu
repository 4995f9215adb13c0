// Elementwise kernels over contiguous arrays, and reductions of lists of them to one value.
// Elementwise, a grid-stride loop: neighbouring threads take neighbouring elements, each block many times over.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/device/reduce.h"
#include "kernels/cuda/device/tensor_list.h"

namespace mcn::MCN_DEVICE_NAMESPACE {
namespace {

constexpr unsigned block_threads = 256;

// Enough blocks to fill a large GPU several times; each thread then takes several elements.
Grid grid_for(std::int64_t n) {
  constexpr std::int64_t most_blocks = 1024;
  const std::int64_t blocks = std::min(most_blocks, std::max<std::int64_t>(1, ceil_div(n, block_threads)));
  return {dim3(static_cast<unsigned>(blocks)), dim3(block_threads)};
}

__device__ std::int64_t first_element() { return std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; }
__device__ std::int64_t element_step() { return std::int64_t{gridDim.x} * blockDim.x; }

template <class T>
__global__ void fill_kernel(std::int64_t n, T value, T* y) {
  for (std::int64_t i = first_element(); i < n; i += element_step()) y[i] = value;
}

template <class T>
__global__ void scale_kernel(std::int64_t n, T alpha, const T* x, T* y) {
  for (std::int64_t i = first_element(); i < n; i += element_step()) y[i] = alpha * x[i];
}

template <class T>
__global__ void add_kernel(std::int64_t n, const T* a, const T* b, T* y) {
  for (std::int64_t i = first_element(); i < n; i += element_step()) y[i] = a[i] + b[i];
}

// A NaN stays a NaN.
template <class T>
__global__ void relu_kernel(std::int64_t n, const T* x, T* y) {
  for (std::int64_t i = first_element(); i < n; i += element_step()) y[i] = x[i] < T{0} ? T{0} : x[i];
}

// Where y is NaN, g passes.
template <class T>
__global__ void relu_mask_kernel(std::int64_t n, const T* y, const T* g, T* out) {
  for (std::int64_t i = first_element(); i < n; i += element_step()) out[i] = y[i] <= T{0} ? T{0} : g[i];
}

// Two tensors of a list, or one.
template <class T>
struct Operands {
  const T *a, *b;
  std::int64_t size;
};

struct Product {
  template <class T>
  __device__ double operator()(const Operands<T>& x, std::int64_t i) const {
    return static_cast<double>(x.a[i]) * static_cast<double>(x.b[i]);
  }
};

struct NotFinite {
  template <class T>
  __device__ double operator()(const Operands<T>& x, std::int64_t i) const {
    return isfinite(x.a[i]) ? 0 : 1;
  }
};

// A block's share of the sum of a term over all elements of all tensors.
template <class T, class Term>
__global__ void __launch_bounds__(list_block_threads)
    sum_list_kernel(TensorList<Operands<T>> list, Term term, double* partial) {
  const int e = entry_of_block(list);
  const auto& operands = list.entries[e];
  const std::int64_t first = first_element_of(list, e);
  double sum = 0;
#pragma unroll
  for (int j = 0; j < list_elements_of_thread; ++j)
    if (const std::int64_t i = first + j * list_block_threads; i < operands.size) sum += term(operands, i);
  sum = block_sum(sum, shared<BlockSum<double>>());
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// One block adds up what the blocks before it have left.
__global__ void add_partial_sums_kernel(unsigned count, const double* partial, double* sum) {
  double mine = 0;
  for (unsigned i = threadIdx.x; i < count; i += blockDim.x) mine += partial[i];
  mine = block_sum(mine, shared<BlockSum<double>>());
  if (threadIdx.x == 0) *sum = mine;
}

// The sum of a term over whole lists; a and b are lists of one length, b may be a itself.
template <class Term>
double sum_of(cudaStream_t stream, Term term, std::span<const ConstView> a, std::span<const ConstView> b) {
  std::int64_t blocks = 0;
  for (const ConstView& x : a) blocks += ceil_div(x.numel(), list_chunk);
  if (blocks == 0) return 0;
  const DeviceArray<double> partial(stream, blocks + 1);
  double* to = partial.get();
  for (std::size_t i = 0; i < a.size();)
    dispatch_float(a[i].dtype, [&]<class T>(T) {
      TensorList<Operands<T>> list;
      for (; i < a.size() && !list.full() && a[i].dtype == dtype_of<T>(); ++i)
        if (a[i].numel() > 0) list.add({a[i].as<T>(), b[i].as<T>(), a[i].numel()});
      if (list.count == 0) return;
      launch<sum_list_kernel<T, Term>>(
          stream, {dim3(list.blocks()), dim3(list_block_threads), sizeof(BlockSum<double>)}, list, term, to);
      to += list.blocks();
    });
  double* const sum = partial.get() + blocks;
  launch<add_partial_sums_kernel>(stream, {dim3(1), dim3(block_threads), sizeof(BlockSum<double>)},
                                  static_cast<unsigned>(blocks), partial.get(), sum);
  double value = 0;
  MCN_CUDA(cudaMemcpyAsync(&value, sum, sizeof value, cudaMemcpyDeviceToHost, stream));
  MCN_CUDA(cudaStreamSynchronize(stream));
  return value;
}

}  // namespace

#if defined(__CUDACC__)
cudaError_t find_kernel_image() {
  cudaFuncAttributes attributes{};
  return cudaFuncGetAttributes(&attributes, fill_kernel<float>);
}
#endif

template <>
void CudaBackend::compute(const kernel::Fill& k) {
  dispatch_float(k.y.dtype, [&]<class T>(T) {
    launch<fill_kernel<T>>(stream(), grid_for(k.y.numel()), k.y.numel(), static_cast<T>(k.value), k.y.as<T>());
  });
}

template <>
void CudaBackend::compute(const kernel::Scale& k) {
  dispatch_float(k.y.dtype, [&]<class T>(T) {
    launch<scale_kernel<T>>(stream(), grid_for(k.y.numel()), k.y.numel(), static_cast<T>(k.alpha), k.x.as<T>(),
                            k.y.as<T>());
  });
}

template <>
void CudaBackend::compute(const kernel::Add& k) {
  dispatch_float(k.y.dtype, [&]<class T>(T) {
    launch<add_kernel<T>>(stream(), grid_for(k.y.numel()), k.y.numel(), k.a.as<T>(), k.b.as<T>(), k.y.as<T>());
  });
}

template <>
void CudaBackend::compute(const kernel::Relu& k) {
  dispatch_float(k.y.dtype, [&]<class T>(T) {
    launch<relu_kernel<T>>(stream(), grid_for(k.y.numel()), k.y.numel(), k.x.as<T>(), k.y.as<T>());
  });
}

template <>
void CudaBackend::compute(const kernel::ReluMask& k) {
  dispatch_float(k.out.dtype, [&]<class T>(T) {
    launch<relu_mask_kernel<T>>(stream(), grid_for(k.out.numel()), k.out.numel(), k.y.as<T>(), k.g.as<T>(),
                                k.out.as<T>());
  });
}

template <>
double CudaBackend::compute(const kernel::Dot& k) {
  return sum_of(stream(), Product{}, k.a, k.b);
}

template <>
bool CudaBackend::compute(const kernel::AllFinite& k) {
  return sum_of(stream(), NotFinite{}, k.x, k.x) == 0;
}

}  // namespace mcn::MCN_DEVICE_NAMESPACE
