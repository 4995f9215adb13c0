// Factors of alpha1 and their logarithms.
#include "meta/train/inner_rates.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "meta/train/diagnostics.h"

namespace mcn {

InnerRates::InnerRates(InnerRateConfig config, const ParameterSpecs& specs, const std::vector<bool>& inner, int steps)
    : config_(std::move(config)) {
  if (!(config_.lr >= 0 && std::isfinite(config_.lr)))
    fail("train", "expected a learning rate of the inner rates of at least 0, got {}", config_.lr);
  if (!config_.learned && config_.factors.empty()) return;
  for (std::size_t i = 0; i < specs.size(); ++i) {
    // Of a parameter that does not move the group is never asked for.
    if (!inner.empty() && !inner[i]) {
      group_.push_back(0);
      continue;
    }
    const auto found = std::ranges::find(groups_, parameter_group(specs[i].name));
    group_.push_back(static_cast<std::size_t>(found - groups_.begin()));
    if (found == groups_.end()) groups_.push_back(parameter_group(specs[i].name));
  }
  std::vector<double> logs(groups_.size(), 0.0);
  std::vector<bool> set(groups_.size(), false);
  for (const auto& [group, factor] : config_.factors) {
    const auto found = std::ranges::find(groups_, group);
    if (found == groups_.end())
      fail("train", "expected a factor of alpha1 for a group of layers that the inner steps move ({}), got \"{}\"",
           fmt::join(groups_, ", "), group);
    const auto l = static_cast<std::size_t>(found - groups_.begin());
    if (set[l]) fail("train", "expected one factor of alpha1 for {}, got two", group);
    if (!(factor > 0 && std::isfinite(factor)))
      fail("train", "expected a factor of alpha1 above 0 for {}, got {}", group, factor);
    set[l] = true;
    logs[l] = std::log(factor);
  }
  logs_.assign(static_cast<std::size_t>(steps), logs);
}

InnerFactors InnerRates::factors() const {
  InnerFactors result{group_, {}, config_.learned};
  for (const std::vector<double>& row : logs_) {
    result.factors.emplace_back();
    for (const double log : row) result.factors.back().push_back(std::exp(log));
  }
  return result;
}

std::vector<InnerRate> InnerRates::rates(double inner_lr) const {
  std::vector<InnerRate> result;
  for (std::size_t k = 0; k < logs_.size(); ++k)
    for (std::size_t l = 0; l < groups_.size(); ++l)
      result.push_back(
          {logs_.size() > 1 ? fmt::format("{}.{}", groups_[l], k) : groups_[l], inner_lr * std::exp(logs_[k][l])});
  return result;
}

void InnerRates::clamp(double inner_lr) {
  for (std::vector<double>& row : logs_)
    for (double& log : row) log = std::min(log, std::log(most_ / inner_lr));
}

void InnerRates::limit(double eigenvalue, double inner_lr) {
  if (!config_.learned) return;
  most_ = 1 / std::abs(eigenvalue);
  clamp(inner_lr);
}

void InnerRates::expect_finite(const std::vector<std::vector<double>>& derivatives) const {
  for (std::size_t k = 0; k < derivatives.size(); ++k)
    for (std::size_t l = 0; l < derivatives[k].size(); ++l)
      if (!std::isfinite(derivatives[k][l]))
        fail<NonFiniteError>("gradient", "the derivative by alpha1 of {} in inner step {} is {}", groups_[l], k,
                             derivatives[k][l]);
}

void InnerRates::learn(const std::vector<std::vector<double>>& derivatives, double inner_lr, double lr) {
  const double longest = std::log(1.1);
  for (std::size_t k = 0; k < derivatives.size(); ++k)
    for (std::size_t l = 0; l < derivatives[k].size(); ++l) {
      double& log = logs_[k][l];
      log -= std::clamp(lr * inner_lr * std::exp(log) * derivatives[k][l], -longest, longest);
    }
  clamp(inner_lr);
}

nlohmann::json InnerRates::to_json() const {
  nlohmann::json json{{"logarithms", nlohmann::json::object()}};
  for (std::size_t l = 0; l < groups_.size(); ++l)
    for (const std::vector<double>& row : logs_) json["logarithms"][groups_[l]].push_back(row[l]);
  if (std::isfinite(most_)) json["most"] = most_;
  return json;
}

void InnerRates::restore(const nlohmann::json& json) {
  // exp() of more leaves the range of a double.
  constexpr double longest = 750;
  std::vector<std::vector<double>> logs = logs_;
  double most = most_;
  try {
    for (std::size_t l = 0; l < groups_.size(); ++l) {
      const auto found = json.at("logarithms").find(groups_[l]);
      if (found == json.at("logarithms").end()) continue;
      const auto values = found->get<std::vector<double>>();
      for (std::size_t k = 0; k < std::min(values.size(), logs.size()); ++k) logs[k][l] = values[k];
      if (!std::ranges::all_of(values, [](double log) { return std::abs(log) <= longest; }))
        fail<DataError>("inner rates", "checkpoint has a logarithm of {} beyond {}", groups_[l], longest);
    }
    if (json.contains("most")) most = json.at("most").get<double>();
  } catch (const nlohmann::json::exception&) {
    fail<DataError>("inner rates", "checkpoint has no usable logarithms");
  }
  if (!(most > 0)) fail<DataError>("inner rates", "checkpoint has {} as the highest rate", most);
  logs_ = std::move(logs);
  most_ = most;
}

}  // namespace mcn
