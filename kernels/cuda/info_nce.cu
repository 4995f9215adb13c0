// InfoNCE. The candidates of an anchor are the N keys, then the M bank rows. Logits exist a tile of 16 anchors x 64
// candidates at a time, in registers, and are computed again by every rule: memory never holds N x (N + M) of them.
//
// A block of 128 threads walks over its share of the candidates (or, for keys' cotangents, of the anchors). A thread
// has anchors y and y + 8 and candidates x + 16 k of a tile, x = thread % 16, y = thread / 16. Vectors pass through
// shared memory in chunks of 32 features. Shares ("splits") are added up in order by a second kernel, so that results
// do not depend on which block ran first.
#include <algorithm>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/device/reduce.h"

namespace mcn::MCN_DEVICE_NAMESPACE {
namespace {

constexpr int block_threads = 128;
// That a multiprocessor must have room for: left alone, nvcc spills registers to fit more.
[[maybe_unused]] constexpr int least_blocks = 4;
constexpr int tile_anchors = 16;
constexpr int tile_candidates = 64;
constexpr int chunk = 32;
constexpr int of_anchors = 2;  // a thread's share of a tile
constexpr int of_candidates = 4;

template <class T>
struct Problem {
  std::int64_t rows, bank_rows, size;
  double inverse_temperature;
  const T *anchor, *key, *bank;
  const std::int64_t *ids, *bank_ids;  // absent together
  const T *anchor_dot, *key_dot;       // absent: zero

  __device__ std::int64_t candidates() const { return rows + bank_rows; }
  __device__ bool counts(std::int64_t i, std::int64_t j) const {
    if (i >= rows || j >= candidates()) return false;
    return j < rows || ids == nullptr || ids[i] != bank_ids[j - rows];
  }
  // Element c of candidate j, and of its tangent: the bank is constant.
  __device__ T candidate(std::int64_t j, std::int64_t c) const {
    return j < rows ? key[j * size + c] : bank[(j - rows) * size + c];
  }
  __device__ T candidate_dot(std::int64_t j, std::int64_t c) const {
    return j < rows && key_dot != nullptr ? key_dot[j * size + c] : T{0};
  }
};

// One chunk of the vectors of a tile. A column more than a chunk, so that a column's elements lie in different banks.
template <class T>
struct Vectors {
  T anchor[tile_anchors][chunk + 1], anchor_dot[tile_anchors][chunk + 1];
  T candidate[tile_candidates][chunk + 1], candidate_dot[tile_candidates][chunk + 1];
};

template <class T>
struct Shared {
  Vectors<T> vectors;
  T g[tile_anchors][tile_candidates + 1], g_dot[tile_anchors][tile_candidates + 1];  // cotangents of the logits
};

// Loads features [c0, c0 + chunk) of a tile's vectors; zeros outside.
template <class T, bool dots>
__device__ void load(const Problem<T>& p, std::int64_t i0, std::int64_t j0, std::int64_t c0, Vectors<T>& v) {
  __syncthreads();
  for (int e = static_cast<int>(threadIdx.x); e < tile_anchors * chunk; e += block_threads) {
    const std::int64_t i = i0 + e / chunk, c = c0 + e % chunk;
    const bool exists = i < p.rows && c < p.size;
    v.anchor[e / chunk][e % chunk] = exists ? p.anchor[i * p.size + c] : T{0};
    if (dots)
      v.anchor_dot[e / chunk][e % chunk] = exists && p.anchor_dot != nullptr ? p.anchor_dot[i * p.size + c] : T{0};
  }
  for (int e = static_cast<int>(threadIdx.x); e < tile_candidates * chunk; e += block_threads) {
    const std::int64_t j = j0 + e / chunk, c = c0 + e % chunk;
    const bool exists = j < p.candidates() && c < p.size;
    v.candidate[e / chunk][e % chunk] = exists ? p.candidate(j, c) : T{0};
    if (dots) v.candidate_dot[e / chunk][e % chunk] = exists ? p.candidate_dot(j, c) : T{0};
  }
  __syncthreads();
}

// A thread's logits of a tile, and their tangents.
template <class T, bool dots>
struct Logits {
  T value[of_anchors][of_candidates] = {}, dot[of_anchors][of_candidates] = {};

