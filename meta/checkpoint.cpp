// Between tensors in the engine's layout and safetensors entries in PyTorch's.
#include "meta/checkpoint.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>

#include "engine/atomic_file.h"
#include "engine/io/json_text.h"

namespace mcn {
namespace {

constexpr const char* format_key = "format";
constexpr const char* format_value = "mcn-checkpoint-2";
constexpr const char* format_without_checksums = "mcn-checkpoint-1";
constexpr const char* description_key = "model";
constexpr const char* model_prefix = "model.";

std::string shown(const std::string& text) {
  constexpr std::size_t longest = 60;
  return text.size() <= longest ? text : text.substr(0, longest) + "...";
}

// What stands in a file instead of what was expected. dump() recurses: not for what may be nested.
std::string shown(const nlohmann::json& value) {
  return value.is_primitive() ? shown(value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace))
                              : std::string("an ") + value.type_name();
}

const nlohmann::json& checked_value(const nlohmann::json& json, const char* key, const std::string& path) {
  const auto found = json.find(key);
  if (found == json.end()) fail<DataError>("checkpoint", "{}: it has no \"{}\"", path, key);
  return *found;
}

template <class T>
[[noreturn]] void refuse(const std::string& path, const char* key, const std::string& expected, const T& found) {
  fail<DataError>("checkpoint", "{}: expected {} as \"{}\", got {}", path, expected, key, shown(found));
}

// A width may leave no channel.
McnModel model_of(const ModelDescription& description, const std::string& path) try {
  return McnModel(description.model);
} catch (const UsageError& error) {
  throw DataError(fmt::format("[checkpoint] {}: {}", path, error.what()));
}

std::vector<double> doubles(const SafetensorsEntry& entry) {
  std::vector<double> values(static_cast<std::size_t>(entry.shape.numel()));
  dispatch_float(entry.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (std::size_t i = 0; i < values.size(); ++i) {
      T v;
      std::memcpy(&v, entry.data.data() + i * sizeof(T), sizeof(T));
      values[i] = static_cast<double>(v);
    }
  });
  return values;
}

}  // namespace

nlohmann::json ModelDescription::to_json() const {
  return {{"arch", model.backbone.arch},
          {"width", model.backbone.width},
          {"feature_size", model.feature_size},
          {"frames", frames},
          {"stride", stride},
          {"size", size},
          {"resize_height", resize_height},
          {"resize_width", resize_width},
          {"seed", seed}};
}

ModelDescription ModelDescription::from_json(const nlohmann::json& json, const std::string& path) {
  ModelDescription d;
  const nlohmann::json& arch = checked_value(json, "arch", path);
  const std::vector<std::string> known = backbone_archs();
  if (!arch.is_string() || std::ranges::find(known, arch.get<std::string>()) == known.end())
    refuse(path, "arch", fmt::format("one of {}", fmt::join(known, ", ")), arch);
  d.model.backbone.arch = arch.get<std::string>();
  d.model.backbone.width = checked_number(json, "width", 0, most_width, path);
  const auto integer = [&](const char* key, std::int64_t least, std::int64_t most) {
    return checked_integer(json, key, least, most, path);
  };
  d.model.feature_size = integer("feature_size", 2, McnModelConfig::most_features);
  d.frames = static_cast<int>(integer("frames", 1, most_frames));
  d.stride = static_cast<int>(integer("stride", 1, most_frames));
  d.size = static_cast<int>(integer("size", 1, most_pixels));
  d.resize_height = static_cast<int>(integer("resize_height", d.size, most_pixels));
  d.resize_width = static_cast<int>(integer("resize_width", d.size, most_pixels));
  const nlohmann::json& seed_value = checked_value(json, "seed", path);
  if (!seed_value.is_number_unsigned()) refuse(path, "seed", "an integer of at least 0", seed_value);
  d.seed = seed_value.get<std::uint64_t>();
  return d;
}

ModelState initial_state(const McnModel& model, Backend& backend, DType dtype, std::uint64_t seed) {
  ModelState state{initialise(model.parameters(), backend, dtype, seed), {}};
  for (std::size_t i = 0; i < model.backbone().norms().size(); ++i) {
    const Shape shape{model.backbone().norm_channels(i)};
    state.running.push_back({Tensor::full(backend, dtype, shape, 0), Tensor::full(backend, dtype, shape, 1)});
  }
  return state;
}

