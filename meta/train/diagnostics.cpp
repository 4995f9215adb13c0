// Accuracies from features and logits; norms by group.
#include "meta/train/diagnostics.h"

#include <cmath>
#include <limits>

namespace mcn {

Accuracies accuracies(const ObjectiveParts& parts) {
  const std::vector<double> z = parts.z.to_doubles();
  const auto rows = static_cast<std::size_t>(parts.z.shape()[0]);
  const auto features = static_cast<std::size_t>(parts.z.shape()[1]);
  const std::size_t n = rows / 2;
  const auto similarity = [&](std::size_t a, std::size_t b) {
    double sum = 0;
    for (std::size_t c = 0; c < features; ++c) sum += z[a * features + c] * z[n * features + b * features + c];
    return sum;
  };
  std::vector<double> all(n * n);
  for (std::size_t a = 0; a < n; ++a)
    for (std::size_t b = 0; b < n; ++b) all[a * n + b] = similarity(a, b);
  std::size_t hits = 0;
  for (std::size_t i = 0; i < n; ++i) {
    bool a_hits = true, b_hits = true;
    for (std::size_t j = 0; j < n; ++j) {
      if (j == i) continue;
      a_hits = a_hits && all[i * n + i] > all[i * n + j];
      b_hits = b_hits && all[i * n + i] > all[j * n + i];
    }
    hits += static_cast<std::size_t>(a_hits) + static_cast<std::size_t>(b_hits);
  }
  Accuracies result;
  result.top1 = static_cast<double>(hits) / static_cast<double>(2 * n);
  result.top1_chance = 1.0 / static_cast<double>(n);
  if (!parts.logits) return result;
  const std::vector<double> logits = parts.logits.to_doubles();
  std::size_t same = 0, different = 0;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) {
      const double logit = logits[i * n + j];
      if (i == j)
        same += static_cast<std::size_t>(logit > 0);
      else
        different += static_cast<std::size_t>(logit < 0);
    }
  result.pairs = 0.5 * (static_cast<double>(same) / static_cast<double>(n) +
                        static_cast<double>(different) / static_cast<double>(n * (n - 1)));
  return result;
}

double embedding_std(const Tensor& z) {
  const std::vector<double> values = z.to_doubles();
  const auto rows = static_cast<std::size_t>(z.shape()[0]), features = static_cast<std::size_t>(z.shape()[1]);
  double sum = 0;
  for (std::size_t f = 0; f < features; ++f) {
    double mean = 0, variance = 0;
    for (std::size_t i = 0; i < rows; ++i) mean += values[i * features + f] / static_cast<double>(rows);
    for (std::size_t i = 0; i < rows; ++i) {
      const double difference = values[i * features + f] - mean;
      variance += difference * difference / static_cast<double>(rows);
    }
    sum += std::sqrt(variance);
  }
  return sum / static_cast<double>(features);
}

std::string parameter_group(const std::string& name) {
  const std::size_t dot = name.find('.');
  const std::string first = name.substr(0, dot);
  if (first == "features") return name.substr(0, name.find('.', dot + 1));
  return first == "stem" || first.starts_with("layer") ? first : "heads";
}

std::vector<GroupUpdate> update_ratios(const ParameterSpecs& specs, Tensors before, const Tensors& after) {
  std::vector<GroupUpdate> groups;
  std::vector<std::vector<std::size_t>> members;
  for (std::size_t i = 0; i < specs.size(); ++i) {
    const std::string group = parameter_group(specs[i].name);
    std::size_t g = 0;
    while (g < groups.size() && groups[g].group != group) ++g;
    if (g == groups.size()) {
      groups.push_back({group, 0});
      members.emplace_back();
    }
    members[g].push_back(i);
  }
  const auto norms = [&] {
    std::vector<double> result;
    for (const std::vector<std::size_t>& group : members) {
      Tensors part;
      for (const std::size_t i : group) part.push_back(before[i]);
      result.push_back(std::sqrt(dot(part, part)));
    }
    return result;
  };
  const std::vector<double> weights = norms();
  axpy(-1, after, before);
  const std::vector<double> moved = norms();
  for (std::size_t g = 0; g < groups.size(); ++g)
    groups[g].ratio = weights[g] > 0  ? moved[g] / weights[g]
                      : moved[g] == 0 ? 0
                                      : std::numeric_limits<double>::infinity();
  return groups;
}

}  // namespace mcn
