// Blocks by the backend's matrix product; what is kept of each block, by threads over queries.
#include "meta/evaluate/neighbors.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "engine/tensor.h"
#include "kernels/error.h"
#include "kernels/parallel.h"

namespace mcn {
namespace {

struct Candidate {
  float cosine = 0;
  std::int64_t row = 0;
};

bool nearer(const Candidate& a, const Candidate& b) {
  return a.cosine != b.cosine ? a.cosine > b.cosine : a.row < b.row;
}

/// A part of the product: cosines of queries [query, query + queries) with gallery rows [row, row + rows).
struct Block {
  std::int64_t query, queries, row, rows;
  const float* cosines;
  std::int64_t stride;

  [[nodiscard]] const float* of(std::int64_t i) const { return cosines + i * stride; }
};

// Unit rows [begin, end), and behind them whatever fills the tensor.
void upload_unit_rows(const Embedding& e, std::int64_t begin, std::int64_t end, std::vector<float>& staging,
                      Tensor& out) {
  const std::int64_t features = e.features;
  run_parallel(end - begin, [&](std::int64_t i, std::int64_t) {
    const float* in = e.row(begin + i);
    double squares = 0;
    for (std::int64_t f = 0; f < features; ++f) squares += static_cast<double>(in[f]) * in[f];
    const auto scale = static_cast<float>(1 / std::sqrt(std::max(squares, 1e-24)));
    for (std::int64_t f = 0; f < features; ++f) staging[static_cast<std::size_t>(i * features + f)] = in[f] * scale;
  });
  out.backend().copy_from_host(staging.data(), out);
}

void check(const Embedding& gallery, const Embedding& queries, const Search& search) {
  if (gallery.labels.empty() || queries.labels.empty())
    fail("neighbors", "expected videos in the gallery and among the queries, got {} and {}", gallery.rows(),
         queries.rows());
  if (gallery.features != queries.features)
    fail("neighbors", "gallery has {} features, queries {}", gallery.features, queries.features);
  if (search.gallery_block < 1 || search.query_block < 1)
    fail("neighbors", "blocks must be positive, got {} and {}", search.gallery_block, search.query_block);
  for (const Embedding* e : {&gallery, &queries})
    for (std::int64_t i = 0; i < e->rows(); ++i)
      if (!std::all_of(e->row(i), e->row(i) + e->features, [](float x) { return std::isfinite(x); }))
        fail<NonFiniteError>("neighbors", "the features of video {} of {} are not finite", i, e->rows());
}

// Calls visit(block) for every block, those of one query by rising gallery rows.
template <class Visit>
void for_each_block(const Embedding& gallery, const Embedding& queries, const Search& search, const Visit& visit) {
  Backend& backend = search.backend;
  const std::int64_t g = std::min(search.gallery_block, gallery.rows());
  const std::int64_t q = std::min(search.query_block, queries.rows());
  // All products have one shape, also that of the last rows, so that a backend forms every element in one way.
  Tensor rows(backend, DType::f32, {g, gallery.features});
  Tensor product(backend, DType::f32, {q, g});
  std::vector<float> staging(static_cast<std::size_t>(std::max(g, q) * gallery.features));
  std::vector<float> cosines(static_cast<std::size_t>(q * g));
  Tensors query_blocks;
  for (std::int64_t i = 0; i < queries.rows(); i += q) {
    query_blocks.emplace_back(backend, DType::f32, Shape{q, queries.features});
    upload_unit_rows(queries, i, std::min(i + q, queries.rows()), staging, query_blocks.back());
  }
  for (std::int64_t row = 0; row < gallery.rows(); row += g) {
    const std::int64_t count = std::min(g, gallery.rows() - row);
    upload_unit_rows(gallery, row, row + count, staging, rows);
    for (std::size_t b = 0; b < query_blocks.size(); ++b) {
      if (search.between_blocks) search.between_blocks();
      backend.run(kernel::Gemm{.transpose_b = Transpose::yes, .a = query_blocks[b], .b = rows, .c = product});
      backend.copy_to_host(product, cosines.data());
      const auto query = static_cast<std::int64_t>(b) * q;
      visit(Block{query, std::min(q, queries.rows() - query), row, count, cosines.data(), g});
    }
  }
}

}  // namespace

Neighbors nearest(const Embedding& gallery, const Embedding& queries, std::int64_t k, const Search& search) {
  check(gallery, queries, search);
  if (k < 1) fail("neighbors", "k must be positive, got {}", k);
  const auto most = static_cast<std::size_t>(std::min(k, gallery.rows()));
  // Heaps with the farthest on top.
  std::vector<std::vector<Candidate>> heaps(queries.labels.size());
  for (auto& heap : heaps) heap.reserve(most);
  for_each_block(gallery, queries, search, [&](const Block& block) {
    run_parallel(block.queries, [&](std::int64_t i, std::int64_t) {
      std::vector<Candidate>& heap = heaps[static_cast<std::size_t>(block.query + i)];
      const float* cosines = block.of(i);
      for (std::int64_t j = 0; j < block.rows; ++j) {
        // Rows rise: what is as near as the farthest stays behind it.
        if (heap.size() == most) {
          if (!(cosines[j] > heap.front().cosine)) continue;
          std::pop_heap(heap.begin(), heap.end(), nearer);
          heap.pop_back();
        }
        heap.push_back({cosines[j], block.row + j});
        std::push_heap(heap.begin(), heap.end(), nearer);
      }
    });
  });
  Neighbors result{static_cast<std::int64_t>(most), {}, {}};
  for (auto& heap : heaps) {
    std::sort_heap(heap.begin(), heap.end(), nearer);
    for (const Candidate& c : heap) {
      result.rows.push_back(c.row);
      result.cosines.push_back(c.cosine);
    }
  }
  return result;
}

std::vector<double> average_precisions(const Embedding& gallery, const Embedding& queries, const Search& search) {
  check(gallery, queries, search);
  std::unordered_map<std::int64_t, std::vector<std::int64_t>> rows_of;
  for (std::int64_t row = 0; row < gallery.rows(); ++row)
    rows_of[gallery.labels[static_cast<std::size_t>(row)]].push_back(row);
  // Of each query: the rows of its class, and how many others lie before each of them, after the one before it.
  struct Relevant {
    std::vector<Candidate> rows;
    std::vector<std::int64_t> others;
  };
  std::vector<Relevant> relevant(queries.labels.size());
  const auto of = [&](std::int64_t query) -> Relevant& { return relevant[static_cast<std::size_t>(query)]; };
  for (std::int64_t query = 0; query < queries.rows(); ++query)
    for (const std::int64_t row : rows_of[queries.labels[static_cast<std::size_t>(query)]])
      of(query).rows.push_back({0, row});

  for_each_block(gallery, queries, search, [&](const Block& block) {
    run_parallel(block.queries, [&](std::int64_t i, std::int64_t) {
      std::vector<Candidate>& rows = of(block.query + i).rows;
      const auto first = std::ranges::lower_bound(rows, block.row, {}, &Candidate::row);
      for (auto c = first; c != rows.end() && c->row < block.row + block.rows; ++c)
        c->cosine = block.of(i)[c->row - block.row];
    });
  });
  for (Relevant& r : relevant) {
    std::sort(r.rows.begin(), r.rows.end(), nearer);
    r.others.assign(r.rows.size(), 0);
  }
  for_each_block(gallery, queries, search, [&](const Block& block) {
    run_parallel(block.queries, [&](std::int64_t i, std::int64_t) {
      Relevant& r = of(block.query + i);
      if (r.rows.empty()) return;
      const std::int64_t label = queries.labels[static_cast<std::size_t>(block.query + i)];
      for (std::int64_t j = 0; j < block.rows; ++j) {
        const Candidate other{block.of(i)[j], block.row + j};
        if (!nearer(other, r.rows.back()) || gallery.labels[static_cast<std::size_t>(other.row)] == label) continue;
        ++r.others[static_cast<std::size_t>(std::ranges::lower_bound(r.rows, other, nearer) - r.rows.begin())];
      }
    });
  });

  std::vector<double> result;
  for (const Relevant& r : relevant) {
    double sum = 0;
    std::int64_t others = 0;
    for (std::size_t i = 0; i < r.rows.size(); ++i) {
      others += r.others[i];
      sum += static_cast<double>(i + 1) / static_cast<double>(static_cast<std::int64_t>(i + 1) + others);
    }
    result.push_back(r.rows.empty() ? 0 : sum / static_cast<double>(r.rows.size()));
  }
  return result;
}

}  // namespace mcn
