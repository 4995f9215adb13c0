// Elementwise kernels and reductions to a scalar.
#include <algorithm>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"

namespace mcn::cpu {
namespace {

// Calls f(i) for every element, vectorised.
template <class F>
void for_each_element(std::int64_t n, F&& f) {
  parallel_blocks(n, elementwise_grain, [&](std::int64_t begin, std::int64_t end) {
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) f(i);
  });
}

template <class T>
double dot_of(CachingAllocator& allocator, std::int64_t n, const T* p, const T* q) {
  constexpr std::int64_t block = 8192;
  constexpr int lanes = 32;
  const Scratch<double> sums(allocator, ceil_div(n, block));
  parallel_blocks(n, elementwise_grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t first = begin; first < end; first += block) {
      const std::int64_t last = std::min(end, first + block);
      double acc[lanes] = {};
      std::int64_t i = first;
      for (; i + lanes <= last; i += lanes)
#pragma omp simd
        for (int l = 0; l < lanes; ++l) acc[l] += static_cast<double>(p[i + l]) * static_cast<double>(q[i + l]);
      for (int l = 0; i < last; ++i, ++l) acc[l] += static_cast<double>(p[i]) * static_cast<double>(q[i]);
      double sum = 0;
      for (const double v : acc) sum += v;
      sums[first / block] = sum;
    }
  });
  double total = 0;
  for (std::int64_t i = 0; i < ceil_div(n, block); ++i) total += sums[i];
  return total;
}

template <class T>
bool finite(std::int64_t n, const T* p) {
  constexpr int lanes = 32;
  std::atomic<bool> result{true};
  parallel_blocks(n, elementwise_grain, [&](std::int64_t begin, std::int64_t end) {
    if (!result.load(std::memory_order_relaxed)) return;
    // 0 * v is NaN for an infinite v and for NaN, and NaN stays in the sum.
    T acc[lanes] = {};
    std::int64_t i = begin;
    for (; i + lanes <= end; i += lanes)
#pragma omp simd
      for (int l = 0; l < lanes; ++l) acc[l] += p[i + l] * T{0};
    for (; i < end; ++i) acc[0] += p[i] * T{0};
    T sum{0};
    for (const T v : acc) sum += v;
    if (!(sum == T{0})) result.store(false, std::memory_order_relaxed);
  });
  return result.load();
}

}  // namespace

template <>
void CpuBackend::compute(const kernel::Fill& k) {
  dispatch_float(k.y.dtype, [&]<class T>(T) {
    T* out = k.y.as<T>();
    const T v = static_cast<T>(k.value);
    for_each_element(k.y.numel(), [=](std::int64_t i) { out[i] = v; });
  });
}

template <>
void CpuBackend::compute(const kernel::Scale& k) {
  dispatch_float(k.y.dtype, [&]<class T>(T) {
    const T* in = k.x.as<T>();
    T* out = k.y.as<T>();
    const T a = static_cast<T>(k.alpha);
    for_each_element(k.y.numel(), [=](std::int64_t i) { out[i] = a * in[i]; });
  });
}

template <>
void CpuBackend::compute(const kernel::Axpy& k) {
  for (std::size_t n = 0; n < k.y.size(); ++n)
    dispatch_float(k.y[n].dtype, [&]<class T>(T) {
      const T* in = k.x[n].as<T>();
      T* out = k.y[n].as<T>();
      const T a = static_cast<T>(k.alpha);
      for_each_element(k.y[n].numel(), [=](std::int64_t i) { out[i] += a * in[i]; });
    });
}

template <>
void CpuBackend::compute(const kernel::Add& k) {
  dispatch_float(k.y.dtype, [&]<class T>(T) {
    const T* p = k.a.as<T>();
    const T* q = k.b.as<T>();
    T* out = k.y.as<T>();
    for_each_element(k.y.numel(), [=](std::int64_t i) { out[i] = p[i] + q[i]; });
  });
}

template <>
void CpuBackend::compute(const kernel::Relu& k) {
  dispatch_float(k.y.dtype, [&]<class T>(T) {
    const T* in = k.x.as<T>();
    T* out = k.y.as<T>();
    // Written so that NaN stays.
    for_each_element(k.y.numel(), [=](std::int64_t i) { out[i] = in[i] < T{0} ? T{0} : in[i]; });
  });
}

template <>
void CpuBackend::compute(const kernel::ReluMask& k) {
  dispatch_float(k.out.dtype, [&]<class T>(T) {
    const T* mask = k.y.as<T>();
    const T* in = k.g.as<T>();
    T* to = k.out.as<T>();
    for_each_element(k.out.numel(), [=](std::int64_t i) { to[i] = mask[i] <= T{0} ? T{0} : in[i]; });
  });
}

template <>
double CpuBackend::compute(const kernel::Dot& k) {
  double sum = 0;
  for (std::size_t n = 0; n < k.a.size(); ++n)
    sum += dispatch_float(
        k.a[n].dtype, [&]<class T>(T) { return dot_of(allocator_, k.a[n].numel(), k.a[n].as<T>(), k.b[n].as<T>()); });
  return sum;
}

template <>
bool CpuBackend::compute(const kernel::AllFinite& k) {
  return std::ranges::all_of(k.x, [](ConstView v) {
    return dispatch_float(v.dtype, [&]<class T>(T) { return finite(v.numel(), v.as<T>()); });
  });
}

}  // namespace mcn::cpu
