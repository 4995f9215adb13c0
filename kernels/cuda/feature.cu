// Feature vectors: L2 normalisation (a block a row), the pairing of the feature combination module (a thread a pair's
// feature forwards, a thread a row's feature backwards, where it adds up its pairs in order), and the bank's rows.
#include <algorithm>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/device/reduce.h"

namespace mcn::MCN_DEVICE_NAMESPACE {
namespace {

constexpr unsigned block_threads = 128;

// One block a row, with room for its sums.
Grid row_grid(std::int64_t rows) {
  return {dim3(static_cast<unsigned>(rows)), dim3(block_threads), sizeof(BlockSum<double>)};
}

Grid element_grid(std::int64_t n) {
  constexpr std::int64_t most_blocks = 4096;
  return {dim3(static_cast<unsigned>(std::clamp<std::int64_t>(ceil_div(n, block_threads), 1, most_blocks))),
          dim3(block_threads)};
}

__device__ std::int64_t first_element() { return std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; }
__device__ std::int64_t element_step() { return std::int64_t{gridDim.x} * blockDim.x; }

// An absent tangent is zero.
template <class T>
__device__ T value_or_zero(const T* p, std::int64_t i) {
  return p == nullptr ? T{0} : p[i];
}

// sum over c of f(c), in every thread.
template <class F>
__device__ double row_sum(std::int64_t size, const F& f) {
  double sum = 0;
  for (std::int64_t c = threadIdx.x; c < size; c += blockDim.x) sum += f(c);
  return block_sum(sum, shared<BlockSum<double>>());
}

template <class T>
__device__ double product(T a, T b) {
  return static_cast<double>(a) * static_cast<double>(b);
}

// max(length, eps), but NaN for NaN.
__device__ double divisor(double length, double eps) { return length <= eps ? eps : length; }

template <class T>
__global__ void l2_normalize_kernel(std::int64_t size, double eps, const T* x, T* y, T* norm) {
  const T* row = x + blockIdx.x * size;
  const double n = divisor(sqrt(row_sum(size, [=](std::int64_t c) { return product(row[c], row[c]); })), eps);
  for (std::int64_t c = threadIdx.x; c < size; c += blockDim.x)
    y[blockIdx.x * size + c] = static_cast<T>(static_cast<double>(row[c]) / n);
  if (threadIdx.x == 0) norm[blockIdx.x] = static_cast<T>(n);
}

// out = (g - y (y . g)) / n: vjp of a cotangent, and jvp of a tangent, whose y . g is the norm's tangent.
template <class T>
__global__ void l2_normalize_project_kernel(std::int64_t size, double eps, const T* y, const T* norm, const T* g,
                                            T* out, T* norm_dot) {
  const std::int64_t first = blockIdx.x * size;
  const double n = static_cast<double>(norm[blockIdx.x]);
  double along = row_sum(size, [=](std::int64_t c) { return product(y[first + c], value_or_zero(g, first + c)); });
  if (norm[blockIdx.x] <= static_cast<T>(eps)) along = 0;  // the divisor was the constant eps
  for (std::int64_t c = threadIdx.x; c < size; c += blockDim.x) {
    const double gc = static_cast<double>(value_or_zero(g, first + c));
    out[first + c] = static_cast<T>((gc - static_cast<double>(y[first + c]) * along) / n);
  }
  if (threadIdx.x == 0 && norm_dot != nullptr) norm_dot[blockIdx.x] = static_cast<T>(along);
}

template <class T>
__global__ void l2_normalize_vjp_dot_kernel(std::int64_t size, double eps, const T* y, const T* norm, const T* y_dot,
                                            const T* norm_dot, const T* g, const T* g_dot, T* out) {
  const std::int64_t first = blockIdx.x * size;
  const double n = static_cast<double>(norm[blockIdx.x]);
  double along = row_sum(size, [=](std::int64_t c) { return product(y[first + c], g[first + c]); });
  double along_dot = row_sum(size, [=](std::int64_t c) {
    return product(value_or_zero(y_dot, first + c), g[first + c]) +
           product(y[first + c], value_or_zero(g_dot, first + c));
  });
  if (norm[blockIdx.x] <= static_cast<T>(eps)) along = along_dot = 0;
  const double n_dot = static_cast<double>(value_or_zero(norm_dot, blockIdx.x));
  for (std::int64_t c = threadIdx.x; c < size; c += blockDim.x) {
    const std::int64_t i = first + c;
    const double yc = static_cast<double>(y[i]);
    const double x_bar = (static_cast<double>(g[i]) - yc * along) / n;
    out[i] = static_cast<T>((static_cast<double>(value_or_zero(g_dot, i)) -
                             static_cast<double>(value_or_zero(y_dot, i)) * along - yc * along_dot - x_bar * n_dot) /
                            n);
  }
}

// Row i rows + j of y: scale [a_i b_j, (a_i - b_j)^2].
template <class T>
__global__ void pairing_kernel(std::int64_t rows, std::int64_t size, T scale, const T* a, const T* b, T* y) {
  for (std::int64_t e = first_element(); e < rows * rows * size; e += element_step()) {
    const std::int64_t c = e % size, pair = e / size;
    const T ai = a[pair / rows * size + c], bj = b[pair % rows * size + c];
    T* out = y + pair * 2 * size + c;
    out[0] = scale * ai * bj;
    out[size] = scale * (ai - bj) * (ai - bj);
  }
}

template <class T>
__global__ void pairing_jvp_kernel(std::int64_t rows, std::int64_t size, T scale, const T* a, const T* b,
                                   const T* a_dot, const T* b_dot, T* y_dot) {
  for (std::int64_t e = first_element(); e < rows * rows * size; e += element_step()) {
    const std::int64_t c = e % size, pair = e / size;
    const std::int64_t i = pair / rows * size + c, j = pair % rows * size + c;
    const T ai_dot = value_or_zero(a_dot, i), bj_dot = value_or_zero(b_dot, j);
    T* out = y_dot + pair * 2 * size + c;
    out[0] = scale * (ai_dot * b[j] + a[i] * bj_dot);
    out[size] = scale * 2 * (a[i] - b[j]) * (ai_dot - bj_dot);
  }
}

// The cotangent of row r of `own`, where it is paired with every row of `other`: its pairs are `step` rows of y apart.
// vjp is vjp_dot along y_bar alone: g absent, g_dot = y_bar.
template <class T>
__global__ void pairing_vjp_dot_kernel(std::int64_t rows, std::int64_t size, double scale, bool of_a, const T* own,
                                       const T* other, const T* own_dot, const T* other_dot, const T* g, const T* g_dot,
                                       T* out) {
  for (std::int64_t e = first_element(); e < rows * size; e += element_step()) {
    const std::int64_t c = e % size, r = e / size;
    const double x = static_cast<double>(own[e]);
    const double x_dot = static_cast<double>(value_or_zero(own_dot, e));
    double sum = 0;
    for (std::int64_t s = 0; s < rows; ++s) {
      const std::int64_t pair = of_a ? r * rows + s : s * rows + r;
      const std::int64_t at = pair * 2 * size + c;
      const double z = static_cast<double>(other[s * size + c]);
      const double z_dot = static_cast<double>(value_or_zero(other_dot, s * size + c));
      const double g_product = static_cast<double>(value_or_zero(g, at));
      const double g_square = static_cast<double>(value_or_zero(g, at + size));
      const double g_product_dot = static_cast<double>(value_or_zero(g_dot, at));
      const double g_square_dot = static_cast<double>(value_or_zero(g_dot, at + size));
      sum += g_product_dot * z + g_product * z_dot + 2 * (x_dot - z_dot) * g_square + 2 * (x - z) * g_square_dot;
    }
    out[e] = static_cast<T>(scale * sum);
  }
}

template <class T>
__global__ void gather_rows_kernel(std::int64_t count, std::int64_t size, const T* bank, const std::int64_t* rows,
                                   T* out) {
  for (std::int64_t e = first_element(); e < count * size; e += element_step())
    out[e] = bank[rows[e / size] * size + e % size];
}

template <class T>
__global__ void update_rows_kernel(std::int64_t size, double momentum, const T* z, const std::int64_t* rows, T* bank) {
  const T* fresh = z + blockIdx.x * size;
  T* entry = bank + rows[blockIdx.x] * size;
  const auto mixed = [=](std::int64_t c) {
    return momentum * static_cast<double>(entry[c]) + (1 - momentum) * static_cast<double>(fresh[c]);
  };
  const double squares = row_sum(size, [=](std::int64_t c) { return mixed(c) * mixed(c); });
  constexpr double smallest = 1e-12;
  const double n = divisor(sqrt(squares), smallest);
  for (std::int64_t c = threadIdx.x; c < size; c += blockDim.x) entry[c] = static_cast<T>(mixed(c) / n);
}

}  // namespace

template <>
void CudaBackend::compute(const kernel::L2NormalizeForward& k) {
  if (k.x.numel() == 0) return;
  dispatch_float(k.x.dtype, [&]<class T>(T) {
    launch<l2_normalize_kernel<T>>(stream(), row_grid(k.x.shape[0]), k.x.shape[1], k.eps, k.x.as<T>(), k.y.as<T>(),
                                   k.norm.as<T>());
  });
}

template <>
void CudaBackend::compute(const kernel::L2NormalizeVjp& k) {
  if (k.y.numel() == 0) return;
  dispatch_float(k.y.dtype, [&]<class T>(T) {
    launch<l2_normalize_project_kernel<T>>(stream(), row_grid(k.y.shape[0]), k.y.shape[1], k.eps, k.y.as<T>(),
                                           k.norm.as<T>(), k.y_bar.as<T>(), k.x_bar.as<T>(), static_cast<T*>(nullptr));
  });
}

template <>
void CudaBackend::compute(const kernel::L2NormalizeJvp& k) {
  if (k.y.numel() == 0) return;
  dispatch_float(k.y.dtype, [&]<class T>(T) {
    launch<l2_normalize_project_kernel<T>>(stream(), row_grid(k.y.shape[0]), k.y.shape[1], k.eps, k.y.as<T>(),
                                           k.norm.as<T>(), k.x_dot.as<T>(), k.y_dot.as<T>(), k.norm_dot.as<T>());
  });
}

template <>
void CudaBackend::compute(const kernel::L2NormalizeVjpDot& k) {
  if (k.y.numel() == 0) return;
  dispatch_float(k.y.dtype, [&]<class T>(T) {
    launch<l2_normalize_vjp_dot_kernel<T>>(stream(), row_grid(k.y.shape[0]), k.y.shape[1], k.eps, k.y.as<T>(),
                                           k.norm.as<T>(), k.y_dot.as<T>(), k.norm_dot.as<T>(), k.y_bar.as<T>(),
                                           k.y_bar_dot.as<T>(), k.x_bar_dot.as<T>());
  });
}

template <>
void CudaBackend::compute(const kernel::PairingForward& k) {
  const std::int64_t rows = k.a.shape[0], size = k.a.shape[1];
  dispatch_float(k.y.dtype, [&]<class T>(T) {
    launch<pairing_kernel<T>>(stream(), element_grid(rows * rows * size), rows, size, static_cast<T>(k.scale),
                              k.a.as<T>(), k.b.as<T>(), k.y.as<T>());
  });
}

template <>
void CudaBackend::compute(const kernel::PairingVjpDot& k) {
  const std::int64_t rows = k.a.shape[0], size = k.a.shape[1];
  dispatch_float(k.a.dtype, [&]<class T>(T) {
    const Grid grid = element_grid(rows * size);
    launch<pairing_vjp_dot_kernel<T>>(stream(), grid, rows, size, k.scale, true, k.a.as<T>(), k.b.as<T>(),
                                      k.a_dot.as<T>(), k.b_dot.as<T>(), k.y_bar.as<T>(), k.y_bar_dot.as<T>(),
                                      k.a_bar_dot.as<T>());
    launch<pairing_vjp_dot_kernel<T>>(stream(), grid, rows, size, k.scale, false, k.b.as<T>(), k.a.as<T>(),
                                      k.b_dot.as<T>(), k.a_dot.as<T>(), k.y_bar.as<T>(), k.y_bar_dot.as<T>(),
                                      k.b_bar_dot.as<T>());
  });
}

template <>
void CudaBackend::compute(const kernel::PairingVjp& k) {
  compute(kernel::PairingVjpDot{.scale = k.scale,
                                .a = k.a,
                                .b = k.b,
                                .y_bar = {},
                                .y_bar_dot = k.y_bar,
                                .a_bar_dot = k.a_bar,
                                .b_bar_dot = k.b_bar});
}

template <>
void CudaBackend::compute(const kernel::PairingJvp& k) {
  const std::int64_t rows = k.a.shape[0], size = k.a.shape[1];
  dispatch_float(k.y_dot.dtype, [&]<class T>(T) {
    launch<pairing_jvp_kernel<T>>(stream(), element_grid(rows * rows * size), rows, size, static_cast<T>(k.scale),
                                  k.a.as<T>(), k.b.as<T>(), k.a_dot.as<T>(), k.b_dot.as<T>(), k.y_dot.as<T>());
  });
}

template <>
void CudaBackend::compute(const kernel::GatherRows& k) {
  dispatch_float(k.bank.dtype, [&]<class T>(T) {
    launch<gather_rows_kernel<T>>(stream(), element_grid(k.out.numel()), k.rows.numel(), k.bank.shape[1],
                                  k.bank.as<T>(), k.rows.as<std::int64_t>(), k.out.as<T>());
  });
}

template <>
void CudaBackend::compute(const kernel::UpdateRows& k) {
  if (k.z.numel() == 0) return;
  dispatch_float(k.bank.dtype, [&]<class T>(T) {
    launch<update_rows_kernel<T>>(stream(), row_grid(k.rows.numel()), k.bank.shape[1], k.momentum, k.z.as<T>(),
                                  k.rows.as<std::int64_t>(), k.bank.as<T>());
  });
}

}  // namespace mcn::MCN_DEVICE_NAMESPACE