  __device__ Logits(const Problem<T>& p, std::int64_t i0, std::int64_t j0, Vectors<T>& v) {
    for (std::int64_t c0 = 0; c0 < p.size; c0 += chunk) {
      load<T, dots>(p, i0, j0, c0, v);
      for (int c = 0; c < chunk; ++c) {
#pragma unroll
        for (int a = 0; a < of_anchors; ++a) {
          const T x = v.anchor[anchor_of(a)][c];
          const T x_dot = dots ? v.anchor_dot[anchor_of(a)][c] : T{0};
#pragma unroll
          for (int b = 0; b < of_candidates; ++b) {
            const T z = v.candidate[candidate_of(b)][c];
            value[a][b] += x * z;
            if (dots) dot[a][b] += x_dot * z + x * v.candidate_dot[candidate_of(b)][c];
          }
        }
      }
    }
  }

  static __device__ int anchor_of(int a) { return static_cast<int>(threadIdx.x) / 16 + 8 * a; }
  static __device__ int candidate_of(int b) { return static_cast<int>(threadIdx.x) % 16 + 16 * b; }
};

// The sum over the 16 threads that share anchors.
__device__ double sum_of_sixteen(double value) {
#pragma unroll
  for (int mask = 8; mask > 0; mask /= 2) value += __shfl_xor_sync(all_lanes, value, mask);
  return value;
}

// exp(x - most), where nothing yet has minus infinity for both.
__device__ double relative(double x, double most) { return x == most ? 1.0 : exp(x - most); }

// A running log-sum-exp.
struct Softmax {
  double most = -INFINITY, sum = 0;

  __device__ void add(double logit) { merge({logit, 1}); }
  __device__ void merge(const Softmax& other) {
    if (other.sum == 0) return;
    const double larger = other.most > most || other.most != other.most ? other.most : most;
    sum = sum * (sum == 0 ? 0.0 : relative(most, larger)) + other.sum * relative(other.most, larger);
    most = larger;
  }
};

// partial[split * rows + i]: the softmax of anchor i over a split; positive[i]: its logit with its own key.
template <class T>
__global__ void __launch_bounds__(block_threads, least_blocks)
    info_nce_kernel(Problem<T> p, std::int64_t share, Softmax* partial, double* positive) {
  auto& vectors = shared<Vectors<T>>();
  const std::int64_t i0 = std::int64_t{blockIdx.x} * tile_anchors;
  const std::int64_t begin = blockIdx.y * share;
  const std::int64_t end = begin + share < p.candidates() ? begin + share : p.candidates();
  Softmax softmax[of_anchors];
  for (std::int64_t j0 = begin; j0 < end; j0 += tile_candidates) {
    const Logits<T, false> l(p, i0, j0, vectors);
#pragma unroll
    for (int a = 0; a < of_anchors; ++a)
#pragma unroll
      for (int b = 0; b < of_candidates; ++b) {
        const std::int64_t i = i0 + l.anchor_of(a), j = j0 + l.candidate_of(b);
        if (!p.counts(i, j)) continue;
        const double logit = static_cast<double>(l.value[a][b]) * p.inverse_temperature;
        softmax[a].add(logit);
        if (i == j) positive[i] = logit;
      }
  }
#pragma unroll
  for (int a = 0; a < of_anchors; ++a) {
#pragma unroll
    for (int mask = 8; mask > 0; mask /= 2) {
      const Softmax other{__shfl_xor_sync(all_lanes, softmax[a].most, mask),
                          __shfl_xor_sync(all_lanes, softmax[a].sum, mask)};
      // In the order of lanes on both sides, so that both get the same bits. A choice between the two as a whole would
      // put them into local memory.
      const Softmax own = softmax[a];
      const bool upper = (threadIdx.x % 32 & mask) != 0;
      Softmax low{upper ? other.most : own.most, upper ? other.sum : own.sum};
      low.merge({upper ? own.most : other.most, upper ? own.sum : other.sum});
      softmax[a] = low;
    }
    const std::int64_t i = i0 + Logits<T, false>::anchor_of(a);
    if (threadIdx.x % 16 == 0 && i < p.rows) partial[blockIdx.y * p.rows + i] = softmax[a];
  }
}

template <class T>
__global__ void info_nce_merge_kernel(std::int64_t rows, int splits, const Softmax* partial, const double* positive,
                                      T* lse, double* terms) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= rows) return;
  Softmax all;
  for (int split = 0; split < splits; ++split) all.merge(partial[split * rows + i]);
  const double log_sum = all.most + log(all.sum);
  lse[i] = static_cast<T>(log_sum);
  terms[i] = log_sum - positive[i];
}

