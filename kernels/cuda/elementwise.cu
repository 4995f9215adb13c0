// Elementwise kernels over contiguous arrays, and their reductions to one value.
// A grid-stride loop: neighbouring threads take neighbouring elements, each block many times over.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/device/reduce.h"

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
__global__ void axpy_kernel(std::int64_t n, T alpha, const T* x, T* y) {
  for (std::int64_t i = first_element(); i < n; i += element_step()) y[i] += alpha * x[i];
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

// A block's share of sum(a b).
template <class T>
__global__ void dot_kernel(std::int64_t n, const T* a, const T* b, double* partial) {
  double sum = 0;
  for (std::int64_t i = first_element(); i < n; i += element_step())
    sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  sum = block_sum(sum, shared<BlockSum<double>>());
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// A block's number of elements that are not finite.
template <class T>
__global__ void count_not_finite_kernel(std::int64_t n, const T* x, double* partial) {
  double count = 0;
  for (std::int64_t i = first_element(); i < n; i += element_step()) count += isfinite(x[i]) ? 0 : 1;
  count = block_sum(count, shared<BlockSum<double>>());
  if (threadIdx.x == 0) partial[blockIdx.x] = count;
}

// One block adds up what the blocks before it have left.
__global__ void add_partial_sums_kernel(unsigned count, const double* partial, double* sum) {
  double mine = 0;
  for (unsigned i = threadIdx.x; i < count; i += blockDim.x) mine += partial[i];
  mine = block_sum(mine, shared<BlockSum<double>>());
  if (threadIdx.x == 0) *sum = mine;
}

double sum_on_host(const Stream& stream, unsigned count, const double* partial) {
  const DeviceArray<double> sum(stream.get(), 1);
  launch<add_partial_sums_kernel>(stream.get(), {dim3(1), dim3(block_threads), sizeof(BlockSum<double>)}, count,
                                  partial, sum.get());
  double value = 0;
  MCN_CUDA(cudaMemcpyAsync(&value, sum.get(), sizeof value, cudaMemcpyDeviceToHost, stream.get()));
  stream.synchronize();
  return value;
}

}  // namespace

void CudaBackend::fill(double value, View y) {
  count_kernel();
  dispatch_float(y.dtype, [&]<class T>(T) {
    launch<fill_kernel<T>>(stream(), grid_for(y.numel()), y.numel(), static_cast<T>(value), y.as<T>());
  });
}

void CudaBackend::scale(double alpha, ConstView x, View y) {
  count_kernel();
  dispatch_float(y.dtype, [&]<class T>(T) {
    launch<scale_kernel<T>>(stream(), grid_for(y.numel()), y.numel(), static_cast<T>(alpha), x.as<T>(), y.as<T>());
  });
}

void CudaBackend::axpy(double alpha, ConstView x, View y) {
  count_kernel();
  dispatch_float(y.dtype, [&]<class T>(T) {
    launch<axpy_kernel<T>>(stream(), grid_for(y.numel()), y.numel(), static_cast<T>(alpha), x.as<T>(), y.as<T>());
  });
}

void CudaBackend::add(ConstView a, ConstView b, View y) {
  count_kernel();
  dispatch_float(y.dtype, [&]<class T>(T) {
    launch<add_kernel<T>>(stream(), grid_for(y.numel()), y.numel(), a.as<T>(), b.as<T>(), y.as<T>());
  });
}

void CudaBackend::relu(ConstView x, View y) {
  count_kernel();
  dispatch_float(y.dtype, [&]<class T>(T) {
    launch<relu_kernel<T>>(stream(), grid_for(y.numel()), y.numel(), x.as<T>(), y.as<T>());
  });
}

void CudaBackend::relu_mask(ConstView y, ConstView g, View out) {
  count_kernel();
  dispatch_float(out.dtype, [&]<class T>(T) {
    launch<relu_mask_kernel<T>>(stream(), grid_for(out.numel()), out.numel(), y.as<T>(), g.as<T>(), out.as<T>());
  });
}

double CudaBackend::dot(ConstView a, ConstView b) {
  count_kernel();
  Grid grid = grid_for(a.numel());
  grid.shared_bytes = sizeof(BlockSum<double>);
  const DeviceArray<double> partial(stream(), grid.blocks.x);
  dispatch_float(a.dtype, [&]<class T>(T) {
    launch<dot_kernel<T>>(stream(), grid, a.numel(), a.as<T>(), b.as<T>(), partial.get());
  });
  return sum_on_host(stream_, grid.blocks.x, partial.get());
}

bool CudaBackend::all_finite(ConstView x) {
  count_kernel();
  Grid grid = grid_for(x.numel());
  grid.shared_bytes = sizeof(BlockSum<double>);
  const DeviceArray<double> partial(stream(), grid.blocks.x);
  dispatch_float(x.dtype, [&]<class T>(T) {
    launch<count_not_finite_kernel<T>>(stream(), grid, x.numel(), x.as<T>(), partial.get());
  });
  return sum_on_host(stream_, grid.blocks.x, partial.get()) == 0;
}

}  // namespace mcn::MCN_DEVICE_NAMESPACE
