// Evaluation of features by the field's protocols: retrieval, weighted k-NN and the linear probe.
#pragma once

#include <array>

#include "meta/evaluate/measure.h"
#include "meta/evaluate/neighbors.h"

namespace mcn {

/// R@k is measured for these k.
inline constexpr std::array recall_ks{1, 5, 10, 20, 50};

struct ProtocolConfig {
  int neighbors = 20;         ///< of k-NN
  double temperature = 0.07;  ///< of its weights
};

/// A measure for each protocol. A test video of a class that no training video has is a miss everywhere.
///   recall     Retrieval (IIC): each test video looks for the nearest training videos by the cosine of their features;
///              1 if any of the k nearest has its class.
///   precision  Average precision of the same ranking, over all training videos; the mean is mAP.
///   knn        Weighted k-NN (Wu et al., "Unsupervised feature learning via non-parametric instance discrimination",
///              CVPR 2018): each of the k nearest votes for its class with weight exp(cosine / temperature).
///   linear     LinearProbe on the training videos.
/// Chance is what a ranking at random, or the class of a training video drawn at random, gives.
struct Protocols {
  std::array<Measure, recall_ks.size()> recall;
  Measure precision, knn, linear;
};

/// UsageError, or NonFiniteError, as nearest() and LinearProbe.
Protocols run_protocols(const Embedding& train, const Embedding& test, const ProtocolConfig& config,
                        const Search& search);

/// 1 for each query of whose first k neighbors any has its class, else 0.
std::vector<double> hits(const Neighbors& neighbors, const Embedding& gallery, const Embedding& queries, int k);
/// The class of each query by the weighted votes of its first k neighbors; the smaller label where two have as many.
std::vector<std::int64_t> votes(const Neighbors& neighbors, const Embedding& gallery, int k, double temperature);

/// Chance that any of k different rows out of n, drawn at random, is one of r; and the expected average precision of
/// the r in an order at random.
double chance_of_hit(std::int64_t n, std::int64_t r, std::int64_t k);
double chance_of_precision(std::int64_t n, std::int64_t r);

}  // namespace mcn