// partial[split * rows + i]: sum of softmax times the logit's tangent; positive_dot[i]: the tangent of its own logit.
template <class T>
__global__ void __launch_bounds__(block_threads, least_blocks)
    info_nce_jvp_kernel(Problem<T> p, std::int64_t share, const T* lse, double* partial, double* positive_dot) {
  auto& vectors = shared<Vectors<T>>();
  const std::int64_t i0 = std::int64_t{blockIdx.x} * tile_anchors;
  const std::int64_t begin = blockIdx.y * share;
  const std::int64_t end = begin + share < p.candidates() ? begin + share : p.candidates();
  double sums[of_anchors] = {};
  for (std::int64_t j0 = begin; j0 < end; j0 += tile_candidates) {
    const Logits<T, true> l(p, i0, j0, vectors);
#pragma unroll
    for (int a = 0; a < of_anchors; ++a)
#pragma unroll
      for (int b = 0; b < of_candidates; ++b) {
        const std::int64_t i = i0 + l.anchor_of(a), j = j0 + l.candidate_of(b);
        if (!p.counts(i, j)) continue;
        const double logit = static_cast<double>(l.value[a][b]) * p.inverse_temperature;
        const double dot = static_cast<double>(l.dot[a][b]) * p.inverse_temperature;
        sums[a] += exp(logit - static_cast<double>(lse[i])) * dot;
        if (i == j) positive_dot[i] = dot;
      }
  }
#pragma unroll
  for (int a = 0; a < of_anchors; ++a) {
    const double sum = sum_of_sixteen(sums[a]);
    const std::int64_t i = i0 + Logits<T, true>::anchor_of(a);
    if (threadIdx.x % 16 == 0 && i < p.rows) partial[blockIdx.y * p.rows + i] = sum;
  }
}

template <class T>
__global__ void info_nce_merge_jvp_kernel(std::int64_t rows, int splits, const double* partial,
                                          const double* positive_dot, T* lse_dot, double* terms) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= rows) return;
  double sum = 0;
  for (int split = 0; split < splits; ++split) sum += partial[split * rows + i];
  lse_dot[i] = static_cast<T>(sum);
  terms[i] = sum - positive_dot[i];
}

// What the cotangents of logits are made of, besides the logits. Absent: zero.
template <class T>
struct Cotangents {
  const T *lse, *lse_dot, *loss_bar, *loss_bar_dot;
};

