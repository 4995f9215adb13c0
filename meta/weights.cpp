// Names and shapes of weights between files and models.
#include "meta/weights.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <set>
#include <string_view>
#include <utility>

#include "data/augment.h"
#include "engine/io/json_text.h"
#ifdef MCN_HAS_DATA
#include "engine/io/torch_file.h"
#endif

namespace mcn {
namespace {

constexpr const char* prefix_of_errors = "weights";

// What an architecture's files are known by.
struct Landmarks {
  std::string arch, first;              // its first parameter, a convolution's weight
  std::int64_t channels;                // of that convolution at width 1
  std::vector<std::string> classifier;  // its parameters
};

const std::vector<Landmarks>& landmarks() {
  static const std::vector<Landmarks> all = [] {
    std::vector<Landmarks> list;
    for (const std::string& arch : backbone_archs()) {
      const auto model = make_backbone({.arch = arch, .classes = 1});
      const ParameterSpecs& specs = model->parameters();
      const Linear& classifier = *model->classifier();
      list.push_back({arch,
                      specs.front().name,
                      specs.front().shape.o(),
                      {specs[classifier.weight].name, specs[classifier.bias].name}});
    }
    return list;
  }();
  return all;
}

std::string names_of_first_parameters() {
  std::vector<std::string> names;
  for (const Landmarks& of : landmarks())
    if (std::string name = '"' + of.first + '"'; std::ranges::find(names, name) == names.end())
      names.push_back(std::move(name));
  return fmt::format("{}", fmt::join(names, " or "));
}

// A pickle outside of a zip archive begins with its protocol and its magic number, an integer of ten bytes.
bool is_bare_pickle(const std::string& path) {
  std::array<char, 4> start{};
  std::ifstream in(path, std::ios::binary);
  in.read(start.data(), start.size());
  return in.gcount() == 4 && std::string_view(start.data(), 4) == "\x80\x02\x8a\x0a";
}

SafetensorsFile read_any(const std::string& path) {
#ifdef MCN_HAS_DATA
  if (is_zip_file(path)) return {read_torch_file(path), {}};
#endif
  if (is_bare_pickle(path))
    fail<DataError>(prefix_of_errors, "{}: saved in the format of PyTorch before 1.6; load it and save it again", path);
  return read_safetensors(path);
}

std::string list(const std::vector<std::string>& names) {
  constexpr std::size_t most = 6;
  const std::vector<std::string> first(names.begin(),
                                       names.begin() + static_cast<std::ptrdiff_t>(std::min(most, names.size())));
  return names.size() <= most ? fmt::format("{}", fmt::join(first, ", "))
                              : fmt::format("{} and {} more", fmt::join(first, ", "), names.size() - most);
}

std::vector<std::string> prefixes_in(const SafetensorsMap& tensors) {
  std::set<std::string> found;
  for (const auto& [name, entry] : tensors)
    for (const Landmarks& of : landmarks())
      if (name.ends_with(of.first)) {
        std::string before = name.substr(0, name.size() - of.first.size());
        if (before.empty() || before.ends_with('.')) found.insert(std::move(before));
      }
  return {found.begin(), found.end()};
}

bool is_bookkeeping(std::string_view name) {
  return name.ends_with(".num_batches_tracked") || std::ranges::any_of(landmarks(), [&](const Landmarks& of) {
           return std::ranges::find(of.classifier, name) != of.classifier.end();
         });
}

bool is_head(std::string_view name) {
  return std::ranges::any_of(std::array{"fc_feat.", "fcm.", "fc_meta."},
                             [&](const char* head) { return name.starts_with(head); });
}

bool fits(const SafetensorsMap& tensors, const Landmarks& of, double width) {
  const auto first = tensors.find(of.first);
  if (first == tensors.end() || first->second.shape.rank() != 5 ||
      first->second.shape[0] != scaled_channels(of.channels, width))
    return false;
  const auto model = make_backbone({.arch = of.arch, .width = width});
  return std::ranges::all_of(model->parameters(), [&](const ParameterSpec& spec) {
    const auto found = tensors.find(spec.name);
    return found != tensors.end() && found->second.shape == channels_first_shape(spec.shape);
  });
}

// What export_backbone says of a network, in the words of its metadata.
ModelDescription description_of_export(const std::map<std::string, std::string>& metadata, const std::string& path) {
  const auto text = [&](const char* key) -> const std::string& {
    const auto found = metadata.find(key);
    if (found == metadata.end()) fail<DataError>(prefix_of_errors, "{}: no \"{}\" in its metadata", path, key);
    return found->second;
  };
  const ModelDescription others;  // of what it does not say
  nlohmann::json json = others.to_json();
  const auto number = [&](const char* key, const std::string& value) {
    nlohmann::json parsed = parse_json(value);
    json[key] = parsed.is_number() ? std::move(parsed) : nlohmann::json(value);
  };
  json["arch"] = text("architecture");
  for (const char* key : {"width", "frames", "stride", "size"}) number(key, text(key));
  const std::string& resize = text("resize");
  const std::size_t cross = std::min(resize.find('x'), resize.size());
  number("resize_height", resize.substr(0, cross));
  number("resize_width", resize.substr(std::min(cross + 1, resize.size())));
  return ModelDescription::from_json(json, path);
}

}  // namespace

Weights read_weights(const std::string& path, const std::string& prefix) {
  SafetensorsFile file = read_any(path);
  Weights weights{path, {}, {}};
  if (file.metadata.contains("model")) weights.description = describe(file, path);
  if (file.metadata.contains("architecture")) weights.description = description_of_export(file.metadata, path);
  // A checkpoint's optimizer has tensors for the same names.
  const std::vector<std::string> found =
      file.metadata.contains("model") ? std::vector<std::string>{"model."} : prefixes_in(file.tensors);
  if (found.empty())
    fail<DataError>(prefix_of_errors, "{}: no tensor {} among its {}: not the weights of a video network that is known",
                    path, names_of_first_parameters(), file.tensors.size());
  std::string chosen = found.front();
  if (!prefix.empty()) {
    if (!std::ranges::count(found, prefix))
      fail<DataError>(prefix_of_errors, "{}: no network under \"{}\"; it has \"{}\"", path, prefix,
                      fmt::join(found, "\", \""));
    chosen = prefix;
  } else if (found.size() > 1) {
    fail<DataError>(prefix_of_errors, "{}: holds {} networks, say which by its prefix: \"{}\"", path, found.size(),
                    fmt::join(found, "\", \""));
  }
  for (auto& [name, entry] : file.tensors)
    if (name.starts_with(chosen)) weights.tensors.emplace(name.substr(chosen.size()), std::move(entry));
  return weights;
}

BackboneConfig infer_backbone(const Weights& weights) {
  if (weights.description) return weights.description->model.backbone;
  // Widths of up to three digits are tried, the coarse ones first.
  for (const int digits : {1, 4, 20, 100, 1000})
    for (int i = 1; i <= 16 * digits; ++i)
      for (const Landmarks& of : landmarks()) {
        const double width = static_cast<double>(i) / digits;
        if (fits(weights.tensors, of, width)) return {.arch = of.arch, .width = width};
      }
  std::string shapes;
  for (const auto& [name, entry] : weights.tensors)
    if (std::ranges::find(landmarks(), name, &Landmarks::first) != landmarks().end())
      shapes += fmt::format("; {} is {}", name, entry.shape.str());
  fail<DataError>(prefix_of_errors, "{}: its shapes fit none of {} at any width{}", weights.path,
                  fmt::join(backbone_archs(), ", "), shapes);
}

WeightsReport load_weights(const Weights& weights, const McnModel& model, ModelState& state, bool strict) {
  WeightsReport report;
  std::set<std::string> known;
  std::size_t heads_found = 0;
  std::size_t heads = 0;
  for_each_tensor(model, state, [&](const std::string& name, const Shape&, Tensor&) {
    known.insert(name);
    const bool found = weights.tensors.contains(name);
    if (is_head(name)) {
      ++heads;
      heads_found += found ? 1 : 0;
    } else if (!found) {
      report.missing.push_back(name);
    }
  });
  report.heads = heads_found == heads;
  for (const auto& [name, entry] : weights.tensors)
    if (!is_bookkeeping(name) && !(known.contains(name) && (report.heads || !is_head(name))))
      report.extra.push_back(name);
  if (report.missing.size() + heads == known.size())
    fail<DataError>(prefix_of_errors, "{}: none of its {} tensors has a name of the network", weights.path,
                    weights.tensors.size());
  if (strict && !report.missing.empty())
    fail<DataError>(prefix_of_errors, "{}: lacks {}", weights.path, list(report.missing));
  if (strict && !report.extra.empty())
    fail<DataError>(prefix_of_errors, "{}: has {}, which the network lacks", weights.path, list(report.extra));

  const SafetensorsFile file{weights.tensors, {}};
  ModelState next = state;
  for_each_tensor(model, next, [&](const std::string& name, const Shape& shape, Tensor& tensor) {
    if (!weights.tensors.contains(name) || (is_head(name) && !report.heads)) return;
    const Shape expected = channels_first_shape(shape);
    const Shape& actual = weights.tensors.at(name).shape;
    if (actual != expected)
      fail<DataError>(prefix_of_errors, "{}: another architecture or width: \"{}\" has shape {}, expected {}",
                      weights.path, name, actual.str(), expected.str());
    tensor = take(file, weights.path, name, shape, tensor.backend(), tensor.dtype(), values_of(name));
  });
  state = std::move(next);
  return report;
}

SafetensorsFile export_backbone(const McnModel& model, const ModelState& state, const ModelDescription& description,
                                const std::string& origin) {
  SafetensorsFile file;
  ModelState copy = state;
  for_each_tensor(model, copy, [&](const std::string& name, const Shape&, const Tensor& tensor) {
    if (!is_head(name)) put(file, name, tensor);
  });
  for (const std::string& norm : model.backbone().norms())
    file.tensors[norm + ".num_batches_tracked"] = {DType::i64, {}, std::vector<std::byte>(sizeof(std::int64_t))};
  if (const auto bad = first_not_finite(file))
    fail<NonFiniteError>(prefix_of_errors, "{}: \"{}\" holds a value that is not finite", origin, *bad);
  const AugmentConfig augment;
  file.metadata = {
      {"format", "pt"},
      {"architecture", description.model.backbone.arch},
      {"width", fmt::format("{}", description.model.backbone.width)},
      {"frames", fmt::format("{}", description.frames)},
      {"stride", fmt::format("{}", description.stride)},
      {"size", fmt::format("{}", description.size)},
      {"resize", fmt::format("{}x{}", description.resize_height, description.resize_width)},
      {"mean", fmt::format("{}", fmt::join(augment.mean, " "))},
      {"std", fmt::format("{}", fmt::join(augment.std, " "))},
      {"origin", origin},
  };
  return file;
}

}  // namespace mcn
