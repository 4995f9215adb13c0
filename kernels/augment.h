// The augmentation kernel: decoded frames to a network's input. Everything random is drawn before
// (data/augment.h); what is left is the same arithmetic, in the same order, on every device, and gives the same bits.
#pragma once

#include <span>

#include "kernels/kernel.h"

namespace mcn {

/// What all clips of a call share.
struct AugmentParams {
  using HasNoMembersToVisit = void;
  int size = 112;                               ///< pixels a side of the crop
  int resize_height = 128, resize_width = 171;  ///< pixels of the frames that the crop is taken from
  /// Each frame of the result is the difference of two, frame 2 d + 1 minus frame 2 d.
  bool residual = false;
  float scale[3] = {1, 1, 1}, shift[3] = {};  ///< normalisation: color in [0, 1] * scale + shift
};

/// What is done to one clip, alike for all its frames.
struct AugmentClip {
  using HasNoMembersToVisit = void;
  static constexpr int most_radius = 6;

  int top = 0, left = 0;  ///< of the crop in the resized frame
  bool flip = false;
  /// Color in [0, 1]: a x + b + m mean, row-major, mean that of the clip's crop; then clamped to [0, 1].
  double a[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1}, b[3] = {}, m[9] = {};
  int radius = 0;                     ///< of the blur; 0: none
  float blur[most_radius + 1] = {1};  ///< weights at distance 0 .. radius; over both sides they sum to 1

  bool operator==(const AugmentClip&) const = default;
};

namespace kernel {

/// frames: N D H W 3 (u8), resized by a triangle filter (widened when it shrinks) where H W is not the size to resize
/// to; y: N D' size size 3, D' = D, or D / 2 if residual. One entry of clips for each of N.
struct Augment {
  static constexpr std::string_view name = "augment";
  AugmentParams params = {};
  std::span<const AugmentClip> clips;
  ConstView frames;
  View y;
  static auto members(auto& k) { return std::tie(k.params, k.clips, k.frames, k.y); }
};

}  // namespace kernel
}  // namespace mcn