// The cotangents of a tile's logits, divided by the temperature, and their tangents, to shared memory.
template <class T, bool dots>
__device__ void logit_cotangents(const Problem<T>& p, const Cotangents<T>& in, std::int64_t i0, std::int64_t j0,
                                 Shared<T>& s) {
  const Logits<T, dots> l(p, i0, j0, s.vectors);
  const double scale = p.inverse_temperature / static_cast<double>(p.rows);
  const double bar = in.loss_bar == nullptr ? 0.0 : static_cast<double>(*in.loss_bar) * scale;
  const double bar_dot = in.loss_bar_dot == nullptr ? 0.0 : static_cast<double>(*in.loss_bar_dot) * scale;
#pragma unroll
  for (int a = 0; a < of_anchors; ++a)
#pragma unroll
    for (int b = 0; b < of_candidates; ++b) {
      const std::int64_t i = i0 + l.anchor_of(a), j = j0 + l.candidate_of(b);
      double g = 0, g_dot = 0;
      if (p.counts(i, j)) {
        const double logit = static_cast<double>(l.value[a][b]) * p.inverse_temperature;
        const double softmax = exp(logit - static_cast<double>(in.lse[i]));
        const double slope = softmax - (i == j ? 1.0 : 0.0);
        g_dot = slope * bar_dot;
        if (dots) {
          const double lse_dot = in.lse_dot == nullptr ? 0.0 : static_cast<double>(in.lse_dot[i]);
          g = slope * bar;
          g_dot += softmax * (static_cast<double>(l.dot[a][b]) * p.inverse_temperature - lse_dot) * bar;
        }
      }
      s.g[l.anchor_of(a)][l.candidate_of(b)] = static_cast<T>(g);
      s.g_dot[l.anchor_of(a)][l.candidate_of(b)] = static_cast<T>(g_dot);
    }
}

// partial[(split * rows + i) * size + c]: a split's part of anchor i's cotangent. A thread adds to the same elements in
// every tile.
template <class T, bool dots>
__global__ void __launch_bounds__(block_threads, least_blocks)
    info_nce_anchor_kernel(Problem<T> p, Cotangents<T> in, std::int64_t share, T* partial) {
  auto& s = shared<Shared<T>>();
  const std::int64_t i0 = std::int64_t{blockIdx.x} * tile_anchors;
  const std::int64_t begin = blockIdx.y * share;
  const std::int64_t end = begin + share < p.candidates() ? begin + share : p.candidates();
  for (std::int64_t j0 = begin; j0 < end; j0 += tile_candidates) {
    logit_cotangents<T, dots>(p, in, i0, j0, s);
    for (std::int64_t c0 = 0; c0 < p.size; c0 += chunk) {
      load<T, dots>(p, i0, j0, c0, s.vectors);
      for (int e = static_cast<int>(threadIdx.x); e < tile_anchors * chunk; e += block_threads) {
        const int a = e / chunk, c = e % chunk;
        if (i0 + a >= p.rows || c0 + c >= p.size) continue;
        T sum = 0;
        for (int b = 0; b < tile_candidates; ++b) {
          sum += s.g_dot[a][b] * s.vectors.candidate[b][c];
          if (dots) sum += s.g[a][b] * s.vectors.candidate_dot[b][c];
        }
        T* out = partial + ((blockIdx.y * p.rows + i0 + a) * p.size + c0 + c);
        *out = j0 == begin ? sum : *out + sum;
      }
    }
  }
}

// partial[(split * rows + j) * size + c]: a split's part of key j's cotangent.
template <class T, bool dots>
__global__ void __launch_bounds__(block_threads, least_blocks)
    info_nce_key_kernel(Problem<T> p, Cotangents<T> in, std::int64_t share, T* partial) {
  auto& s = shared<Shared<T>>();
  const std::int64_t j0 = std::int64_t{blockIdx.x} * tile_candidates;
  const std::int64_t begin = blockIdx.y * share;
  const std::int64_t end = begin + share < p.rows ? begin + share : p.rows;
  for (std::int64_t i0 = begin; i0 < end; i0 += tile_anchors) {
    logit_cotangents<T, dots>(p, in, i0, j0, s);
    for (std::int64_t c0 = 0; c0 < p.size; c0 += chunk) {
      load<T, dots>(p, i0, j0, c0, s.vectors);
      for (int e = static_cast<int>(threadIdx.x); e < tile_candidates * chunk; e += block_threads) {
        const int b = e / chunk, c = e % chunk;
        if (j0 + b >= p.rows || c0 + c >= p.size) continue;
        T sum = 0;
        for (int a = 0; a < tile_anchors; ++a) {
          sum += s.g_dot[a][b] * s.vectors.anchor[a][c];
          if (dots) sum += s.g[a][b] * s.vectors.anchor_dot[a][c];
        }
        T* out = partial + ((blockIdx.y * p.rows + j0 + b) * p.size + c0 + c);
        *out = i0 == begin ? sum : *out + sum;
      }
    }
  }
}