Values values_of(std::string_view name) {
  return name.ends_with(".running_var") ? Values::not_negative : Values::finite;
}

void put(SafetensorsFile& file, const std::string& name, const Tensor& tensor) {
  const std::vector<double> values = to_channels_first(tensor.to_doubles(), tensor.shape());
  SafetensorsEntry entry{tensor.dtype(), channels_first_shape(tensor.shape()), {}};
  entry.data.resize(tensor.bytes());
  dispatch_float(tensor.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const T v = static_cast<T>(values[i]);
      std::memcpy(entry.data.data() + i * sizeof(T), &v, sizeof(T));
    }
  });
  file.tensors[name] = std::move(entry);
}

Tensor take(const SafetensorsFile& file, const std::string& path, const std::string& name, const Shape& shape,
            Backend& backend, DType dtype, Values values) {
  const auto found = file.tensors.find(name);
  if (found == file.tensors.end()) fail<DataError>("checkpoint", "{}: no tensor \"{}\"", path, name);
  const SafetensorsEntry& entry = found->second;
  const Shape expected = channels_first_shape(shape);
  if (entry.shape != expected)
    fail<DataError>("checkpoint", "{}: \"{}\" has shape {}, expected {}", path, name, entry.shape.str(),
                    expected.str());
  if (entry.dtype != DType::f32 && entry.dtype != DType::f64)
    fail<DataError>("checkpoint", "{}: \"{}\" is {}, expected f32 or f64", path, name, name_of(entry.dtype));
  const std::vector<double> elements = to_channels_last(doubles(entry), expected);
  const double most = dtype == DType::f32 ? std::numeric_limits<float>::max() : std::numeric_limits<double>::max();
  if (values != Values::any && !std::ranges::all_of(elements, [&](double v) { return std::abs(v) <= most; }))
    fail<NonFiniteError>("checkpoint", "{}: \"{}\" holds a value that is not finite", path, name);
  if (values == Values::not_negative && !std::ranges::all_of(elements, [](double v) { return v >= 0; }))
    fail<DataError>("checkpoint", "{}: \"{}\" holds a negative value, whose root is none", path, name);
  return Tensor::from(backend, dtype, shape, std::span<const double>(elements));
}

std::optional<std::string> first_not_finite(const SafetensorsFile& file) {
  for (const auto& [name, entry] : file.tensors) {
    if (entry.dtype != DType::f32 && entry.dtype != DType::f64) continue;
    bool finite = true;
    dispatch_float(entry.dtype, [&finite, &data = entry.data](auto value) {
      for (std::size_t at = 0; at < data.size() && finite; at += sizeof value) {
        std::memcpy(&value, data.data() + at, sizeof value);
        finite = std::isfinite(value);
      }
    });
    if (!finite) return name;
  }
  return {};
}

void for_each_tensor(const McnModel& model, ModelState& state,
                     const std::function<void(const std::string&, const Shape&, Tensor&)>& visit) {
  const ParameterSpecs& specs = model.parameters();
  state.theta.resize(specs.size());
  for (std::size_t i = 0; i < specs.size(); ++i) visit(specs[i].name, specs[i].shape, state.theta[i]);
  const std::vector<std::string>& norms = model.backbone().norms();
  state.running.resize(norms.size());
  for (std::size_t i = 0; i < norms.size(); ++i) {
    const Shape shape{model.backbone().norm_channels(i)};
    visit(norms[i] + ".running_mean", shape, state.running[i].mean);
    visit(norms[i] + ".running_var", shape, state.running[i].variance);
  }
}

void put_model(SafetensorsFile& file, const McnModel& model, const ModelState& state) {
  ModelState values = state;
  for_each_tensor(model, values,
                  [&](const std::string& name, const Shape&, Tensor& t) { put(file, model_prefix + name, t); });
}

ModelState take_model(const SafetensorsFile& file, const std::string& path, const McnModel& model, Backend& backend,
                      DType dtype) {
  ModelState state;
  for_each_tensor(model, state, [&](const std::string& name, const Shape& shape, Tensor& t) {
    t = take(file, path, model_prefix + name, shape, backend, dtype, values_of(name));
  });
  return state;
}

