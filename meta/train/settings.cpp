// A table of settings, and their comparison.
#include "meta/train/settings.h"

#include <algorithm>
#include <array>

namespace mcn {
namespace {

using Json = nlohmann::json;

template <class Enum, std::size_t N>
const char* word(Enum value, const std::array<const char*, N>& words) {
  return words.at(static_cast<std::size_t>(value));
}

// The network's tensors have other shapes with another one of these.
const std::set<std::string>& fixed_settings() {
  static const std::set<std::string> names{"arch", "width", "feature-size"};
  return names;
}

std::string note_on(const std::string& key, const Json& now) {
  if (key == "optimizer") return " (its moments start at zero)";
  const bool anew = key == "bank" || key == "data" || (key == "bank-size" && now.value("bank", "") == "queue");
  if (anew && now.value("bank", "none") != "none") return " (the bank's features start anew)";
  return "";
}

std::string text_of(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

bool both_at_most(const Json& then, const Json& now, const char* key, std::int64_t iteration) {
  const auto passed = [&](const Json& settings) {
    const auto found = settings.find(key);
    return found != settings.end() && found->is_number() && *found <= iteration;
  };
  return passed(then) && passed(now);
}

Json network_settings(const TrainConfig& c) {
  return {{"arch", c.model.backbone.arch}, {"width", c.model.backbone.width}, {"feature-size", c.model.feature_size}};
}

Json clip_settings(const LoaderConfig& loader) {
  const AugmentConfig& a = loader.augment;
  return {{"batch", loader.batch},
          {"seed", loader.seed},
          {"frames", loader.clip.frames},
          {"stride", loader.clip.stride},
          {"sampling", word(loader.sampling, std::array{"random", "uniform", "centre"})},
          {"residual-view", loader.residual_view},
          {"size", a.size},
          {"resize-height", a.resize_height},
          {"resize-width", a.resize_width},
          {"flip", a.flip},
          {"jitter", a.jitter},
          {"brightness", a.brightness},
          {"contrast", a.contrast},
          {"saturation", a.saturation},
          {"hue", a.hue},
          {"grayscale", a.grayscale},
          {"blur", a.blur},
          {"channel-shuffle", a.channel_shuffle}};
}

Json bilevel_settings(const TrainConfig& c) {
  Json json{{"order", c.maml.second_order ? 2 : 1},
            {"inner-steps", c.maml.inner_steps},
            {"inner-lr", c.curvature.sets_inner_lr ? Json("auto") : Json(c.maml.inner_lr)},
            {"inner-lr-factors", Json::object()},
            {"learn-inner-lr", c.inner_rates.learned},
            {"inner-params", word(c.inner_parameters, std::array{"all", "heads", "heads+layer4"})},
            {"objective", c.maml.objective == OuterObjective::query ? "query" : "support+query"}};
  for (const auto& [group, factor] : c.inner_rates.factors) json["inner-lr-factors"][group] = factor;
  if (c.maml.second_order) json["first-order-for"] = c.first_order_iterations;
  if (c.inner_rates.learned) json["inner-lr-lr"] = c.inner_rates.lr;
  if (c.maml.objective == OuterObjective::support_and_query) json["beta"] = c.maml.beta;
  if (c.curvature.sets_inner_lr || c.inner_rates.learned) {
    json["curvature-every"] = c.curvature.every;
    if (c.curvature.every > 0) json["curvature-products"] = c.curvature.products;
  }
  return json;
}

Json optimizer_settings(const TrainConfig& c) {
  const OptimizerConfig& o = c.optimizer;
  Json json{{"optimizer", word(o.kind, std::array{"sgd", "adamw"})},
            {"lr", o.lr},
            {"momentum", o.momentum},
            {"weight-decay", o.weight_decay},
            {"clip-grad", c.clip_grad},
            {"schedule", word(o.schedule, std::array{"constant", "cosine", "multistep"})},
            {"warmup", o.warmup}};
  if (o.kind == OptimizerKind::adamw) json["beta2"] = o.beta2;
  if (o.schedule == ScheduleKind::multistep) {
    json["milestones"] = o.milestones;
    json["gamma"] = o.gamma;
  }
  // The rate falls over all of them.
  if (o.schedule == ScheduleKind::cosine) json["iterations"] = c.iterations;
  return json;
}

Json bank_settings(const FeatureBankConfig& bank) {
  Json json{{"bank", word(bank.kind, std::array{"none", "memory", "queue"})}};
  if (bank.kind != BankKind::none) json["bank-size"] = bank.size;
  if (bank.kind == BankKind::memory) json["bank-momentum"] = bank.momentum;
  return json;
}

}  // namespace

nlohmann::json training_settings(const TrainConfig& c, const ClipSource& clips) {
  Json json{{"data", clips.identity.empty() ? fmt::format("{} videos", clips.videos) : clips.identity},
            {"labels", clips.labels},
            {"dtype", name_of(c.dtype)},
            {"method", word(c.method, std::array{"contrastive", "joint", "mcn"})},
            {"temperature", c.objective.temperature}};
  if (c.method != Method::contrastive) json["lambda"] = c.objective.lambda;
  for (const Json& part : {network_settings(c), clip_settings(c.loader), optimizer_settings(c), bank_settings(c.bank)})
    json.update(part);
  if (c.method == Method::mcn) json.update(bilevel_settings(c));
  return json;
}

const std::set<std::string>& changeable_settings() {
  static const std::set<std::string> names = [] {
    // Configurations that have every setting between them.
    TrainConfig c;
    c.inner_rates.learned = true;
    c.maml.objective = OuterObjective::support_and_query;
    c.curvature.every = 1;
    c.optimizer.kind = OptimizerKind::adamw;
    std::set<std::string> all;
    for (const ScheduleKind schedule : {ScheduleKind::cosine, ScheduleKind::multistep}) {
      c.optimizer.schedule = schedule;
      const Json settings = training_settings(c, {});
      for (const auto& [name, value] : settings.items())
        if (!fixed_settings().contains(name)) all.insert(name);
    }
    return all;
  }();
  return names;
}

std::vector<SettingChange> changed_settings(nlohmann::json then, nlohmann::json now, std::int64_t iteration) {
  // What is over changes nothing. Of a cosine the warm-up's length sets the start.
  if (then.value("schedule", "") != "cosine" && now.value("schedule", "") != "cosine" &&
      both_at_most(then, now, "warmup", iteration))
    then.erase("warmup");
  if (both_at_most(then, now, "first-order-for", iteration)) then.erase("first-order-for");
  std::vector<SettingChange> changes;
  for (const auto& [key, value] : now.items()) {
    const auto before = then.find(key);
    if (before == then.end() || *before == value) continue;
    changes.push_back({key, fmt::format("{} {} -> {}{}", key, text_of(*before), text_of(value), note_on(key, now))});
  }
  return changes;
}

void check_settings(const nlohmann::json& settings, const std::string& path) {
  for (const char* name : {"data", "method", "optimizer", "bank", "schedule"})
    if (!settings.contains(name) || !settings.at(name).is_string())
      fail<DataError>("checkpoint", "{}: its settings have no \"{}\"", path, name);
  const auto flat = [](const Json& value) {
    return value.is_primitive() || std::ranges::all_of(value, [](const Json& inner) { return inner.is_primitive(); });
  };
  for (const auto& [name, value] : settings.items())
    if (!flat(value)) fail<DataError>("checkpoint", "{}: its setting \"{}\" is nested", path, name);
}

}  // namespace mcn
