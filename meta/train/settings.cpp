// A table of settings, and their comparison.
#include "meta/train/settings.h"

#include <array>

namespace mcn {
namespace {

template <class Enum, std::size_t N>
const char* word(Enum value, const std::array<const char*, N>& words) {
  return words.at(static_cast<std::size_t>(value));
}

std::string note_on(const std::string& key) {
  if (key == "optimizer") return " (its moments start at zero)";
  if (key == "bank" || key == "bank-size") return " (its features start anew)";
  return "";
}

std::string text_of(const nlohmann::json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

}  // namespace

nlohmann::json training_settings(const TrainConfig& c, std::int64_t videos) {
  nlohmann::json json{{"videos", videos},
                      {"method", word(c.method, std::array{"contrastive", "joint", "mcn"})},
                      {"batch", c.loader.batch},
                      {"temperature", c.objective.temperature}};
  if (c.method != Method::contrastive) json["lambda"] = c.objective.lambda;
  if (c.method == Method::mcn) {
    json["order"] = c.maml.second_order ? 2 : 1;
    json["inner-steps"] = c.maml.inner_steps;
    json["inner-lr"] = c.curvature.sets_inner_lr ? nlohmann::json("auto") : nlohmann::json(c.maml.inner_lr);
    nlohmann::json& factors = json["inner-lr-factors"] = nlohmann::json::object();
    for (const auto& [group, factor] : c.inner_rates.factors) factors[group] = factor;
    json["learn-inner-lr"] = c.inner_rates.learned;
    json["inner-params"] = word(c.inner_parameters, std::array{"all", "heads", "heads+layer4"});
    json["objective"] = c.maml.objective == OuterObjective::query ? "query" : "support+query";
  }
  json["bank"] = word(c.bank.kind, std::array{"none", "memory", "queue"});
  if (c.bank.kind == BankKind::queue) json["bank-size"] = c.bank.size;
  json["optimizer"] = word(c.optimizer.kind, std::array{"sgd", "adamw"});
  json["lr"] = c.optimizer.lr;
  json["weight-decay"] = c.optimizer.weight_decay;
  json["schedule"] = word(c.optimizer.schedule, std::array{"constant", "cosine", "multistep"});
  // The rate falls over all of them.
  if (c.optimizer.schedule == ScheduleKind::cosine) json["iterations"] = c.iterations;
  return json;
}

std::string changed_settings(const nlohmann::json& then, const nlohmann::json& now) {
  std::string text;
  for (const auto& [key, value] : now.items()) {
    const auto before = then.find(key);
    if (before == then.end() || *before == value) continue;
    text +=
        fmt::format("{}{} {} -> {}{}", text.empty() ? "" : ", ", key, text_of(*before), text_of(value), note_on(key));
  }
  return text;
}

}  // namespace mcn
