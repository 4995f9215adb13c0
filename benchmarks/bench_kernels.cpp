// The cpu backend's kernels over the layers of R(2+1)D-18 on 4 clips of 16 x 112 x 112, and of a small network on 48
// clips of 8 x 48 x 48. A kernel is verified against ref on a scaled-down shape before it is timed.
//   taskset -c 0,1 build/bench_kernels --benchmark_filter='fprop.*layer1'
#include <benchmark/benchmark.h>

#include <cmath>
#include <functional>
#include <memory>
#include <vector>

#include "benchmarks/shapes.h"
#include "kernels/backend.h"

namespace mcn {
namespace {

using shapes::ConvCase;
using shapes::NormCase;

Backend& cpu() {
  static const auto backend = make_cpu_backend();
  return *backend;
}
Backend& ref() {
  static const auto backend = make_ref_backend();
  return *backend;
}

/// Memory of a backend, filled with values in [-1, 1) that depend on the seed alone.
class Buffer {
 public:
  Buffer(Backend& backend, const Shape& shape, unsigned seed)
      : backend_(backend), bytes_(static_cast<std::size_t>(shape.numel()) * sizeof(float)) {
    view_ = {backend.allocate(bytes_), DType::f32, shape};
    std::vector<float> host(static_cast<std::size_t>(shape.numel()));
    std::uint32_t state = seed * 2654435761U + 1;
    for (float& v : host) {
      state = state * 1664525U + 1013904223U;
      v = static_cast<float>(state >> 8) / 8388608.0F - 1.0F;
    }
    backend.copy_from_host(host.data(), view_);
  }
  ~Buffer() { backend_.release(view_.data, bytes_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  operator View() const { return view_; }       // NOLINT(google-explicit-constructor)
  operator ConstView() const { return view_; }  // NOLINT(google-explicit-constructor)
  [[nodiscard]] std::vector<float> host() const {
    std::vector<float> values(static_cast<std::size_t>(view_.numel()));
    backend_.copy_to_host(view_, values.data());
    return values;
  }

 private:
  Backend& backend_;
  std::size_t bytes_;
  View view_;
};

using Buffers = std::vector<std::unique_ptr<Buffer>>;
using Kernel = std::function<void(Backend&, const Buffers&)>;

Buffers make_buffers(Backend& backend, const std::vector<Shape>& list) {
  Buffers buffers;
  for (const Shape& shape : list)
    buffers.push_back(std::make_unique<Buffer>(backend, shape, static_cast<unsigned>(buffers.size())));
  return buffers;
}

/// Largest difference over the largest magnitude, over every buffer that the kernel has touched or not.
double difference(const std::vector<Shape>& list, const Kernel& kernel) {
  const Buffers got = make_buffers(cpu(), list);
  const Buffers expected = make_buffers(ref(), list);
  kernel(cpu(), got);
  kernel(ref(), expected);
  double worst = 0;
  for (std::size_t b = 0; b < list.size(); ++b) {
    const std::vector<float> x = got[b]->host();
    const std::vector<float> y = expected[b]->host();
    float scale = 0;
    for (const float v : y) scale = std::max(scale, std::abs(v));
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double e = static_cast<double>(std::abs(x[i] - y[i])) / static_cast<double>(scale);
      if (!(e <= worst)) worst = e;
    }
  }
  return worst;
}

/// Verifies on the small shapes, then times on the large ones. bytes: what the kernel must at least read and write.
void verify_and_time(benchmark::State& state, const std::vector<Shape>& small, const std::vector<Shape>& large,
                     const Kernel& kernel, double flops, double bytes) {
  const double error = difference(small, kernel);
  if (!(error <= 1e-4)) {
    state.SkipWithError(("differs from ref by " + std::to_string(error)).c_str());
    return;
  }
  const Buffers buffers = make_buffers(cpu(), large);
  kernel(cpu(), buffers);
  for (auto _ : state) kernel(cpu(), buffers);
  if (flops > 0)
    state.counters["GFLOP/s"] = benchmark::Counter(flops * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["GB/s"] = benchmark::Counter(bytes * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

void add_conv(const std::string& network, const ConvCase& c) {
  // Buffers: x, w, y and where the result goes.
  const auto list = [](const ConvCase& k, const Shape& out) { return std::vector<Shape>{k.x, k.w, k.y(), out}; };
  const auto add = [&](const char* name, auto out_of, const Kernel& kernel) {
    const auto touched = static_cast<double>(c.x.numel() + c.w.numel() + c.y().numel()) * sizeof(float);
    benchmark::RegisterBenchmark((std::string(name) + "/" + network + "/" + c.name).c_str(),
                                 [=](benchmark::State& state) {
                                   const ConvCase small = shapes::scaled_down(c);
                                   verify_and_time(state, list(small, out_of(small)), list(c, out_of(c)), kernel,
                                                   c.flops(), touched);
                                 })
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  };
  const Conv3dParams p = c.params;
  add(
      "fprop", [](const ConvCase& k) { return k.y(); },
      [p](Backend& k, const Buffers& b) {
        k.run(kernel::Conv3dFprop{.params = p, .products = std::array{ConvProduct{*b[0], *b[1]}}, .y = *b[3]});
      });
  add(
      "dgrad", [](const ConvCase& k) { return k.x; },
      [p](Backend& k, const Buffers& b) {
        k.run(kernel::Conv3dDgrad{.params = p, .products = std::array{ConvProduct{*b[2], *b[1]}}, .x_bar = *b[3]});
      });
  add(
      "wgrad", [](const ConvCase& k) { return k.w; },
      [p](Backend& k, const Buffers& b) {
        k.run(kernel::Conv3dWgrad{.params = p, .products = std::array{ConvProduct{*b[0], *b[2]}}, .w_bar = *b[3]});
      });
}

void add_norm(const std::string& network, const NormCase& c) {
  enum {
    x,
    x_dot,
    y,
    y_bar,
    y_bar_dot,
    out,
    residual,
    residual_bar,
    gamma,
    beta,
    mean,
    rstd,
    mean_dot,
    rstd_dot,
    gamma_bar,
    beta_bar
  };
  const auto list = [](std::int64_t rows, std::int64_t channels) {
    std::vector<Shape> shapes_of(static_cast<std::size_t>(gamma), Shape{rows, channels});
    shapes_of.resize(static_cast<std::size_t>(beta_bar) + 1, Shape{channels});
    return shapes_of;
  };
  // tensors: how many of the activation's size the rule reads and writes; statistics and apply each read once.
  const auto add = [&](const char* name, double tensors, const Kernel& kernel) {
    const double bytes = tensors * static_cast<double>(c.rows * c.channels) * sizeof(float);
    benchmark::RegisterBenchmark((std::string(name) + "/" + network + "/" + c.name).c_str(),
                                 [=](benchmark::State& state) {
                                   verify_and_time(state, list(98, c.channels), list(c.rows, c.channels), kernel, 0,
                                                   bytes);
                                 })
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  };
  const BatchNormParams p{.eps = 1e-5, .relu = c.relu, .batch_statistics = true};
  const bool has_residual = c.residual;
  const double mask = c.relu ? 1 : 0;
  const double extra = has_residual ? 1 : 0;
  const auto saved = [](const Buffers& b) { return BatchNormSaved{*b[x], *b[gamma], *b[mean], *b[rstd], *b[y]}; };
  const auto either = [has_residual](const Buffers& b, std::size_t i) { return has_residual ? View(*b[i]) : View{}; };
  add("batch_norm_forward", 3 + extra, [=](Backend& k, const Buffers& b) {
    k.run(kernel::BatchNormForward{.params = p,
                                   .x = *b[x],
                                   .gamma = *b[gamma],
                                   .beta = *b[beta],
                                   .residual = either(b, residual),
                                   .y = *b[out],
                                   .mean = *b[mean],
                                   .rstd = *b[rstd]});
  });
  add("batch_norm_vjp", 5 + 2 * mask + extra, [=](Backend& k, const Buffers& b) {
    k.run(kernel::BatchNormVjp{.params = p,
                               .saved = saved(b),
                               .y_bar = *b[y_bar],
                               .bars = {*b[out], *b[gamma_bar], *b[beta_bar], either(b, residual_bar)}});
  });
  add("batch_norm_jvp", 5 + mask + extra, [=](Backend& k, const Buffers& b) {
    k.run(kernel::BatchNormJvp{.params = p,
                               .saved = saved(b),
                               .x_dot = *b[x_dot],
                               .gamma_dot = *b[gamma],
                               .beta_dot = *b[beta],
                               .residual_dot = either(b, residual),
                               .y_dot = *b[out],
                               .mean_dot = *b[mean_dot],
                               .rstd_dot = *b[rstd_dot]});
  });
  add("batch_norm_vjp_dot", 9 + 2 * mask + extra, [=](Backend& k, const Buffers& b) {
    k.run(kernel::BatchNormVjpDot{.params = p,
                                  .saved = saved(b),
                                  .saved_dot = {*b[x_dot], *b[gamma], *b[mean_dot], *b[rstd_dot]},
                                  .y_bar = *b[y_bar],
                                  .y_bar_dot = *b[y_bar_dot],
                                  .dots = {*b[out], *b[gamma_bar], *b[beta_bar], either(b, residual_bar)}});
  });
}

void add_all() {
  for (const ConvCase& c : shapes::r2plus1d_18_convs(4, 16, 112)) add_conv("r2plus1d_18", c);
  for (const ConvCase& c : shapes::small_convs()) add_conv("small", c);
  for (const NormCase& c : shapes::r2plus1d_18_norms(4, 16, 112)) add_norm("r2plus1d_18", c);
  for (const NormCase& c : shapes::small_norms()) add_norm("small", c);
}

}  // namespace
}  // namespace mcn

int main(int argc, char** argv) {
  mcn::add_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
