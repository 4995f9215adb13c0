// Tensor cores on the simt layer against the layouts that the PTX ISA documents for mma.sync and ldmatrix, written here
// once more and element by element: kernels that are tested with the layer's own layouts alone would share its mistake.
#include <array>
#include <cmath>
#include <vector>

#include "kernels/cuda/device/mma.h"
#include "kernels/cuda/memory.h"
#include "tests/catch.h"
#include "tests/simt/orders.h"

namespace mcn::simt_device {
namespace {

using test::in_every_order;

template <class T>
std::vector<T> on_host(const Stream& stream, const T* from, std::size_t count) {
  std::vector<T> values(count);
  MCN_CUDA(cudaMemcpyAsync(values.data(), from, count * sizeof(T), cudaMemcpyDeviceToHost, stream.get()));
  stream.synchronize();
  return values;
}

// Small whole numbers, which both formats hold exactly, as they do the sums of their products.
std::vector<float> numbers(std::size_t count, unsigned seed) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>((i * 7 + seed * 5 + i / 11) % 17) - 8.0F;
  return values;
}

struct Place {
  int row, column;
};

// PTX ISA, "Matrix Fragments for mma.m16n8k8" and "... mma.m16n8k16": where element i of a lane's fragment lies.
struct Lane {
  int group, in_group;
  explicit Lane(int lane) : group(lane >> 2), in_group(lane % 4) {}

