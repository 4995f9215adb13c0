// Own CUDA kernels beside cuDNN's and cuBLAS's over the shared shape table, on the first GPU: a table on standard
// output, JSON lines by --json, each as soon as it is known. Exit status: 0; 1 a kernel differs from its peer; 2 usage;
// 4 no usable GPU.
//   build-cuda/bench_gpu --filter 'fprop/r2plus1d_18/layer1' --json out.jsonl
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "benchmarks/cuda/ceilings.h"
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

int run(const Settings& settings, const std::string& json, bool ceilings) {
  const Gpu gpu = describe_gpu();
  const auto or_none = [](const std::string& version) { return version.empty() ? "none" : version; };
  fmt::print("{}, {} multiprocessors, clocks up to {} and {} MHz; cuDNN {}, cuBLAS {}\n", gpu.name, gpu.multiprocessors,
             gpu.clock_mhz, gpu.memory_clock_mhz, or_none(gpu.cudnn), or_none(gpu.cublas));
  fmt::print("median of {} runs with a cold L2; the last column is the peer's time over ours\n\n", settings.runs);
  std::ofstream file;
  const auto write = [&](const Json& line) {
    if (json.empty()) return;
    file << line.dump() << std::endl;  // a run may be cut short
    if (!file) fail<DataError>("json", "cannot write {}", json);
  };
  if (!json.empty()) file.open(json);
  Json first = to_json(gpu);
  first["runs"] = settings.runs;
  write({{"gpu", first}});
  int rows = 0, differ = 0;
  const auto done = [&](const Row& row) {
    print(row);
    write(to_json(row));
    ++rows;
    if (!row.ok) ++differ;
  };
  if (ceilings)
    measure_ceilings(settings, done);
  else
    compare_all(settings, done);
  fmt::print("\n{} rows, {} differ from what they should be\n", rows, differ);
  if (rows == 0) fail("filter", "no row's family/case/number contains \"{}\"", settings.filter);
  return differ == 0 ? 0 : 1;
}

}  // namespace
}  // namespace mcn::bench

int main(int argc, char** argv) {
  CLI::App app{"Own CUDA kernels beside cuDNN's and cuBLAS's, verified and then timed"};
  mcn::bench::Settings settings;
  std::string json;
  bool ceilings = false;
  app.add_option("--runs", settings.runs, "timed runs of a kernel, of which the median counts")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  app.add_option("--batch", settings.batch, "clips of the layers of R(2+1)D-18")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_flag("--ceilings", ceilings, "what the GPU reaches at most, instead: copy, multiply-adds, tensor cores");
  app.add_option("--filter", settings.filter, "only rows whose family/case/number contains this text");
  app.add_option("--json", json, "write all figures to this file, a JSON object a line");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  try {
    return mcn::bench::run(settings, json, ceilings);
  } catch (const mcn::DeviceError& e) {
    fmt::print(stderr, "bench_gpu: {}\n", e.what());
    return 4;
  } catch (const mcn::UsageError& e) {
    fmt::print(stderr, "bench_gpu: {}\n", e.what());
    return 2;
  } catch (const std::exception& e) {
    fmt::print(stderr, "bench_gpu: {}\n", e.what());
    return 3;
  }
}
