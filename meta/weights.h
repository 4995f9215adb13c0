// Weights from files of other programs and for them: torchvision's names, with or without a prefix before them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "meta/checkpoint.h"

namespace mcn {

/// Tensors under the names of McnModel::parameters(), of its running statistics and of whatever else the file holds.
struct Weights {
  std::string path;
  SafetensorsMap tensors;
  std::optional<ModelDescription> description;  ///< of a checkpoint, or from the metadata of export_backbone
};

/// Reads a checkpoint of this program, a safetensors file or a state dict of PyTorch (.pth, .pt), by content.
/// A prefix before torchvision's names ("module.", "encoder_q.") is removed, and tensors without it are left out; it is
/// found by the name of an architecture's first convolution. DataError if that is not there, or there several times and
/// `prefix` does not say which.
Weights read_weights(const std::string& path, const std::string& prefix = {});

/// The architecture and width whose shapes fit. DataError, with the shape of the first convolution, if none does.
BackboneConfig infer_backbone(const Weights& weights);

/// What a file had for a model.
struct WeightsReport {
  std::vector<std::string> missing;  ///< of the backbone: these keep their values
  std::vector<std::string> extra;    ///< of the file: these were left out
  bool heads = false;                ///< the file had fc_feat, fcm and fc_meta
};

/// Puts the file's tensors in the place of the state's. The backbone's parameters and running statistics are expected;
/// the heads are taken if all of them are there. A classifier and `num_batches_tracked` are never taken, and are not
/// extra. `strict`: DataError that lists what is missing or extra. Also without it: DataError if not one tensor
/// fits by name, or one has another shape or a negative variance; NonFiniteError if a value is not finite. The state is
/// unchanged by an error.
WeightsReport load_weights(const Weights& weights, const McnModel& model, ModelState& state, bool strict);

/// The backbone under torchvision's names, float32 or float64 as the state is, with num_batches_tracked, so that
/// load_state_dict misses nothing but the classifier. Metadata tells how clips were sampled and normalized, as text.
/// NonFiniteError, naming `origin`, if a value is not finite.
SafetensorsFile export_backbone(const McnModel& model, const ModelState& state, const ModelDescription& description,
                                const std::string& origin);

}  // namespace mcn
