// Scores of test videos from their neighbors and from the probe, and what chance gives.
#include "meta/evaluate/protocols.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "kernels/error.h"
#include "meta/evaluate/linear_probe.h"

namespace mcn {
namespace {

std::vector<double> right(const std::vector<std::int64_t>& answers, const Embedding& queries) {
  std::vector<double> scores;
  for (std::size_t i = 0; i < answers.size(); ++i) scores.push_back(answers[i] == queries.labels[i] ? 1 : 0);
  return scores;
}

}  // namespace

std::vector<double> hits(const Neighbors& neighbors, const Embedding& gallery, const Embedding& queries, int k) {
  std::vector<double> scores;
  auto row = neighbors.rows.begin();
  for (const std::int64_t label : queries.labels) {
    const auto end = row + std::min<std::int64_t>(k, neighbors.k);
    scores.push_back(
        std::any_of(row, end, [&](std::int64_t r) { return gallery.labels[static_cast<std::size_t>(r)] == label; }));
    row += neighbors.k;
  }
  return scores;
}

std::vector<std::int64_t> votes(const Neighbors& neighbors, const Embedding& gallery, int k, double temperature) {
  if (k < 1 || !(temperature > 0)) fail("k-NN", "k and temperature must be positive, got {} and {}", k, temperature);
  std::vector<std::int64_t> answers;
  const auto used = static_cast<std::size_t>(std::min<std::int64_t>(k, neighbors.k));
  for (std::size_t first = 0; first < neighbors.rows.size(); first += static_cast<std::size_t>(neighbors.k)) {
    std::map<std::int64_t, double> weight_of;
    // Against the nearest one's, which no temperature makes overflow.
    const double nearest = neighbors.cosines[first];
    for (std::size_t i = first; i < first + used; ++i)
      weight_of[gallery.labels[static_cast<std::size_t>(neighbors.rows[i])]] +=
          std::exp((neighbors.cosines[i] - nearest) / temperature);
    const auto most = std::max_element(weight_of.begin(), weight_of.end(),
                                       [](const auto& a, const auto& b) { return a.second < b.second; });
    answers.push_back(most->first);
  }
  return answers;
}

double chance_of_hit(std::int64_t n, std::int64_t r, std::int64_t k) {
  double none = 1;
  for (std::int64_t i = 0; i < std::min(k, n) && none > 0; ++i)
    none *= std::max(0.0, static_cast<double>(n - r - i) / static_cast<double>(n - i));
  return 1 - none;
}

// With E[rel_i] = r / n and E[rel_i rel_j] = r (r - 1) / (n (n - 1)).
double chance_of_precision(std::int64_t n, std::int64_t r) {
  if (r == 0) return 0;
  double harmonic = 0;
  for (std::int64_t i = 1; i <= n; ++i) harmonic += 1 / static_cast<double>(i);
  const auto count = static_cast<double>(n);
  const double pairs = n > 1 ? static_cast<double>(r - 1) / (count - 1) : 0;
  return (harmonic + pairs * (count - harmonic)) / count;
}

Protocols run_protocols(const Embedding& train, const Embedding& test, const ProtocolConfig& config,
                        const Search& search) {
  Protocols result;
  const Neighbors neighbors = nearest(train, test, std::max(recall_ks.back(), config.neighbors), search);
  for (std::size_t i = 0; i < recall_ks.size(); ++i)
    result.recall[i].scores = hits(neighbors, train, test, recall_ks[i]);
  result.knn.scores = right(votes(neighbors, train, config.neighbors, config.temperature), test);
  result.precision.scores = average_precisions(train, test, search);
  LinearProbeConfig probe;
  probe.between_passes = search.between_blocks;
  result.linear.scores = right(LinearProbe(train, probe, search.backend).predict(test), test);

  const std::int64_t n = train.rows();
  std::map<std::int64_t, std::int64_t> count_of;
  for (const std::int64_t label : train.labels) ++count_of[label];
  std::map<std::int64_t, double> precision_of;
  for (const std::int64_t label : test.labels)
    if (!precision_of.contains(label)) precision_of[label] = chance_of_precision(n, count_of[label]);
  for (const std::int64_t label : test.labels) {
    const std::int64_t r = count_of[label];
    for (std::size_t i = 0; i < recall_ks.size(); ++i)
      result.recall[i].chance.push_back(chance_of_hit(n, r, recall_ks[i]));
    result.precision.chance.push_back(precision_of[label]);
    for (Measure* measure : {&result.knn, &result.linear})
      measure->chance.push_back(static_cast<double>(r) / static_cast<double>(n));
  }
  return result;
}

}  // namespace mcn
