// Search among features by their cosine: blocks of the product of queries and gallery, never the whole of it.
#pragma once

#include <functional>

#include "kernels/backend.h"
#include "meta/evaluate/embedding.h"

namespace mcn {

/// How a search runs. Blocks change no bit of the result, nor do threads.
struct Search {
  Backend& backend;
  std::int64_t gallery_block = 4096, query_block = 256;
  /// Called between blocks; may throw to stop.
  std::function<void()> between_blocks = {};
};

/// The rows of the gallery that are nearest to each query: queries x k, the nearest first, of equally near ones the
/// smaller row first. A row of zeros has cosine 0 with everything.
struct Neighbors {
  std::int64_t k = 0;
  std::vector<std::int64_t> rows;
  std::vector<float> cosines;
};

/// k is cut to the gallery's size. UsageError if k is not positive, a set is empty, or the features differ in number;
/// NonFiniteError for a feature that is not finite.
Neighbors nearest(const Embedding& gallery, const Embedding& queries, std::int64_t k, const Search& search);

/// Average precision of each query over the whole gallery, ordered as above: the mean, over the rows of the query's
/// class, of the share of that class among all rows up to it. 0 where the gallery does not have the class. Errors as
/// above.
std::vector<double> average_precisions(const Embedding& gallery, const Embedding& queries, const Search& search);

}  // namespace mcn
