// Input rows of a convolution as the indirect products see them. Where x has few channels (a clip has 3), the taps
// along W are folded into one: KW * I neighbouring elements of a line of x are one row, for which lines get their
// padding.
#pragma once

#include <algorithm>
#include <deque>
#include <span>
#include <vector>

#include "kernels/cpu/conv_direct.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"

namespace mcn::cpu {

template <class T>
class InputRows {
 public:
  InputRows(CachingAllocator& allocator, const Conv3dParams& geometry, std::span<const ConvProduct> products,
            const Shape& weight)
      : params(geometry), x_shape(products[0].a.shape), w_shape(weight), pitch(weight.i()), length(weight.i()) {
    constexpr std::int64_t few_channels = 12;
    constexpr std::int64_t longest = 64;
    const bool fold = weight.kw() > 1 && weight.i() < few_channels && weight.kw() * weight.i() <= longest;
    if (fold) {
      const Shape& s = products[0].a.shape;
      x_shape = {s.n(), s.d(), s.h(), s.w() + 2 * params.padding[2], s.c()};
      w_shape = {weight.o(), weight.kd(), weight.kh(), 1, weight.kw() * weight.i()};
      length = w_shape.i();
      params.padding[2] = 0;
    }
    for (const ConvProduct& product : products)
      x.push_back(fold ? pad_lines(allocator, product.a, geometry.padding[2]) : product.a.as<T>());
  }

  Conv3dParams params;
  Shape x_shape, w_shape;
  std::int64_t pitch;   ///< elements from one position of x to the next
  std::int64_t length;  ///< elements of a row
  std::vector<const T*> x;

 private:
  const T* pad_lines(CachingAllocator& allocator, ConstView from, std::int64_t padding) {
    const std::int64_t inner = from.shape.w() * from.shape.c();
    const std::int64_t edge = padding * from.shape.c();
    const std::int64_t outer = inner + 2 * edge;
    const std::int64_t lines = from.shape.n() * from.shape.d() * from.shape.h();
    T* to = padded_.emplace_back(allocator, lines * outer).get();
    parallel_blocks(lines, row_grain(outer), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t line = begin; line < end; ++line) {
        T* out = to + line * outer;
        std::fill_n(out, edge, T{0});
        std::copy_n(from.as<T>() + line * inner, inner, out + edge);
        std::fill_n(out + edge + inner, edge, T{0});
      }
    });
    return to;
  }

  std::deque<Scratch<T>> padded_;
};

}  // namespace mcn::cpu
