// Checkpoints: one safetensors file with the model under torchvision's names and PyTorch's layout, its running
// statistics, and what training needs to go on; checksums over all of it. What is read is checked before it is used:
// DataError "[checkpoint] PATH: ..." says what is wrong, NonFiniteError which tensor is not finite.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "engine/safetensors.h"
#include "models/mcn_model.h"

namespace mcn {

/// What rebuilds a model and reads clips for it.
struct ModelDescription {
  McnModelConfig model;
  int frames = 16, stride = 1;  ///< of a clip
  int size = 112, resize_height = 128, resize_width = 171;
  std::uint64_t seed = 0;  ///< of the initial weights

  static constexpr std::int64_t most_frames = 65536, most_pixels = 16384;
  static constexpr double most_width = 16;

  [[nodiscard]] nlohmann::json to_json() const;
  /// DataError naming the file, and the key that is missing, of the wrong type or out of range.
  static ModelDescription from_json(const nlohmann::json& json, const std::string& path);
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

/// What the values of a tensor must be: those of a variance are not negative.
enum class Values : std::uint8_t { any, finite, not_negative };
/// Of a model's tensor, by its name.
Values values_of(std::string_view name);

/// Adds a tensor to a file under PyTorch's layout, and takes one out: DataError for a missing tensor, another shape, a
/// dtype that is not floating-point, or a negative value where its root is taken; NonFiniteError for a value that is
/// not finite in `dtype`.
void put(SafetensorsFile& file, const std::string& name, const Tensor& tensor);
Tensor take(const SafetensorsFile& file, const std::string& path, const std::string& name, const Shape& shape,
            Backend& backend, DType dtype, Values values = Values::any);

/// Name of the first floating-point tensor of a file with a value that is not finite.
std::optional<std::string> first_not_finite(const SafetensorsFile& file);

void put_model(SafetensorsFile& file, const McnModel& model, const ModelState& state);
ModelState take_model(const SafetensorsFile& file, const std::string& path, const McnModel& model, Backend& backend,
                      DType dtype);

/// The description in a checkpoint's metadata; DataError if it is not a checkpoint of this program with its checksums,
/// or has not the tensors of the network that is described. The weights of one from before there were checksums, format
/// mcn-checkpoint-1, may be read.
ModelDescription describe(const SafetensorsFile& file, const std::string& path);
/// Marks a file as a checkpoint with checksums and stores the description.
void put_description(SafetensorsFile& file, const ModelDescription& description);

/// The last checkpoint and those before it that are kept beside it (kept_path(), engine/atomic_file.h): never more.
inline constexpr int most_kept_checkpoints = 100;

/// A checkpoint to go on from.
struct SoundCheckpoint {
  std::string path;  ///< of the file that was read
  SafetensorsFile file;
  ModelDescription description;
  std::string damage;  ///< why it is not the one that was asked for; empty if it is
};

/// Reads a checkpoint. Where it is missing or damaged, the latest sound one of those before it that are kept beside it
/// (kept_path(), engine/atomic_file.h) stands for it; DataError of the first if there is none.
SoundCheckpoint read_sound_checkpoint(const std::string& path);

/// A number in a checkpoint's JSON from `least` to `most`; DataError for anything else.
std::int64_t checked_integer(const nlohmann::json& json, const char* key, std::int64_t least, std::int64_t most,
                             const std::string& path);
double checked_number(const nlohmann::json& json, const char* key, double least, double most, const std::string& path);
bool checked_boolean(const nlohmann::json& json, const char* key, const std::string& path);
/// The JSON object in a file's metadata.
nlohmann::json checked_object(const SafetensorsFile& file, const char* key, const std::string& path);

}  // namespace mcn
