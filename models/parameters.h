// Named parameters of a model: what they are called, their shapes and how they start; and their layout at the edges.
#pragma once

#include <string>
#include <vector>

#include "engine/tensor.h"

namespace mcn {

/// How a parameter starts. kaiming: normal with deviation sqrt(2 / fan_out) (convolutions, as in torchvision's
/// VideoResNet); gaussian: normal with deviation `scale`.
enum class Init : std::uint8_t { kaiming, gaussian, ones, zeros };

/// One parameter. The shape is the engine's: a convolution's weight is O KD KH KW I.
struct ParameterSpec {
  std::string name;  ///< torchvision's
  Shape shape;
  Init init = Init::zeros;
  double scale = 0;
  /// false for what weight decay would only harm: biases and normalisation's gamma and beta
  bool decays = true;
};

using ParameterSpecs = std::vector<ParameterSpec>;

/// Initial values; each parameter has a random stream of its own, so that adding one changes no other.
Tensors initialise(const ParameterSpecs& specs, Backend& backend, DType dtype, std::uint64_t seed);

/// Converts between PyTorch's order of axes and the engine's, by rank: convolution weights O I KD KH KW <-> O KD KH KW
/// I and, for activations, N C D H W <-> N D H W C, which is the same permutation. Other ranks are returned as they
/// are.
std::vector<double> to_channels_last(const std::vector<double>& values, const Shape& channels_first);
std::vector<double> to_channels_first(const std::vector<double>& values, const Shape& channels_last);
Shape channels_last_shape(const Shape& channels_first);
Shape channels_first_shape(const Shape& channels_last);

}  // namespace mcn
