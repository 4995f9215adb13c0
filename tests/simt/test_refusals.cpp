// What a GPU would refuse or silently get wrong and a CPU does not mind: addresses that are not aligned or lie outside,
// and warps of which a part is left out. Each planted bug stands beside its sound twin.
#include <string>

#include "kernels/cuda/device/mma.h"
#include "kernels/cuda/device/reduce.h"
#include "kernels/cuda/device/tile_operands.h"
#include "tests/catch.h"
#include "tests/simt/failure.h"

namespace mcn::simt_device {
namespace {

using Catch::Matchers::ContainsSubstring;
using test::failure;
using test::outcome_of;

constexpr unsigned threads = test::failure_threads;
constexpr std::size_t shared_bytes = 1024;

struct alignas(16) Shared {
  char bytes[shared_bytes];
};

template <auto kernel, class... Args>
std::string outcome(const Args&... args) {
  return outcome_of<kernel>(threads, shared_bytes, args...);
}

// Some device memory.
struct Memory {
  Stream stream;
  DeviceArray<char> array{stream.get(), 1024};

  [[nodiscard]] char* at(std::ptrdiff_t offset) const { return array.get() + offset; }
};

// Thread 3 copies to a place in shared memory.
template <int bytes>
__global__ void copy_kernel(std::ptrdiff_t to, const char* from, bool inside) {
  auto& s = shared<Shared>();
  if (threadIdx.x == 3) copy_async<bytes>(s.bytes + to, from, inside);
  commit_copies();
  wait_copies<0>();
}

__global__ void copy_of_12_bytes_kernel(const char* from) {
  auto& s = shared<Shared>();
  if (threadIdx.x == 3) simt::copy_async(s.bytes, from, 12);
  commit_copies();
  wait_copies<0>();
}

// Lane 5 of each warp shows a row that lies `shift` bytes from where it should.
template <bool transposed>
__global__ void ldmatrix_kernel(std::ptrdiff_t shift) {
  auto& s = shared<Shared>();
  const unsigned lane = threadIdx.x % 32;
  const char* row = s.bytes + 16 * lane + (lane == 5 ? shift : 0);
  unsigned r[4];
  if constexpr (transposed)
    load_matrices_transposed(r, row);
  else
    load_matrices(r, row);
}

template <int count>
__global__ void load_shared_kernel(std::ptrdiff_t offset, float* y) {
  auto& s = shared<Shared>();
  const auto v = load_vector<count>(reinterpret_cast<const float*>(s.bytes + offset));
  if (threadIdx.x == 0) y[0] = v.value[0];
}

template <int count>
__global__ void store_shared_kernel(std::ptrdiff_t offset) {
  auto& s = shared<Shared>();
  if (threadIdx.x == 7) store_vector(reinterpret_cast<float*>(s.bytes + offset), Vector<float, count>{});
}

template <int count>
__global__ void load_global_kernel(const char* x, float* y) {
  const auto v = load_vector<count>(reinterpret_cast<const float*>(x));
  if (threadIdx.x == 0) y[0] = v.value[0];
}

template <int count>
__global__ void store_global_kernel(char* x) {
  if (threadIdx.x == 7) store_vector(reinterpret_cast<float*>(x), Vector<float, count>{});
}

enum class Operation { shuffle, shuffle_xor, shuffle_up, shuffle_down, ballot, any, all, barrier };

// Every lane takes part, under a mask that may say otherwise.
template <Operation operation>
__global__ void mask_kernel(unsigned mask) {
  if constexpr (operation == Operation::shuffle) __shfl_sync(mask, 1.0F, 0);
  if constexpr (operation == Operation::shuffle_xor) __shfl_xor_sync(mask, 1.0F, 1);
  if constexpr (operation == Operation::shuffle_up) __shfl_up_sync(mask, 1.0F, 1);
  if constexpr (operation == Operation::shuffle_down) __shfl_down_sync(mask, 1.0F, 1);
  if constexpr (operation == Operation::ballot) __ballot_sync(mask, 1);
  if constexpr (operation == Operation::any) __any_sync(mask, 1);
  if constexpr (operation == Operation::all) __all_sync(mask, 1);
  if constexpr (operation == Operation::barrier) __syncwarp(mask);
}

// The upper half of each warp has gone; the rest names it, or leaves it out.
__global__ void exited_lanes_kernel(unsigned mask) {
  if (threadIdx.x % 32 >= 16) return;
  __syncwarp(mask);
}

template <Operation operation>
void check_masks() {
  CHECK(outcome<mask_kernel<operation>>(all_lanes).empty());
  CHECK_THAT(outcome<mask_kernel<operation>>(0x0000FFFFU),
             ContainsSubstring("thread (0, 0, 0): mask 0x0000ffff at test_refusals.cpp:") &&
                 ContainsSubstring(", expected 0xffffffff: every lane takes part"));
}

}  // namespace

TEST_CASE("cp.async wants both addresses to be multiples of its size") {
  const Memory memory;
  CHECK(outcome<copy_kernel<16>>(std::ptrdiff_t{16}, memory.at(32), true).empty());
  CHECK(outcome<copy_kernel<8>>(std::ptrdiff_t{8}, memory.at(24), true).empty());
  CHECK(outcome<copy_kernel<4>>(std::ptrdiff_t{4}, memory.at(20), true).empty());
  CHECK_THAT(
      outcome<copy_kernel<16>>(std::ptrdiff_t{8}, memory.at(32), true),
      ContainsSubstring("[simt] copy_kernel<16>, block (0, 0, 0), thread (3, 0, 0): cp.async writes at byte 8 of "
                        "shared memory, expected a multiple of 16 bytes"));
  CHECK_THAT(outcome<copy_kernel<16>>(std::ptrdiff_t{16}, memory.at(40), true),
             ContainsSubstring("thread (3, 0, 0): cp.async reads at byte 40 of an allocation of 1024 bytes, expected a "
                               "multiple of 16 bytes"));
  CHECK_THAT(outcome<copy_kernel<8>>(std::ptrdiff_t{4}, memory.at(24), true),
             ContainsSubstring("cp.async writes at byte 4 of shared memory, expected a multiple of 8 bytes"));
  CHECK_THAT(outcome<copy_kernel<4>>(std::ptrdiff_t{4}, memory.at(21), true),
             ContainsSubstring("cp.async reads at byte 21 of an allocation of 1024 bytes, expected a multiple of 4"));
  CHECK_THAT(outcome<copy_of_12_bytes_kernel>(memory.at(0)),
             ContainsSubstring("thread (3, 0, 0): cp.async of 12 bytes, expected 4, 8 or 16"));
}

TEST_CASE("cp.async writes to the block's shared memory, and to nothing else") {
  const Memory memory;
  CHECK(outcome<copy_kernel<16>>(std::ptrdiff_t{shared_bytes - 16}, memory.at(0), true).empty());
  CHECK_THAT(outcome<copy_kernel<16>>(std::ptrdiff_t{shared_bytes}, memory.at(0), true),
             ContainsSubstring("cp.async writes at byte 1024 of shared memory, expected 16 bytes within the block's "
                               "1024 bytes of shared memory"));
  CHECK_THAT(outcome<copy_kernel<4>>(std::ptrdiff_t{-4}, memory.at(0), true), ContainsSubstring("cp.async writes at"));
}

TEST_CASE("cp.async reads within one allocation that is not free") {
  const Memory memory;
  CHECK(outcome<copy_kernel<16>>(std::ptrdiff_t{0}, memory.at(1008), true).empty());
  // Zeros are written, and nothing is read.
  CHECK(outcome<copy_kernel<16>>(std::ptrdiff_t{0}, memory.at(1024), false).empty());
  CHECK_THAT(outcome<copy_kernel<16>>(std::ptrdiff_t{0}, memory.at(1024), true),
             ContainsSubstring("cp.async reads at an address that the device has not handed out, expected 16 bytes "
                               "within one allocation"));
  alignas(16) const char on_host[16] = {};
  CHECK_THAT(outcome<copy_kernel<16>>(std::ptrdiff_t{0}, static_cast<const char*>(on_host), true),
             ContainsSubstring("cp.async reads at an address that the device has not handed out"));
  const DeviceArray<char> odd(memory.stream.get(), 20);
  CHECK_THAT(outcome<copy_kernel<16>>(std::ptrdiff_t{0}, static_cast<const char*>(odd.get() + 16), true),
             ContainsSubstring("cp.async reads at byte 16 of an allocation of 20 bytes, expected 16 bytes within one "
                               "allocation"));
  const char* freed = nullptr;
  {
    const DeviceArray<char> gone(memory.stream.get(), 64);
    freed = gone.get();
  }
  memory.stream.synchronize();
  CHECK_THAT(outcome<copy_kernel<16>>(std::ptrdiff_t{0}, freed, true),
             ContainsSubstring("cp.async reads at an address that the device has not handed out"));
}

TEST_CASE("ldmatrix wants rows at multiples of 16 bytes, in shared memory") {
  CHECK(outcome<ldmatrix_kernel<false>>(std::ptrdiff_t{0}).empty());
  CHECK(outcome<ldmatrix_kernel<true>>(std::ptrdiff_t{0}).empty());
  CHECK_THAT(
      outcome<ldmatrix_kernel<false>>(std::ptrdiff_t{8}),
      ContainsSubstring("ldmatrix_kernel<false>, block (0, 0, 0), thread (5, 0, 0): ldmatrix reads at byte 88 of "
                        "shared memory, expected a multiple of 16 bytes"));
  CHECK_THAT(outcome<ldmatrix_kernel<true>>(std::ptrdiff_t{2}),
             ContainsSubstring("ldmatrix reads at byte 82 of shared memory, expected a multiple of 16 bytes"));
  CHECK_THAT(outcome<ldmatrix_kernel<false>>(std::ptrdiff_t{1024}),
             ContainsSubstring("thread (5, 0, 0): ldmatrix reads at byte 1104 of shared memory, expected 16 bytes "
                               "within the block's 1024 bytes of shared memory"));
}

TEST_CASE("a vector lies at a multiple of its size, in shared memory and in the device's") {
  const Memory memory;
  auto* y = reinterpret_cast<float*>(memory.at(512));
  CHECK(outcome<load_shared_kernel<4>>(std::ptrdiff_t{16}, y).empty());
  CHECK(outcome<load_shared_kernel<2>>(std::ptrdiff_t{8}, y).empty());
  CHECK(outcome<store_shared_kernel<4>>(std::ptrdiff_t{16}).empty());
  CHECK(outcome<load_global_kernel<4>>(memory.at(48), y).empty());
  CHECK(outcome<store_global_kernel<2>>(memory.at(40)).empty());
  CHECK_THAT(outcome<load_shared_kernel<4>>(std::ptrdiff_t{8}, y),
             ContainsSubstring("thread (0, 0, 0): a vector is read at byte 8 of shared memory, expected a multiple of "
                               "16 bytes"));
  CHECK_THAT(outcome<load_shared_kernel<2>>(std::ptrdiff_t{4}, y),
             ContainsSubstring("a vector is read at byte 4 of shared memory, expected a multiple of 8 bytes"));
  CHECK_THAT(outcome<store_shared_kernel<4>>(std::ptrdiff_t{4}),
             ContainsSubstring("thread (7, 0, 0): a vector is written at byte 4 of shared memory, expected a multiple "
                               "of 16 bytes"));
  CHECK_THAT(
      outcome<load_global_kernel<4>>(memory.at(40), y),
      ContainsSubstring("a vector is read at byte 40 of an allocation of 1024 bytes, expected a multiple of 16"));
  CHECK_THAT(outcome<store_global_kernel<2>>(memory.at(36)),
             ContainsSubstring("thread (7, 0, 0): a vector is written at byte 36 of an allocation of 1024 bytes, "
                               "expected a multiple of 8 bytes"));
}

TEST_CASE("a warp operation names all lanes, or is an error with its place") {
  check_masks<Operation::shuffle>();
  check_masks<Operation::shuffle_xor>();
  check_masks<Operation::shuffle_up>();
  check_masks<Operation::shuffle_down>();
  check_masks<Operation::ballot>();
  check_masks<Operation::any>();
  check_masks<Operation::all>();
  check_masks<Operation::barrier>();
}

TEST_CASE("a mask neither names lanes that have returned nor leaves them out") {
  CHECK_THAT(outcome<exited_lanes_kernel>(all_lanes),
             ContainsSubstring("divergent warp operation: thread") && ContainsSubstring("has returned"));
  CHECK_THAT(outcome<exited_lanes_kernel>(0x0000FFFFU), ContainsSubstring("mask 0x0000ffff"));
}

TEST_CASE("a warp operation needs a whole warp") {
  CHECK(outcome_of<mask_kernel<Operation::barrier>>(96, 0, all_lanes).empty());
  CHECK_THAT(outcome_of<mask_kernel<Operation::barrier>>(48, 0, all_lanes),
             ContainsSubstring("warp operation at test_refusals.cpp:") &&
                 ContainsSubstring(" in a warp of 16 lanes, expected 32"));
}

}  // namespace mcn::simt_device
