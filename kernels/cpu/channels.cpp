// Concatenation along the channels: copies of runs of a row, a part after the other within a block of rows, so that a
// loop copies runs of one length.
#include <algorithm>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"

namespace mcn::cpu {

template <>
void CpuBackend::compute(const kernel::ConcatChannels& k) {
  const std::int64_t width = k.y.shape.back();
  dispatch_float(k.y.dtype, [&]<class T>(T) {
    parallel_blocks(k.y.shape.rows(), row_grain(width), [&](std::int64_t first, std::int64_t end) {
      T* to = k.y.as<T>();
      for (const ConstView& part : k.parts) {
        const std::int64_t channels = part.shape.back();
        const T* from = part.as<T>();
        for (std::int64_t row = first; row < end; ++row) {
          if (from != nullptr)
            std::copy_n(from + row * channels, channels, to + row * width);
          else
            std::fill_n(to + row * width, channels, T{0});
        }
        to += channels;
      }
    });
  });
}

template <>
void CpuBackend::compute(const kernel::SplitChannels& k) {
  const std::int64_t width = k.y.shape.back();
  dispatch_float(k.y.dtype, [&]<class T>(T) {
    parallel_blocks(k.y.shape.rows(), row_grain(width), [&](std::int64_t first, std::int64_t end) {
      const T* from = k.y.as<T>();
      for (const View& part : k.parts) {
        const std::int64_t channels = part.shape.back();
        if (T* to = part.as<T>(); to != nullptr)
          for (std::int64_t row = first; row < end; ++row)
            std::copy_n(from + row * width, channels, to + row * channels);
        from += channels;
      }
    });
  });
}

}  // namespace mcn::cpu
