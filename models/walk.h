// What a model computes at some size of clips, found by running it where nothing is computed: there is no second
// description of a model that could disagree with the first.
#pragma once

#include <functional>
#include <string>

#include "models/backbone.h"

namespace mcn {

/// A convolution of a model.
struct ConvLayer {
  std::string name;  ///< of its weight, without ".weight"
  Shape x, w, y;
  Conv3dParams params;
};

/// A normalization.
struct NormLayer {
  std::string name;  ///< of its gamma and beta, without ".weight"
  Shape x;
  bool relu, residual;
};

/// A fully connected layer.
struct LinearLayer {
  std::string name;  ///< of its weight, without ".weight"
  Shape x, w;        ///< N x I, O x I
};

/// Whoever looks at layers; those that nobody looks at are passed over.
struct LayerVisitor {
  std::function<void(const ConvLayer&)> conv = {};
  std::function<void(const NormLayer&)> norm = {};
  std::function<void(const LinearLayer&)> linear = {};
};

/// Calls the visitor for every layer of one forward pass over clips of shape N D H W 3, in the order of the pass; with
/// the classifier, if the model has one. UsageError where the model refuses the clips.
void walk(const Backbone& model, const Shape& clip, const LayerVisitor& visitor);

/// Multiply-accumulates of convolutions and classifier in one forward pass, as torchvision counts them: half of the
/// floating-point operations.
double multiply_accumulates(const Backbone& model, const Shape& clip);

}  // namespace mcn
