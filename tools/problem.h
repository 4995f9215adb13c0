// A problem of `mcn grad`: a model's parameters, a support set and a query set out of a safetensors file that another
// framework wrote.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "engine/safetensors.h"
#include "meta/maml.h"
#include "models/backbone.h"

namespace mcn {

/// The loss is cross-entropy on the model's classifier; batch normalisation uses batch statistics.
struct Problem {
  std::shared_ptr<const Backbone> model;
  Tensors theta;  ///< in the order of model->parameters()
  LossFunction support, query;
};

/// Cross-entropy of the model on clips (N D H W 3) with labels (N, i64). The function keeps model and tensors alive.
LossFunction classification(std::shared_ptr<const Backbone> model, Tensor clips, Tensor labels);

/// Takes a problem out of a file, converted to dtype: model.NAME under torchvision's names and in PyTorch's layout (the
/// classes are the rows of its classifier's weight), support.x and query.x (N, 3, T, H, W), support.y and query.y (N,
/// i64). Running statistics of the model's norms, which state_dict() has too, are ignored. DataError, naming path and
/// tensor, for a tensor that is missing, unknown, of another shape or dtype, fewer than two clips, a label out of
/// range, and float tensors that differ in dtype. UsageError for an unknown arch.
Problem take_problem(const SafetensorsFile& file, const std::string& path, BackboneConfig config, Backend& backend,
                     DType dtype);

}  // namespace mcn
