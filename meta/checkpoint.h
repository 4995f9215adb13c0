// Checkpoints: one safetensors file with the model under torchvision's names and PyTorch's layout, its running
// statistics, and what training needs to go on.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/safetensors.h"
#include "models/mcn_model.h"

namespace mcn {

/// What rebuilds a model and reads clips for it.
struct ModelDescription {
  McnModelConfig model;
  int frames = 16, stride = 1;  ///< of a clip
  int size = 112, resize_height = 128, resize_width = 171;
  std::uint64_t seed = 0;  ///< of the initial weights

  [[nodiscard]] nlohmann::json to_json() const;
  /// DataError naming the key that is missing or of the wrong type.
  static ModelDescription from_json(const nlohmann::json& json);
};

/// A model's values: parameters in the order of McnModel::parameters() and running statistics in that of norms().
struct ModelState {
  Tensors theta;
  std::vector<RunningStatistics> running;
};

/// Visits every value of a model with its name, which is torch's, and its shape; makes room for those that are missing.
void for_each_tensor(const McnModel& model, ModelState& state,
                     const std::function<void(const std::string& name, const Shape& shape, Tensor& value)>& visit);

/// Initial weights from the seed; running mean 0 and variance 1.
ModelState initial_state(const McnModel& model, Backend& backend, DType dtype, std::uint64_t seed);

/// Adds a tensor to a file under PyTorch's layout, and takes one out: DataError for a missing tensor, another shape, or
/// a dtype that is not floating-point.
void put(SafetensorsFile& file, const std::string& name, const Tensor& tensor);
Tensor take(const SafetensorsFile& file, const std::string& path, const std::string& name, const Shape& shape,
            Backend& backend, DType dtype);

void put_model(SafetensorsFile& file, const McnModel& model, const ModelState& state);
ModelState take_model(const SafetensorsFile& file, const std::string& path, const McnModel& model, Backend& backend,
                      DType dtype);

/// The description in a checkpoint's metadata; DataError if it is not a checkpoint of this program.
ModelDescription describe(const SafetensorsFile& file, const std::string& path);
/// Marks a file as a checkpoint and stores the description.
void put_description(SafetensorsFile& file, const ModelDescription& description);

}  // namespace mcn
