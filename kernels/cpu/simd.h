// The vector registers of the machine that this folder is compiled for, as one small type per element type.
// Explicit multiply-adds, so that they do not hang on what a compiler is allowed to contract.
#pragma once

#include <cmath>
#include <cstdint>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace mcn::cpu {

/// Simd<T>::V holds `width` values of T and has the arithmetic operators. load_n and store_n touch only the first n (0
/// < n <= width).
template <class T>
struct Simd;

#if defined(__AVX512F__)

// Masked with all ones: GCC 12 takes the plain square root's undefined register for an uninitialised variable.
template <>
struct Simd<float> {
  using V = __m512;
  static constexpr int width = 16;
  static V zero() { return _mm512_setzero_ps(); }
  static V set(float a) { return _mm512_set1_ps(a); }
  static V load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, V v) { _mm512_storeu_ps(p, v); }
  static V load_n(const float* p, int n) { return _mm512_maskz_loadu_ps(mask(n), p); }
  static void store_n(float* p, V v, int n) { _mm512_mask_storeu_ps(p, mask(n), v); }
  static V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
  static V sqrt(V a) { return _mm512_maskz_sqrt_ps(0xFFFF, a); }

 private:
  static __mmask16 mask(int n) { return static_cast<__mmask16>((1U << n) - 1U); }
};

template <>
struct Simd<double> {
  using V = __m512d;
  static constexpr int width = 8;
  static V zero() { return _mm512_setzero_pd(); }
  static V set(double a) { return _mm512_set1_pd(a); }
  static V load(const double* p) { return _mm512_loadu_pd(p); }
  static void store(double* p, V v) { _mm512_storeu_pd(p, v); }
  static V load_n(const double* p, int n) { return _mm512_maskz_loadu_pd(mask(n), p); }
  static void store_n(double* p, V v, int n) { _mm512_mask_storeu_pd(p, mask(n), v); }
  static V fma(V a, V b, V c) { return _mm512_fmadd_pd(a, b, c); }
  static V sqrt(V a) { return _mm512_maskz_sqrt_pd(0xFF, a); }

 private:
  static __mmask8 mask(int n) { return static_cast<__mmask8>((1U << n) - 1U); }
};

#elif defined(__AVX2__) && defined(__FMA__)

template <>
struct Simd<float> {
  using V = __m256;
  static constexpr int width = 8;
  static V zero() { return _mm256_setzero_ps(); }
  static V set(float a) { return _mm256_set1_ps(a); }
  static V load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, V v) { _mm256_storeu_ps(p, v); }
  static V load_n(const float* p, int n) { return _mm256_maskload_ps(p, mask(n)); }
  static void store_n(float* p, V v, int n) { _mm256_maskstore_ps(p, mask(n), v); }
  static V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
  static V sqrt(V a) { return _mm256_sqrt_ps(a); }

 private:
  static __m256i mask(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
};

template <>
struct Simd<double> {
  using V = __m256d;
  static constexpr int width = 4;
  static V zero() { return _mm256_setzero_pd(); }
  static V set(double a) { return _mm256_set1_pd(a); }
  static V load(const double* p) { return _mm256_loadu_pd(p); }
  static void store(double* p, V v) { _mm256_storeu_pd(p, v); }
  static V load_n(const double* p, int n) { return _mm256_maskload_pd(p, mask(n)); }
  static void store_n(double* p, V v, int n) { _mm256_maskstore_pd(p, mask(n), v); }
  static V fma(V a, V b, V c) { return _mm256_fmadd_pd(a, b, c); }
  static V sqrt(V a) { return _mm256_sqrt_pd(a); }

 private:
  static __m256i mask(int n) { return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3)); }
};

#else

template <class T>
struct Simd {
  static constexpr int width = 16 / sizeof(T);
  typedef T V __attribute__((vector_size(16)));
  static V zero() { return V{}; }
  static V set(T a) { return V{} + a; }
  static V load(const T* p) {
    V v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
  }
  static void store(T* p, V v) { __builtin_memcpy(p, &v, sizeof v); }
  static V load_n(const T* p, int n) {
    V v{};
    for (int i = 0; i < n; ++i) v[i] = p[i];
    return v;
  }
  static void store_n(T* p, V v, int n) {
    for (int i = 0; i < n; ++i) p[i] = v[i];
  }
  static V fma(V a, V b, V c) { return a * b + c; }
  static V sqrt(V a) {
    for (int i = 0; i < width; ++i) a[i] = std::sqrt(a[i]);
    return a;
  }
};

#endif

#if defined(__AVX512F__)
/// Rows of a register tile, and its widest column count in vectors: tile_rows * tile_vectors accumulators.
inline constexpr int tile_rows = 8;
inline constexpr int tile_vectors = 3;
#elif defined(__AVX2__) && defined(__FMA__)
inline constexpr int tile_rows = 4;
inline constexpr int tile_vectors = 3;
#else
inline constexpr int tile_rows = 4;
inline constexpr int tile_vectors = 2;
#endif

}  // namespace mcn::cpu
