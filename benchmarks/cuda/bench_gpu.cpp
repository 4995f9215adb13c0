// Own CUDA kernels beside cuDNN's and cuBLAS's over the shared shape table, on the first GPU: a table on standard
// output, JSON by --json. Exit status: 0; 1 a kernel differs from its peer; 2 usage; 4 no usable GPU.
//   build-cuda/bench_gpu --filter 'fprop/r2plus1d_18/layer1' --json out.json
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "benchmarks/cuda/comparison.h"
#include "kernels/error.h"

namespace mcn::bench {
namespace {

using Json = nlohmann::ordered_json;

Json number_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json to_json(const Gpu& g) {
  return {{"name", g.name},
          {"compute_capability", fmt::format("{}.{}", g.major, g.minor)},
          {"multiprocessors", g.multiprocessors},
          {"most_clock_mhz", g.clock_mhz},
          {"most_memory_clock_mhz", g.memory_clock_mhz},
          {"l2_bytes", g.l2_bytes},
          {"driver", g.driver},
          {"runtime", g.runtime},
          {"cudnn", g.cudnn},
          {"cublas", g.cublas}};
}

Json to_json(const Row& r) {
  return {{"family", r.family},
          {"case", r.name},
          {"number", r.number},
          {"flops", r.flops},
          {"bytes", r.bytes},
          {"own_ms", number_or_null(r.own_ms)},
          {"peer", r.peer},
          {"peer_ms", number_or_null(r.peer_ms)},
          {"peer_over_own", number_or_null(r.peer_ms / r.own_ms)},
          {"error", number_or_null(r.error)},
          {"tolerance", r.tolerance},
          {"ok", r.ok},
          {"note", r.note}};
}

void print(const Row& r) {
  const double rate = (r.flops > 0 ? r.flops : r.bytes) / (r.own_ms * 1e-3) * 1e-9;
  fmt::print("{:<19} {:<36} {:<5}", r.family, r.name, r.number);
  if (!r.ok) {
    fmt::print(" DIFFERS by {:.1e} (allowed {:.1e}) {}\n", r.error, r.tolerance, r.note);
    return;
  }
  fmt::print(" {:9.4f} ms {:8.0f} {:<7}", r.own_ms, rate, r.flops > 0 ? "GFLOP/s" : "GB/s");
  if (!r.peer.empty()) fmt::print(" {:<6} {:9.4f} ms  {:5.2f}x", r.peer, r.peer_ms, r.peer_ms / r.own_ms);
  fmt::print("  {}\n", r.note);
  std::fflush(stdout);
}

int run(const Settings& settings, const std::string& json) {
  const Gpu gpu = describe_gpu();
  fmt::print("{}, {} multiprocessors, clocks up to {} and {} MHz; cuDNN {}, cuBLAS {}\n", gpu.name, gpu.multiprocessors,
             gpu.clock_mhz, gpu.memory_clock_mhz, gpu.cudnn.empty() ? "none" : gpu.cudnn, gpu.cublas);
  fmt::print("median of {} runs with a cold L2; the last column is the peer's time over ours\n\n", settings.runs);
  Json rows = Json::array();
  int differ = 0;
  compare_all(settings, [&](const Row& row) {
    print(row);
    rows.push_back(to_json(row));
    if (!row.ok) ++differ;
  });
  if (!json.empty()) {
    std::ofstream file(json);
    file << Json{{"gpu", to_json(gpu)}, {"runs", settings.runs}, {"rows", rows}}.dump(1) << "\n";
    file.close();
    if (!file) fail<DataError>("json", "cannot write {}", json);
  }
  fmt::print("\n{} rows, {} differ from their peers\n", rows.size(), differ);
  return differ == 0 ? 0 : 1;
}

}  // namespace
}  // namespace mcn::bench

int main(int argc, char** argv) {
  CLI::App app{"Own CUDA kernels beside cuDNN's and cuBLAS's, verified and then timed"};
  mcn::bench::Settings settings;
  std::string json;
  app.add_option("--runs", settings.runs, "timed runs of a kernel, of which the median counts")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  app.add_option("--filter", settings.filter, "only rows whose family/case/number contains this text");
  app.add_option("--json", json, "write all figures to this file");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  try {
    return mcn::bench::run(settings, json);
  } catch (const mcn::DeviceError& e) {
    fmt::print(stderr, "bench_gpu: {}\n", e.what());
    return 4;
  } catch (const std::exception& e) {
    fmt::print(stderr, "bench_gpu: {}\n", e.what());
    return 3;
  }
}
