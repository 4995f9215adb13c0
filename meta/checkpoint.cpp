// Between tensors in the engine's layout and safetensors entries in PyTorch's.
#include "meta/checkpoint.h"

#include <cstring>

namespace mcn {
namespace {

constexpr const char* format_key = "format";
constexpr const char* format_value = "mcn-checkpoint-1";
constexpr const char* description_key = "model";

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

ModelDescription ModelDescription::from_json(const nlohmann::json& json) {
  ModelDescription d;
  const auto read = [&](const char* key, auto& value) {
    try {
      json.at(key).get_to(value);
    } catch (const nlohmann::json::exception&) {
      fail<DataError>("checkpoint", "description has no usable \"{}\"", key);
    }
  };
  read("arch", d.model.backbone.arch);
  read("width", d.model.backbone.width);
  read("feature_size", d.model.feature_size);
  read("frames", d.frames);
  read("stride", d.stride);
  read("size", d.size);
  read("resize_height", d.resize_height);
  read("resize_width", d.resize_width);
  read("seed", d.seed);
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
            Backend& backend, DType dtype) {
  const auto found = file.tensors.find(name);
  if (found == file.tensors.end()) fail<DataError>("checkpoint", "{}: no tensor \"{}\"", path, name);
  const SafetensorsEntry& entry = found->second;
  const Shape expected = channels_first_shape(shape);
  if (entry.shape != expected)
    fail<DataError>("checkpoint", "{}: \"{}\" has shape {}, expected {}", path, name, entry.shape.str(),
                    expected.str());
  if (entry.dtype != DType::f32 && entry.dtype != DType::f64)
    fail<DataError>("checkpoint", "{}: \"{}\" is {}, expected f32 or f64", path, name, name_of(entry.dtype));
  const std::vector<double> values = to_channels_last(doubles(entry), expected);
  return Tensor::from(backend, dtype, shape, std::span<const double>(values));
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
                  [&](const std::string& name, const Shape&, Tensor& t) { put(file, "model." + name, t); });
}

ModelState take_model(const SafetensorsFile& file, const std::string& path, const McnModel& model, Backend& backend,
                      DType dtype) {
  ModelState state;
  for_each_tensor(model, state, [&](const std::string& name, const Shape& shape, Tensor& t) {
    t = take(file, path, "model." + name, shape, backend, dtype);
  });
  return state;
}

ModelDescription describe(const SafetensorsFile& file, const std::string& path) {
  const auto format = file.metadata.find(format_key);
  const auto description = file.metadata.find(description_key);
  if (format == file.metadata.end() || format->second != format_value || description == file.metadata.end())
    fail<DataError>("checkpoint", "{}: expected a file of format {}, got {}", path, format_value,
                    format == file.metadata.end() ? "none" : format->second);
  const auto json = nlohmann::json::parse(description->second, nullptr, false);
  if (!json.is_object()) fail<DataError>("checkpoint", "{}: its description is not JSON", path);
  return ModelDescription::from_json(json);
}

void put_description(SafetensorsFile& file, const ModelDescription& description) {
  file.metadata[format_key] = format_value;
  file.metadata[description_key] = description.to_json().dump();
}

}  // namespace mcn