template <class T>
__global__ void info_nce_add_splits_kernel(std::int64_t count, int splits, const T* partial, T* out) {
  const std::int64_t e = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (e >= count) return;
  double sum = 0;
  for (int split = 0; split < splits; ++split) sum += static_cast<double>(partial[split * count + e]);
  out[e] = static_cast<T>(sum);
}

// loss = mean of the terms.
template <class T>
__global__ void info_nce_mean_kernel(std::int64_t count, const double* terms, T* loss) {
  double sum = 0;
  for (std::int64_t i = threadIdx.x; i < count; i += blockDim.x) sum += terms[i];
  sum = block_sum(sum, shared<BlockSum<double>>());
  if (threadIdx.x == 0) *loss = static_cast<T>(sum / static_cast<double>(count));
}

template <class T>
Problem<T> problem_of(const InfoNceInputs& in, ConstView anchor_dot, ConstView key_dot) {
  return {in.anchor.shape[0],
          in.bank ? in.bank.shape[0] : 0,
          in.anchor.shape[1],
          1.0 / in.temperature,
          in.anchor.as<T>(),
          in.key.as<T>(),
          in.bank.as<T>(),
          in.ids ? in.ids.as<std::int64_t>() : nullptr,
          in.bank_ids ? in.bank_ids.as<std::int64_t>() : nullptr,
          anchor_dot.as<T>(),
          key_dot.as<T>()};
}

// `length` in shares of whole tiles, as many as make some 256 blocks with the `tiles` of the other side. Depends on the
// shapes alone.
struct Splits {
  std::int64_t share;
  int count;
  Splits(std::int64_t tiles, std::int64_t length, std::int64_t tile) {
    constexpr std::int64_t wanted_blocks = 256;
    const std::int64_t steps = ceil_div(length, tile);
    const std::int64_t wanted = std::clamp<std::int64_t>(wanted_blocks / tiles, 1, steps);
    share = ceil_div(steps, wanted) * tile;
    count = static_cast<int>(ceil_div(length, share));
  }
};

template <class Storage>
Grid tile_grid(std::int64_t tiles, const Splits& splits) {
  return {dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(splits.count)), dim3(block_threads),
          sizeof(Storage)};
}

Grid element_grid(std::int64_t count) {
  return {dim3(static_cast<unsigned>(ceil_div(count, block_threads))), dim3(block_threads)};
}

}  // namespace

template <>
void CudaBackend::compute(const kernel::InfoNceForward& k) {
  dispatch_float(k.inputs.anchor.dtype, [&]<class T>(T) {
    const Problem<T> p = problem_of<T>(k.inputs, {}, {});
    const std::int64_t tiles = ceil_div(p.rows, tile_anchors);
    const Splits splits(tiles, p.rows + p.bank_rows, tile_candidates);
    const DeviceArray<Softmax> partial(stream(), splits.count * p.rows);
    const DeviceArray<double> positive(stream(), p.rows), terms(stream(), p.rows);
    launch<info_nce_kernel<T>>(stream(), tile_grid<Vectors<T>>(tiles, splits), p, splits.share, partial.get(),
                               positive.get());
    launch<info_nce_merge_kernel<T>>(stream(), element_grid(p.rows), p.rows, splits.count, partial.get(),
                                     positive.get(), k.lse.as<T>(), terms.get());
    launch<info_nce_mean_kernel<T>>(stream(), Grid{dim3(1), dim3(block_threads), sizeof(BlockSum<double>)}, p.rows,
                                    terms.get(), k.loss.as<T>());
  });
}

