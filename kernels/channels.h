// Kernels that put the channels of several tensors into one, and take them apart again.
#pragma once

#include <span>

#include "kernels/kernel.h"

namespace mcn::kernel {

/// y[..., :] = (parts[0][..., :], parts[1][..., :], ...). The parts have y's shape but for the last axis; their last
/// axes add up to y's. An absent part stands for zeros; its shape must be there.
struct ConcatChannels {
  static constexpr std::string_view name = "concat_channels";
  std::span<const OptionalConstView> parts;
  View y;
  static auto members(auto& k) { return std::tie(k.parts, k.y); }
};

/// The adjoint: parts[i] is its channels of y. An absent part is not written; its shape must be there.
struct SplitChannels {
  static constexpr std::string_view name = "split_channels";
  ConstView y;
  std::span<const OptionalView> parts;
  static auto members(auto& k) { return std::tie(k.y, k.parts); }
};

}  // namespace mcn::kernel
