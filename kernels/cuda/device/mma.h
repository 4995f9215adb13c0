// Tensor cores: products of small matrices by the 32 threads of a warp (mma.sync, sm_80 and later), and what feeds
// them.
//
// With g = lane / 4 and t = lane % 4, a product d += a b has in the registers of each lane
//     d, 16 x 8 float32:    d[0] (g, 2t)   d[1] (g, 2t + 1)   d[2] (g + 8, 2t)   d[3] (g + 8, 2t + 1)
//     TF32, depth 8:        a[0] (g, t)    a[1] (g + 8, t)    a[2] (g, t + 4)    a[3] (g + 8, t + 4)
//                           b[0] (t, g)    b[1] (t + 4, g)
//     BF16, depth 16, two neighbours along the depth to a register, the first in the low half:
//                           a[0] (g, 2t)   a[1] (g + 8, 2t)   a[2] (g, 2t + 8)   a[3] (g + 8, 2t + 8)
//                           b[0] (2t, g)   b[1] (2t + 8, g)
// All lanes of the warp call these functions together. On the CPU the lanes exchange their registers.
#pragma once

#include "kernels/cuda/device/copy_async.h"

namespace mcn::MCN_DEVICE_NAMESPACE {

/// A float32 rounded to TF32's 10 fraction bits, ties away from zero.
__device__ inline unsigned to_tf32(unsigned bits) {
#if defined(__CUDACC__)
  unsigned rounded;
  asm("cvt.rna.tf32.f32 %0, %1;\n" : "=r"(rounded) : "f"(__uint_as_float(bits)));
  return rounded;
#else
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return 0x7FFFFFFFU;  // a NaN whose upper bits alone would be an infinity
  const bool finite = (bits & 0x7F800000U) != 0x7F800000U;
  return (finite ? bits + 0x1000U : bits) & 0xFFFFE000U;
#endif
}

/// Two float32 rounded to BF16, ties to even: `low` in the low half.
__device__ inline unsigned to_bf16_pair(float low, float high) {
#if defined(__CUDACC__)
  unsigned pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;\n" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
#else
  const auto rounded = [](float value) {
    const unsigned bits = __float_as_uint(value);
    if (value != value) return 0x7FFFU;
    return (bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16;
  };
  return rounded(low) | rounded(high) << 16;
#endif
}

#if !defined(__CUDACC__)
namespace host {

struct Factors {
  unsigned a[4], b[2];
};

// What lane `lane` has shown.
template <class T>
T shown_by(const std::byte* slots, int lane) {
  T value;
  std::memcpy(&value, slots + static_cast<std::size_t>(lane) * simt::exchange_bytes, sizeof value);
  return value;
}

// d += a b, element by element along the depth: register r of a lane holds `packed` neighbours, in `value`.
template <int packed, class ValueOf>
void multiply_add(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], ValueOf&& value) {
  const Factors own{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
  const std::byte* slots = simt::exchange(&own, sizeof own, std::source_location::current());
  const int g = simt::lane() / 4;
  const int t = simt::lane() % 4;
  for (int half = 0; half < 2; ++half)  // of the depth
    for (int of = 0; of < 4; ++of) {    // the lane that holds this depth
      const auto row = shown_by<Factors>(slots, g * 4 + of);
      const auto column0 = shown_by<Factors>(slots, (2 * t) * 4 + of);
      const auto column1 = shown_by<Factors>(slots, (2 * t + 1) * 4 + of);
      for (int i = 0; i < packed; ++i) {
        const float b0 = value(column0.b[half], i);
        const float b1 = value(column1.b[half], i);
        const float above = value(row.a[2 * half], i);
        const float below = value(row.a[2 * half + 1], i);
        d[0] += above * b0;
        d[1] += above * b1;
        d[2] += below * b0;
        d[3] += below * b1;
      }
    }
}

// Four 8 x 8 matrices of 16 bits: lane l shows the address of row l % 8 of matrix l / 8.
template <bool transposed>
void load_matrices(unsigned (&r)[4], const void* row) {
  simt::check_aligned(row, 16, "ldmatrix reads");
  simt::check_shared(row, 16, "ldmatrix reads");
  const std::byte* slots = simt::exchange(&row, sizeof row, std::source_location::current());
  const int g = simt::lane() / 4;
  const int t = simt::lane() % 4;
  const auto element = [&](int matrix, int i, int j) {
    std::uint16_t value;
    std::memcpy(&value, static_cast<const std::uint16_t*>(shown_by<const void*>(slots, matrix * 8 + i)) + j,
                sizeof value);
    return unsigned{value};
  };
  for (int m = 0; m < 4; ++m)
    r[m] = transposed ? element(m, 2 * t, g) | element(m, 2 * t + 1, g) << 16
                      : element(m, g, 2 * t) | element(m, g, 2 * t + 1) << 16;
}

}  // namespace host
#endif

/// d += a b in TF32, 16 x 8 x 8, of rounded factors.
__device__ inline void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#if defined(__CUDACC__)
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  host::multiply_add<1>(d, a, b, [](unsigned bits, int) { return __uint_as_float(bits); });
#endif
}

/// d += a b in BF16, 16 x 8 x 16.
__device__ inline void mma_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#if defined(__CUDACC__)
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  host::multiply_add<2>(d, a, b,
                        [](unsigned pair, int i) { return __uint_as_float(i == 0 ? pair << 16 : pair & 0xFFFF0000U); });
#endif
}

/// Four matrices of 8 rows of 16 bytes from shared memory (ldmatrix): lane l passes the address of row l % 8 of matrix
/// l / 8. r[m] is the 32-bit word of matrix m at (g, t).
__device__ inline void load_matrices(unsigned (&r)[4], const void* row) {
#if defined(__CUDACC__)
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
#else
  host::load_matrices<false>(r, row);
#endif
}

/// The same for rows of eight 16-bit values, transposed: the halves of r[m] are matrix m at (2t, g) and (2t + 1, g).
__device__ inline void load_matrices_transposed(unsigned (&r)[4], const void* row) {
#if defined(__CUDACC__)
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
#else
  host::load_matrices<true>(r, row);
#endif
}

}  // namespace mcn::MCN_DEVICE_NAMESPACE