template <>
void CudaBackend::compute(const kernel::InfoNceJvp& k) {
  dispatch_float(k.inputs.anchor.dtype, [&]<class T>(T) {
    const Problem<T> p = problem_of<T>(k.inputs, k.anchor_dot, k.key_dot);
    const std::int64_t tiles = ceil_div(p.rows, tile_anchors);
    const Splits splits(tiles, p.rows + p.bank_rows, tile_candidates);
    const DeviceArray<double> partial(stream(), splits.count * p.rows);
    const DeviceArray<double> positive(stream(), p.rows), terms(stream(), p.rows);
    launch<info_nce_jvp_kernel<T>>(stream(), tile_grid<Vectors<T>>(tiles, splits), p, splits.share, k.lse.as<T>(),
                                   partial.get(), positive.get());
    launch<info_nce_merge_jvp_kernel<T>>(stream(), element_grid(p.rows), p.rows, splits.count, partial.get(),
                                         positive.get(), k.lse_dot.as<T>(), terms.get());
    launch<info_nce_mean_kernel<T>>(stream(), Grid{dim3(1), dim3(block_threads), sizeof(BlockSum<double>)}, p.rows,
                                    terms.get(), k.loss_dot.as<T>());
  });
}

namespace {

template <class T, bool dots>
void both_cotangents(cudaStream_t stream, const Problem<T>& p, const Cotangents<T>& in, T* anchor, T* key) {
  const std::int64_t count = p.rows * p.size;
  if (count == 0) return;
  {
    const std::int64_t tiles = ceil_div(p.rows, tile_anchors);
    const Splits splits(tiles, p.rows + p.bank_rows, tile_candidates);
    const DeviceArray<T> partial(stream, splits.count * count);
    launch<info_nce_anchor_kernel<T, dots>>(stream, tile_grid<Shared<T>>(tiles, splits), p, in, splits.share,
                                            partial.get());
    launch<info_nce_add_splits_kernel<T>>(stream, element_grid(count), count, splits.count, partial.get(), anchor);
  }
  const std::int64_t tiles = ceil_div(p.rows, tile_candidates);
  const Splits splits(tiles, p.rows, tile_anchors);
  const DeviceArray<T> partial(stream, splits.count * count);
  launch<info_nce_key_kernel<T, dots>>(stream, tile_grid<Shared<T>>(tiles, splits), p, in, splits.share, partial.get());
  launch<info_nce_add_splits_kernel<T>>(stream, element_grid(count), count, splits.count, partial.get(), key);
}

}  // namespace

template <>
void CudaBackend::compute(const kernel::InfoNceVjp& k) {
  // The tangent of vjp along loss_bar alone is vjp itself.
  dispatch_float(k.inputs.anchor.dtype, [&]<class T>(T) {
    both_cotangents<T, false>(stream(), problem_of<T>(k.inputs, {}, {}),
                              {k.lse.as<T>(), nullptr, nullptr, k.loss_bar.as<T>()}, k.anchor_bar.as<T>(),
                              k.key_bar.as<T>());
  });
}

template <>
void CudaBackend::compute(const kernel::InfoNceVjpDot& k) {
  dispatch_float(k.inputs.anchor.dtype, [&]<class T>(T) {
    both_cotangents<T, true>(stream(), problem_of<T>(k.inputs, k.anchor_dot, k.key_dot),
                             {k.lse.as<T>(), k.lse_dot.as<T>(), k.loss_bar.as<T>(), k.loss_bar_dot.as<T>()},
                             k.anchor_bar_dot.as<T>(), k.key_bar_dot.as<T>());
  });
}

}  // namespace mcn::MCN_DEVICE_NAMESPACE
