// What is done to the frames of a clip: crop, flip, colour, blur; one draw for all of them. The doing is the
// augmentation kernel's (kernels/augment.h).
#pragma once

#include <array>

#include "engine/random.h"
#include "kernels/augment.h"

namespace mcn {

/// Defaults: docs/choices.md. Sizes in pixels, the rest probabilities or ranges of factors.
struct AugmentConfig {
  int size = 112;  ///< of the square crop
  int resize_height = 128, resize_width = 171;
  double flip = 0.5;    ///< probability of a horizontal flip
  double jitter = 0.8;  ///< probability of colour jitter: brightness, contrast, saturation and hue, in random order
  double brightness = 0.4, contrast = 0.4, saturation = 0.4;  ///< factor in [max(0, 1 - b), 1 + b]
  double hue = 0.1;                                           ///< turn in [-h, h] of the colour circle, at most 0.5
  double grayscale = 0.2, blur = 0.5;  ///< probabilities; blur: Gaussian, sigma in [0.1, 2] pixels
  double channel_shuffle = 0;          ///< probability of a random order of the colour channels
  std::array<float, 3> mean{0.43216F, 0.394666F, 0.37645F};  ///< of Kinetics, torchvision's
  std::array<float, 3> std{0.22803F, 0.22145F, 0.216989F};
};

/// UsageError for sizes, probabilities or ranges that make no sense.
void check(const AugmentConfig& config);

/// What the config says of every clip.
AugmentParams augment_params(const AugmentConfig& config, bool residual = false);

/// A clip's augmentation: cropped at random, flipped, jittered, channels shuffled, grayscale, clamped to [0, 1],
/// normalised, blurred. All colour operations are affine in RGB and are applied as one map: hue turns chroma in YIQ,
/// contrast works about the mean luma of the whole clip, and clamping comes once, at their end (as NVIDIA DALI's
/// ColorTwist). A pure function of its arguments; a draw is made for every decision whatever the probabilities, so
/// changing one leaves the others' draws alone. The config must pass check().
AugmentClip random_augmentation(const AugmentConfig& config, Philox random);

/// For evaluation: the middle cropped. No randomness.
AugmentClip centre_crop(const AugmentConfig& config);

}  // namespace mcn