  [[nodiscard]] Place tf32_a(int i) const { return {i % 2 == 0 ? group : group + 8, i < 2 ? in_group : in_group + 4}; }
  [[nodiscard]] Place tf32_b(int i) const { return {i == 0 ? in_group : in_group + 4, group}; }
  [[nodiscard]] Place bf16_a(int i) const {
    return {i < 2 || (4 <= i && i < 6) ? group : group + 8, in_group * 2 + (i & 1) + (i < 4 ? 0 : 8)};
  }
  [[nodiscard]] Place bf16_b(int i) const { return {in_group * 2 + (i & 1) + (i < 2 ? 0 : 8), group}; }
  [[nodiscard]] Place sum(int i) const { return {i < 2 ? group : group + 8, in_group * 2 + (i & 1)}; }
};

// A lane's registers, as they go in and as they come out.
struct Registers {
  unsigned a[4], b[2];
  float d[4];
};

template <bool tf32>
__global__ void one_product_kernel(Registers* lanes) {
  Registers r = lanes[threadIdx.x];
  if (tf32)
    mma_tf32(r.d, r.a, r.b);
  else
    mma_bf16(r.d, r.a, r.b);
  lanes[threadIdx.x] = r;
}

unsigned bits_of(float value) { return __float_as_uint(value); }
// Exact for the numbers of these tests.
unsigned bf16_of(float value) { return bits_of(value) >> 16; }

template <bool tf32>
void check_one_product() {
  constexpr int rows = 16, columns = 8, depth = tf32 ? 8 : 16;
  const std::vector<float> a = numbers(rows * depth, 1), b = numbers(depth * columns, 2),
                           c = numbers(rows * columns, 3);
  const auto a_at = [&](Place p) { return a[static_cast<std::size_t>(p.row * depth + p.column)]; };
  const auto b_at = [&](Place p) { return b[static_cast<std::size_t>(p.row * columns + p.column)]; };
  std::vector<Registers> lanes(32);
  for (int l = 0; l < 32; ++l) {
    const Lane lane(l);
    Registers& r = lanes[static_cast<std::size_t>(l)];
    for (int i = 0; i < 4; ++i) {
      const Place at = lane.sum(i);
      r.d[i] = c[static_cast<std::size_t>(at.row * columns + at.column)];
      r.a[i] = tf32 ? bits_of(a_at(lane.tf32_a(i)))
                    : bf16_of(a_at(lane.bf16_a(2 * i))) | bf16_of(a_at(lane.bf16_a(2 * i + 1))) << 16;
    }
    for (int i = 0; i < 2; ++i)
      r.b[i] = tf32 ? bits_of(b_at(lane.tf32_b(i)))
                    : bf16_of(b_at(lane.bf16_b(2 * i))) | bf16_of(b_at(lane.bf16_b(2 * i + 1))) << 16;
  }
  in_every_order([&] {
    const Stream stream;
    const DeviceArray<Registers> on_device(stream.get(), 32);
    MCN_CUDA(cudaMemcpyAsync(on_device.get(), lanes.data(), lanes.size() * sizeof(Registers), cudaMemcpyHostToDevice,
                             stream.get()));
    launch<one_product_kernel<tf32>>(stream.get(), {dim3(1), dim3(32)}, on_device.get());
    std::vector<float> sums(rows * columns);
    const std::vector<Registers> got = on_host(stream, on_device.get(), 32);
    for (int l = 0; l < 32; ++l)
      for (int i = 0; i < 4; ++i) {
        const Place at = Lane(l).sum(i);
        sums[static_cast<std::size_t>(at.row * columns + at.column)] = got[static_cast<std::size_t>(l)].d[i];
      }
    for (int row = 0; row < rows; ++row)
      for (int column = 0; column < columns; ++column) {
        float expected = c[static_cast<std::size_t>(row * columns + column)];
        for (int k = 0; k < depth; ++k) expected += a_at({row, k}) * b_at({k, column});
        CHECK(sums[static_cast<std::size_t>(row * columns + column)] == expected);
      }
    return sums;
  });
}

struct Matrices {
  std::uint16_t rows[32][8];  // four of 8 x 8, one below the other
};

template <bool transposed>
__global__ void load_matrices_kernel(unsigned* r) {
  auto& s = shared<Matrices>();
  const unsigned lane = threadIdx.x;
  for (unsigned j = 0; j < 8; ++j) s.rows[lane][j] = static_cast<std::uint16_t>(lane * 8 + j);
  __syncthreads();
  unsigned loaded[4];
  if (transposed)
    load_matrices_transposed(loaded, s.rows[lane]);
  else
    load_matrices(loaded, s.rows[lane]);
  for (unsigned m = 0; m < 4; ++m) r[lane * 4 + m] = loaded[m];
}

// C = A B of whole tiles by one warp a tile of 16 x 16: BF16 through ldmatrix, A row-major, B as it lies.
struct GemmShared {
  std::uint16_t a[16][16 + 8], b[16][16 + 8];
};

__global__ void gemm_kernel(int n, int k, const float* a, const float* b, float* c) {
  auto& s = shared<GemmShared>();
  const int lane = static_cast<int>(threadIdx.x);
  const int row0 = static_cast<int>(blockIdx.y) * 16, column0 = static_cast<int>(blockIdx.x) * 16;
  float d[2][4] = {};
  for (int k0 = 0; k0 < k; k0 += 16) {
    for (int e = lane; e < 256; e += 32) {
      const int i = e / 16, j = e % 16;
      const unsigned pair = to_bf16_pair(a[(row0 + i) * k + k0 + j], b[(k0 + i) * n + column0 + j]);
      s.a[i][j] = static_cast<std::uint16_t>(pair);
      s.b[i][j] = static_cast<std::uint16_t>(pair >> 16);
    }
    __syncthreads();
    unsigned of_a[4], of_b[4];
    load_matrices(of_a, &s.a[lane % 16][lane / 16 * 8]);
    load_matrices_transposed(of_b, &s.b[lane % 16][lane / 16 * 8]);
    for (int half = 0; half < 2; ++half) {
      const unsigned factor[2] = {of_b[2 * half], of_b[2 * half + 1]};
      mma_bf16(d[half], of_a, factor);
    }
    __syncthreads();
  }
  for (int half = 0; half < 2; ++half)
    for (int i = 0; i < 4; ++i)
      c[(row0 + lane / 4 + i / 2 * 8) * n + column0 + half * 8 + lane % 4 * 2 + i % 2] = d[half][i];
}

}  // namespace