ModelDescription describe(const SafetensorsFile& file, const std::string& path) {
  const auto format = file.metadata.find(format_key);
  const std::string found = format == file.metadata.end() ? "none" : format->second;
  if (found != format_value && found != format_without_checksums)
    fail<DataError>("checkpoint", "{}: expected a file of format {}, got {}", path, format_value, shown(found));
  if (found == format_value && !file.checksums)
    fail<DataError>("checkpoint", "{}: damaged: its checksums are gone", path);
  ModelDescription description = ModelDescription::from_json(checked_object(file, description_key, path), path);
  ModelState none;
  for_each_tensor(model_of(description, path), none, [&](const std::string& name, const Shape& shape, const Tensor&) {
    const auto tensor = file.tensors.find(model_prefix + name);
    if (tensor == file.tensors.end()) fail<DataError>("checkpoint", "{}: no tensor \"{}\"", path, model_prefix + name);
    const Shape expected = channels_first_shape(shape);
    if (tensor->second.shape != expected)
      fail<DataError>("checkpoint", "{}: \"{}\" has shape {}, expected {}", path, tensor->first,
                      tensor->second.shape.str(), expected.str());
  });
  return description;
}

void put_description(SafetensorsFile& file, const ModelDescription& description) {
  file.metadata[format_key] = format_value;
  file.metadata[description_key] = description.to_json().dump();
  file.checksums = true;
}

SoundCheckpoint read_sound_checkpoint(const std::string& path) {
  const auto read = [](const std::string& from, const std::string& damage) {
    SoundCheckpoint checkpoint{from, read_safetensors(from), {}, damage};
    checkpoint.description = describe(checkpoint.file, from);
    if (!checkpoint.file.checksums)
      fail<DataError>("checkpoint", "{}: of format {}, without checksums; only its weights can be used", from,
                      format_without_checksums);
    return checkpoint;
  };
  try {
    return read(path, {});
  } catch (const DataError& error) {
    for (int i = 1; i < most_kept_checkpoints; ++i) {
      const std::string earlier = kept_path(path, i);
      if (std::error_code error_code; !std::filesystem::exists(earlier, error_code)) continue;
      try {
        return read(earlier, fmt::format("{}; the checkpoint before it stands for it: {}", error.what(), earlier));
      } catch (const DataError&) {
        continue;
      }
    }
    throw;
  }
}

std::int64_t checked_integer(const nlohmann::json& json, const char* key, std::int64_t least, std::int64_t most,
                             const std::string& path) {
  const nlohmann::json& value = checked_value(json, key, path);
  const bool fits =
      value.is_number_integer() && !(value.is_number_unsigned() && value.get<std::uint64_t>() > std::uint64_t{1} << 62);
  const std::int64_t number = fits ? value.get<std::int64_t>() : 0;
  if (!fits || number < least || number > most)
    refuse(path, key, fmt::format("an integer from {} to {}", least, most), value);
  return number;
}

double checked_number(const nlohmann::json& json, const char* key, double least, double most, const std::string& path) {
  const nlohmann::json& value = checked_value(json, key, path);
  if (!value.is_number() || !(value.get<double>() >= least && value.get<double>() <= most))
    refuse(path, key, fmt::format("a number from {} to {}", least, most), value);
  return value.get<double>();
}

bool checked_boolean(const nlohmann::json& json, const char* key, const std::string& path) {
  const nlohmann::json& value = checked_value(json, key, path);
  if (!value.is_boolean()) refuse(path, key, "true or false", value);
  return value.get<bool>();
}

nlohmann::json checked_object(const SafetensorsFile& file, const char* key, const std::string& path) {
  const auto found = file.metadata.find(key);
  if (found == file.metadata.end()) fail<DataError>("checkpoint", "{}: it has no \"{}\"", path, key);
  nlohmann::json json = parse_json(found->second);
  if (!json.is_object()) refuse(path, key, "a JSON object", json.is_discarded() ? nlohmann::json(found->second) : json);
  return json;
}

}  // namespace mcn
