// Concatenation along the channels. A block takes a chunk of one part, neighbouring threads neighbouring channels, so
// that reads and writes are both of whole rows' runs; in vectors of 16 or 8 bytes where all widths are multiples of
// one.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/device/tensor_list.h"
#include "kernels/cuda/device/tile_operands.h"

namespace mcn::MCN_DEVICE_NAMESPACE {
namespace {

// A part, counted in vectors: its elements, those of a row, and where in a row of y they begin.
template <class T>
struct Part {
  T* data;
  std::int64_t size;
  unsigned width, begin;
};

// Calls f(part, i, j) for the vectors of a part that are the thread's: the i-th of the part is the j-th of y.
template <class T, class F>
__device__ void for_each_vector(const TensorList<Part<T>>& list, unsigned y_width, F&& f) {
  const int e = entry_of_block(list);
  const Part<T> part = list.entries[e];
  // One division in 64 bits, the others in 32.
  const std::int64_t first = first_element_of(list, e);
  const std::int64_t row = first / part.width;
  const auto column = static_cast<unsigned>(first % part.width);
#pragma unroll
  for (int k = 0; k < list_elements_of_thread; ++k) {
    const std::int64_t i = first + k * list_block_threads;
    const unsigned along = column + static_cast<unsigned>(k * list_block_threads);
    if (i < part.size) f(part, i, (row + along / part.width) * y_width + part.begin + along % part.width);
  }
}

template <class T, int count>
__global__ void __launch_bounds__(list_block_threads)
    concat_channels_kernel(TensorList<Part<const T>> list, unsigned y_width, T* y) {
  for_each_vector(list, y_width, [&](const Part<const T>& part, std::int64_t i, std::int64_t j) {
    Vector<T, count> vector{};
    if (part.data != nullptr) vector = load_vector<count>(part.data + i * count);
    store_vector(y + j * count, vector);
  });
}

template <class T, int count>
__global__ void __launch_bounds__(list_block_threads)
    split_channels_kernel(TensorList<Part<T>> list, unsigned y_width, const T* y) {
  for_each_vector(list, y_width, [&](const Part<T>& part, std::int64_t i, std::int64_t j) {
    store_vector(part.data + i * count, load_vector<count>(y + j * count));
  });
}

// Calls f with the elements of a vector, as a constant: the most up to 16 bytes that divide every width and address.
template <class T, class Parts, class F>
void dispatch_vector(const Parts& parts, const void* y, F&& f) {
  const auto fits = [&](std::int64_t count) {
    const auto aligned = [&](const void* p) {
      return reinterpret_cast<std::uintptr_t>(p) % (sizeof(T) * static_cast<std::size_t>(count)) == 0;
    };
    for (const auto& part : parts)
      if (part.shape.back() % count != 0 || !aligned(part.data)) return false;
    return aligned(y);
  };
  if constexpr (sizeof(T) == 4)
    if (fits(4)) return f(std::integral_constant<int, 4>{});
  if (fits(2)) return f(std::integral_constant<int, 2>{});
  return f(std::integral_constant<int, 1>{});
}

// Calls f(list) for lists of all parts that have elements and for which take(part) is true.
template <class T, class Parts, class Take, class F>
void for_each_list(const Parts& parts, int count, Take&& take, F&& f) {
  TensorList<Part<T>> list;
  unsigned begin = 0;
  for (const auto& part : parts) {
    const auto width = static_cast<unsigned>(part.shape.back() / count);
    if (take(part) && part.numel() > 0)
      list.add({part.template as<std::remove_const_t<T>>(), part.numel() / count, width, begin});
    begin += width;
    if (!list.full()) continue;
    f(list);
    list = {};
  }
  if (list.count > 0) f(list);
}

unsigned row_of(const Shape& y) {
  constexpr std::int64_t most = std::int64_t{1} << 31;
  if (y.back() >= most) fail("channels", "expected fewer than {} channels, got {}", most, y.back());
  return static_cast<unsigned>(y.back());
}

}  // namespace

template <>
void CudaBackend::compute(const kernel::ConcatChannels& k) {
  const unsigned width = row_of(k.y.shape);
  dispatch_float(k.y.dtype, [&]<class T>(T) {
    dispatch_vector<T>(k.parts, k.y.data, [&]<int count>(std::integral_constant<int, count>) {
      const auto all = [](const auto&) { return true; };
      for_each_list<const T>(k.parts, count, all, [&](const TensorList<Part<const T>>& list) {
        launch<concat_channels_kernel<T, count>>(stream(), {dim3(list.blocks()), dim3(list_block_threads)}, list,
                                                 width / count, k.y.as<T>());
      });
    });
  });
}

template <>
void CudaBackend::compute(const kernel::SplitChannels& k) {
  const unsigned width = row_of(k.y.shape);
  dispatch_float(k.y.dtype, [&]<class T>(T) {
    dispatch_vector<T>(k.parts, k.y.data, [&]<int count>(std::integral_constant<int, count>) {
      const auto wanted = [](const OptionalView& part) { return part.data != nullptr; };
      for_each_list<T>(k.parts, count, wanted, [&](const TensorList<Part<T>>& list) {
        launch<split_channels_kernel<T, count>>(stream(), {dim3(list.blocks()), dim3(list_block_threads)}, list,
                                                width / count, k.y.as<T>());
      });
    });
  });
}

}  // namespace mcn::MCN_DEVICE_NAMESPACE