TEST_CASE("mma.sync multiplies fragments that lie as the PTX ISA says") {
  check_one_product<true>();
  check_one_product<false>();
}

TEST_CASE("ldmatrix hands out four matrices as the PTX ISA says") {
  const Stream stream;
  const DeviceArray<unsigned> r(stream.get(), 128), t(stream.get(), 128);
  launch<load_matrices_kernel<false>>(stream.get(), {dim3(1), dim3(32), sizeof(Matrices)}, r.get());
  launch<load_matrices_kernel<true>>(stream.get(), {dim3(1), dim3(32), sizeof(Matrices)}, t.get());
  const std::vector<unsigned> plain = on_host(stream, r.get(), 128), transposed = on_host(stream, t.get(), 128);
  const auto element = [](unsigned matrix, unsigned row, unsigned column) { return (matrix * 8 + row) * 8 + column; };
  for (unsigned lane = 0; lane < 32; ++lane)
    for (unsigned m = 0; m < 4; ++m) {
      const unsigned row = lane / 4, column = lane % 4 * 2;
      CHECK(plain[lane * 4 + m] == (element(m, row, column) | element(m, row, column + 1) << 16));
      CHECK(transposed[lane * 4 + m] == (element(m, column, row) | element(m, column + 1, row) << 16));
    }
}

TEST_CASE("a tiled matrix product on tensor cores") {
  constexpr int m = 48, n = 32, k = 64;
  const std::vector<float> a = numbers(m * k, 4), b = numbers(k * n, 5);
  in_every_order([&] {
    const Stream stream;
    const DeviceArray<float> da(stream.get(), m * k), db(stream.get(), k * n), dc(stream.get(), m * n);
    MCN_CUDA(cudaMemcpyAsync(da.get(), a.data(), a.size() * sizeof(float), cudaMemcpyHostToDevice, stream.get()));
    MCN_CUDA(cudaMemcpyAsync(db.get(), b.data(), b.size() * sizeof(float), cudaMemcpyHostToDevice, stream.get()));
    launch<gemm_kernel>(stream.get(), {dim3(n / 16, m / 16), dim3(32), sizeof(GemmShared)}, n, k, da.get(), db.get(),
                        dc.get());
    std::vector<float> c = on_host(stream, dc.get(), m * n);
    for (std::size_t i = 0; i < m; ++i)
      for (std::size_t j = 0; j < n; ++j) {
        float expected = 0;
        for (std::size_t l = 0; l < k; ++l) expected += a[i * k + l] * b[l * n + j];
        CHECK(c[i * n + j] == expected);
      }
    return c;
  });
}

TEST_CASE("factors are rounded as cvt rounds them, and no NaN becomes an infinity") {
  const auto tf32 = [](float value) { return __uint_as_float(to_tf32(bits_of(value))); };
  CHECK(tf32(1.0F + 0x1p-11F) == 1.0F + 0x1p-10F);  // a tie goes away from zero
  CHECK(tf32(-1.0F - 0x1p-11F) == -1.0F - 0x1p-10F);
  CHECK(tf32(1.0F + 0x1p-12F) == 1.0F);
  CHECK(tf32(INFINITY) == INFINITY);
  const auto bf16 = [](float value) { return __uint_as_float(to_bf16_pair(value, 3.0F) << 16); };
  CHECK(bf16(1.0F + 0x1p-8F) == 1.0F);  // a tie goes to the even neighbour
  CHECK(bf16(1.0F + 3 * 0x1p-8F) == 1.0F + 0x1p-6F);
  CHECK(bf16(-INFINITY) == -INFINITY);
  CHECK(to_bf16_pair(0.0F, 3.0F) >> 16 == bf16_of(3.0F));
  for (const unsigned nan : {0x7FC00000U, 0xFFFFFFFFU, 0x7F800001U, 0xFF800001U}) {
    CHECK(std::isnan(__uint_as_float(to_tf32(nan))));
    CHECK(std::isnan(bf16(__uint_as_float(nan))));
  }
}

}  // namespace mcn::simt_device
