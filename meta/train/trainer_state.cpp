// What a checkpoint holds of a training run, and how a run goes on from it.
#include <fmt/ranges.h>

#include <cstring>
#include <limits>
#include <set>

#include "engine/io/json_text.h"
#include "meta/train/settings.h"
#include "meta/trainer.h"

namespace mcn {
namespace {

using Json = nlohmann::json;

constexpr const char* curvature_prefix = "curvature.";
constexpr const char* settings_key = "settings";
constexpr const char* progress_key = "progress";
constexpr const char* bad_videos_key = "bad_videos";
constexpr const char* absent_key = "absent";
// Products with a batch or a number of videos must stay within 64 bits.
constexpr std::int64_t most_iterations = 1'000'000'000'000;
constexpr double most_double = std::numeric_limits<double>::max();

std::string moments_prefix(const std::string& list) { return "optimizer." + list + "."; }

// Tensors that some parameters have and some do not. The absent ones are listed: a tensor is not lost without a word.
void put_list(SafetensorsFile& file, Json& absent, const std::string& prefix, const ParameterSpecs& specs,
              const Tensors& tensors) {
  for (std::size_t i = 0; i < tensors.size(); ++i)
    if (tensors[i])
      put(file, prefix + specs[i].name, tensors[i]);
    else
      absent.push_back(prefix + specs[i].name);
}

Tensors take_list(const SoundCheckpoint& from, const Json& progress, const std::string& prefix,
                  const ParameterSpecs& specs, Backend& backend, DType dtype, Values values) {
  const auto absent = progress.find(absent_key);
  if (absent == progress.end() || !absent->is_array())
    fail<DataError>("checkpoint", "{}: it does not list its absent tensors", from.path);
  std::set<std::string> names;
  for (const Json& name : *absent)
    if (name.is_string()) names.insert(name.get<std::string>());
  Tensors tensors(specs.size());
  for (std::size_t i = 0; i < specs.size(); ++i) {
    const std::string name = prefix + specs[i].name;
    if (!names.contains(name)) tensors[i] = take(from.file, from.path, name, specs[i].shape, backend, dtype, values);
  }
  return tensors;
}

std::vector<std::pair<std::int64_t, std::string>> take_bad_videos(const SoundCheckpoint& from, std::int64_t videos) {
  const auto found = from.file.metadata.find(bad_videos_key);
  const Json json = found == from.file.metadata.end() ? Json() : parse_json(found->second);
  if (!json.is_array()) fail<DataError>("checkpoint", "{}: it has no list of bad videos", from.path);
  std::vector<std::pair<std::int64_t, std::string>> bad;
  for (const Json& entry : json) {
    const bool sound = entry.is_array() && entry.size() == 2 && entry[0].is_number_unsigned() && entry[1].is_string();
    const std::uint64_t video = sound ? entry[0].get<std::uint64_t>() : 0;
    if (!sound || video >= static_cast<std::uint64_t>(videos) ||
        (!bad.empty() && static_cast<std::int64_t>(video) <= bad.back().first))
      fail<DataError>("checkpoint", "{}: expected bad videos as ascending numbers below {}, each with its cause",
                      from.path, videos);
    bad.emplace_back(static_cast<std::int64_t>(video), entry[1].get<std::string>());
  }
  return bad;
}

// What a part says of its state, with the file before it.
template <class F>
void with_file(const std::string& path, F&& restore) {
  try {
    restore();
  } catch (const DataError& error) {
    throw DataError(fmt::format("[checkpoint] {}: {}", path, error.what()));
  }
}

}  // namespace

void Trainer::save(const std::string& path, int keep) {
  const ParameterSpecs& specs = model_.parameters();
  if (const auto bad = first_not_finite(state_.theta))
    fail<NonFiniteError>("train", "iteration {}: the first tensor that is not finite is {}", iteration_,
                         specs[*bad].name);
  SafetensorsFile file;
  put_description(file, description());
  put_model(file, model_, state_);
  Json absent = Json::array();
  for (const auto& [list, moments] : optimizer_.state()) put_list(file, absent, moments_prefix(list), specs, *moments);
  const FeatureBank::State bank = bank_.state();
  if (bank.features) {
    put(file, "bank.features", bank.features);
    SafetensorsEntry ids{DType::i64, {static_cast<std::int64_t>(bank.ids.size())}, {}};
    ids.data.resize(bank.ids.size() * sizeof(std::int64_t));
    if (!bank.ids.empty()) std::memcpy(ids.data.data(), bank.ids.data(), ids.data.size());
    file.tensors["bank.ids"] = std::move(ids);
  }
  put_list(file, absent, curvature_prefix, specs, curvature_vector_);
  if (const auto bad = first_not_finite(file))
    fail<NonFiniteError>("train", "iteration {}: the first tensor that is not finite is {}", iteration_, *bad);
  file.metadata[settings_key] = training_settings(config_, clips_).dump();
  Json bad_json = Json::array();
  for (const auto& [video, cause] : bad_videos()) bad_json.push_back({video, cause});
  // A cause names a file, and a file's name need not be UTF-8.
  file.metadata[bad_videos_key] = bad_json.dump(-1, ' ', false, Json::error_handler_t::replace);
  Json progress{{"iteration", iteration_},
                {"inner_lr", inner_lr_},
                {"curvature_measured", !curvature_vector_.empty()},
                {"curvature_measured_at", measured_at_},
                {"outer_gradient_turned", turned_},
                {"optimizer_steps", optimizer_.steps()},
                {"bank_next", bank.next},
                {absent_key, std::move(absent)}};
  if (inner_rates_.learned()) progress["inner_rates"] = inner_rates_.to_json();
  file.metadata[progress_key] = progress.dump();
  write_safetensors(path, file, keep);
}

void Trainer::load(const std::string& path, const std::set<std::string>& allowed) {
  const SoundCheckpoint checkpoint = read_sound_checkpoint(path);
  damage_ = checkpoint.damage;
  const Json then = checked_object(checkpoint.file, settings_key, checkpoint.path);
  check_settings(then, checkpoint.path);
  const Json progress = checked_object(checkpoint.file, progress_key, checkpoint.path);
  iteration_ = checked_integer(progress, "iteration", 0, most_iterations, checkpoint.path);

  std::set<std::string> changed, refused;
  std::vector<std::string> texts;
  bool another_network = false;
  for (const SettingChange& change : changed_settings(then, training_settings(config_, clips_), iteration_)) {
    changed.insert(change.name);
    changed_.push_back(change.text);
    if (allowed.contains(change.name)) continue;
    const bool changeable = changeable_settings().contains(change.name);
    if (changeable && allowed.contains("all")) continue;
    another_network = another_network || !changeable;
    refused.insert(change.name);
    texts.push_back(change.text);
  }
  if (!refused.empty())
    throw ChangedSettingsError(one_line(fmt::format("[checkpoint] {}: it is of {}: {}", checkpoint.path,
                                                    another_network ? "another network" : "a run with other settings",
                                                    fmt::join(texts, ", "))),
                               another_network ? std::set<std::string>() : refused);

  state_ = take_model(checkpoint.file, checkpoint.path, model_, backend_, config_.dtype);
  if (!changed.contains("data")) config_.loader.known_bad = take_bad_videos(checkpoint, clips_.videos);
  load_progress(checkpoint, changed);
  const bool other_queue = config_.bank.kind == BankKind::queue && changed.contains("bank-size");
  if (!changed.contains("bank") && !changed.contains("data") && !other_queue) load_bank(checkpoint, progress);
}

void Trainer::load_progress(const SoundCheckpoint& checkpoint, const std::set<std::string>& changed) {
  const std::string& path = checkpoint.path;
  const ParameterSpecs& specs = model_.parameters();
  const Json progress = checked_object(checkpoint.file, progress_key, path);
  // Steps are for the bias of moments that began at zero.
  if (!changed.contains("optimizer")) {
    const std::int64_t steps = checked_integer(progress, "optimizer_steps", 0, iteration_, path);
    std::vector<Tensors> moments;
    for (const auto& [list, unused] : optimizer_.state())
      moments.push_back(take_list(checkpoint, progress, moments_prefix(list), specs, backend_, config_.dtype,
                                  list == "v" ? Values::not_negative : Values::finite));
    with_file(path, [&] { optimizer_.restore(std::move(moments), steps); });
  }
  // Another interval, or another choice of parameters, goes on from what it finds.
  if (checked_boolean(progress, "curvature_measured", path) && config_.curvature.every > 0) {
    curvature_vector_ =
        take_list(checkpoint, progress, curvature_prefix, specs, backend_, config_.dtype, Values::finite);
    measured_at_ = checked_integer(progress, "curvature_measured_at", 0, iteration_, path);
    const bool turned = checked_boolean(progress, "outer_gradient_turned", path);
    const double inner_lr = checked_number(progress, "inner_lr", -most_double, most_double, path);
    turned_ = config_.curvature.sets_inner_lr && turned;
    if (config_.curvature.sets_inner_lr) inner_lr_ = inner_lr;
  }
  if (const auto rates = progress.find("inner_rates"); inner_rates_.learned() && rates != progress.end())
    with_file(path, [&] { inner_rates_.restore(*rates); });
}

void Trainer::load_bank(const SoundCheckpoint& checkpoint, const Json& progress) {
  FeatureBank::State bank = bank_.state();
  if (!bank.features) return;
  const std::string& path = checkpoint.path;
  bank.next = checked_integer(progress, "bank_next", 0, bank.features.shape()[0], path);
  bank.features =
      take(checkpoint.file, path, "bank.features", bank.features.shape(), backend_, config_.dtype, Values::finite);
  const auto ids = checkpoint.file.tensors.find("bank.ids");
  if (ids == checkpoint.file.tensors.end() || ids->second.dtype != DType::i64)
    fail<DataError>("checkpoint", "{}: no i64 tensor \"bank.ids\"", path);
  bank.ids.resize(ids->second.data.size() / sizeof(std::int64_t));
  if (!bank.ids.empty()) std::memcpy(bank.ids.data(), ids->second.data.data(), ids->second.data.size());
  with_file(path, [&] { bank_.restore(bank); });
}

}  // namespace mcn
