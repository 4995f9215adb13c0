// Evaluation on the cpu backend: the search for nearest neighbors among features, and the linear probe. A small search
// is verified against a full sort before a large one is timed. A gallery of 1,000,000 videos takes 2 GiB, and is
// searched only with --full, as is a probe of the size of UCF101.
//   taskset -c 0,1 build/bench_evaluate --full --benchmark_filter=1000000
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "engine/device.h"
#include "engine/random.h"
#include "kernels/parallel.h"
#include "meta/evaluate/linear_probe.h"
#include "meta/evaluate/neighbors.h"

namespace mcn {
namespace {

constexpr std::int64_t features = 512, queries = 256, k = 50;

Embedding random_features(std::int64_t rows, std::uint64_t seed) {
  Embedding e{features, std::vector<float>(static_cast<std::size_t>(rows * features)),
              std::vector<std::int64_t>(static_cast<std::size_t>(rows), 0)};
  run_parallel(rows, [&](std::int64_t row, std::int64_t) {
    Philox random(seed, static_cast<std::uint64_t>(row));
    for (std::int64_t f = 0; f < features; ++f)
      e.values[static_cast<std::size_t>(row * features + f)] = static_cast<float>(random.uniform(-1, 1));
  });
  return e;
}

// In float64; two rows are told apart only where it can.
bool verified(std::string& what) {
  const Embedding gallery = random_features(3000, 3), few = random_features(5, 4);
  const Neighbors found = nearest(gallery, few, k, {open_device("cpu"), 512, 2});
  for (std::int64_t q = 0; q < few.rows(); ++q) {
    std::vector<double> cosines;
    for (std::int64_t row = 0; row < gallery.rows(); ++row) {
      double product = 0, squares = 0, query_squares = 0;
      for (std::int64_t f = 0; f < features; ++f) {
        const double a = few.row(q)[f], b = gallery.row(row)[f];
        product += a * b;
        squares += b * b;
        query_squares += a * a;
      }
      cosines.push_back(product / std::sqrt(squares * query_squares));
    }
    std::vector<double> sorted = cosines;
    std::ranges::sort(sorted, std::greater{});
    for (std::int64_t i = 0; i < k; ++i) {
      const auto place = static_cast<std::size_t>(q * k + i);
      const double of_row = cosines[static_cast<std::size_t>(found.rows[place])];
      if (!(std::abs(of_row - sorted[static_cast<std::size_t>(i)]) <= 1e-6) ||
          !(std::abs(of_row - found.cosines[place]) <= 1e-6))
        what = "query " + std::to_string(q) + " has another neighbor " + std::to_string(i);
    }
  }
  return what.empty();
}

void search(benchmark::State& state) {
  std::string what;
  if (!verified(what)) {
    state.SkipWithError(what.c_str());
    return;
  }
  Backend& backend = open_device("cpu");
  const Embedding gallery = random_features(state.range(0), 1), wanted = random_features(queries, 2);
  backend.reset_peak();
  for (auto _ : state) benchmark::DoNotOptimize(nearest(gallery, wanted, k, {backend}));
  const double pairs = static_cast<double>(gallery.rows()) * queries;
  const auto rate = benchmark::Counter::kIsIterationInvariantRate;
  state.counters["GFLOP/s"] = benchmark::Counter(2e-9 * pairs * features, rate);
  state.counters["queries/s"] = benchmark::Counter(queries, rate);
  // What the search keeps, beside the features.
  state.counters["MiB"] = static_cast<double>(backend.memory().peak) / (1 << 20);
}

// Features of classes that overlap: the class's own direction beside noise.
void probe(benchmark::State& state) {
  const std::int64_t rows = state.range(0), classes = state.range(1);
  Embedding train = random_features(rows, 1);
  const Embedding directions = random_features(classes, 2);
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t label = row % classes;
    train.labels[static_cast<std::size_t>(row)] = label;
    for (std::int64_t f = 0; f < features; ++f)
      train.values[static_cast<std::size_t>(row * features + f)] += 0.2F * directions.row(label)[f];
  }
  std::int64_t passes = 0;
  LinearProbeConfig config;
  config.between_passes = [&] { ++passes; };
  for (auto _ : state) benchmark::DoNotOptimize(LinearProbe(train, config, open_device("cpu")).loss());
  state.counters["products"] = benchmark::Counter(static_cast<double>(passes), benchmark::Counter::kAvgIterations);
}

}  // namespace
}  // namespace mcn

int main(int argc, char** argv) {
  std::vector<std::int64_t> rows{10000, 100000};
  char** const end =
      std::remove_if(argv, argv + argc, [](const char* text) { return std::strcmp(text, "--full") == 0; });
  const bool full = end != argv + argc;
  if (full) rows.push_back(1000000);
  argc = static_cast<int>(end - argv);
  for (const std::int64_t n : rows)
    benchmark::RegisterBenchmark("nearest", mcn::search)->Arg(n)->Unit(benchmark::kMillisecond)->UseRealTime();
  const auto probe = benchmark::RegisterBenchmark("linear_probe", mcn::probe)->ArgNames({"videos", "classes"});
  probe->Args({1000, 10})->Unit(benchmark::kMillisecond)->UseRealTime();
  if (full) probe->Args({9537, 101});
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
