// `mcn bench`: the very work of the peers' train_step.py and meta_step.py, timed; one JSON line.
#include <omp.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "engine/random.h"
#include "meta/optimizer.h"
#include "tools/choice.h"
#include "tools/command.h"
#include "tools/device_options.h"
#include "tools/problem.h"

namespace mcn {
namespace {

struct BenchOptions {
  DeviceOptions device{.threads = 2};  // as the peers
  std::int64_t batch = 4, frames = 16, size = 112;
  int runs = 4;
  std::int64_t way = 5, shot = 1;
  int steps = 1, order = 2;
  InnerTape inner_tape = InnerTape::keep;
};

// What sweeps cost in forward passes. A Hessian product follows the tangents of both factors of every convolution.
constexpr int gradient_passes = 3, hessian_passes = 6;

Tensor random_clips(Backend& backend, std::int64_t n, std::int64_t frames, std::int64_t size, std::uint64_t stream) {
  const Shape shape{n, frames, size, size, 3};
  std::vector<float> values(static_cast<std::size_t>(shape.numel()));
  Philox random(0, stream);
  for (float& v : values) v = static_cast<float>(random.normal());
  return Tensor::from(backend, DType::f32, shape, std::span<const float>(values));
}

// Every parameter's gradient is there, finite and not zero: the work is the whole work.
void verify(const Tensors& gradient, const ParameterSpecs& specs) {
  for (std::size_t i = 0; i < specs.size(); ++i)
    if (!gradient[i] || !gradient[i].backend().all_finite(gradient[i]) ||
        !(gradient[i].backend().dot(gradient[i], gradient[i]) > 0))
      fail<NonFiniteError>("bench", "the gradient of {} is missing, zero or not finite", specs[i].name);
}

// One warm-up, then `runs` timed ones. multiplications: of one piece of work.
int measure(const BenchOptions& o, Backend& backend, double multiplications, nlohmann::ordered_json result,
            const std::function<double()>& work) {
  work();
  std::vector<double> seconds;
  double loss = 0;
  for (int run = 0; run < o.runs; ++run) {
    const auto start = std::chrono::steady_clock::now();
    loss = work();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    fmt::print(stderr, "run {} of {}: {:.3f} s\n", run + 1, o.runs, seconds.back());
  }
  std::sort(seconds.begin(), seconds.end());
  const std::size_t middle = seconds.size() / 2;
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  result["seconds_min"] = seconds.front();
  result["seconds_median"] = seconds.size() % 2 == 1 ? seconds[middle] : (seconds[middle - 1] + seconds[middle]) / 2;
  result["gflops"] = 2e-9 * multiplications / seconds.front();
  result["peak_rss_gib"] = static_cast<double>(use.ru_maxrss) / (1 << 20);
  result["peak_tensors_gib"] = static_cast<double>(backend.memory().peak) / (1 << 30);
  result["device"] = backend.name();
  result["threads"] = omp_get_max_threads();
  result["runs"] = o.runs;
  result["loss"] = loss;
  fmt::print("{}\n", result.dump());
  return ok;
}

int bench_step(const BenchOptions& o) {
  Backend& backend = open(o.device, DType::f32);
  const auto model = std::make_shared<const VideoResNet>(VideoResNetConfig{"r2plus1d_18", 1, 128});
  Tensors theta = initialise(model->parameters(), backend, DType::f32, 0);
  std::vector<std::int64_t> labels;
  Philox random(0, 7);
  for (std::int64_t i = 0; i < o.batch; ++i) labels.push_back(random.below(128));
  const Tensor clips = random_clips(backend, o.batch, o.frames, o.size, 1);
  const LossFunction loss = classification(model, clips, Tensor::from(backend, labels));
  OptimizerConfig sgd;
  sgd.lr = 0.01;
  sgd.momentum = 0.9;
  sgd.weight_decay = 1e-4;
  Optimizer optimizer(sgd, model->parameters());
  verify(gradient_tape(theta, loss, After::release).gradient, model->parameters());
  return measure(o, backend, gradient_passes * model->multiplications(clips.shape()),
                 {{"bench", "step"}, {"batch", o.batch}, {"frames", o.frames}, {"size", o.size}}, [&] {
                   const GradientTape step = gradient_tape(theta, loss, After::release);
                   optimizer.step(theta, step.gradient, 0.01);
                   return step.loss.item();
                 });
}

int bench_meta(const BenchOptions& o) {
  Backend& backend = open(o.device, DType::f32);
  const auto model = std::make_shared<const VideoResNet>(VideoResNetConfig{"r2plus1d_18", 1, o.way});
  const Tensors theta = initialise(model->parameters(), backend, DType::f32, 0);
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < o.way * o.shot; ++i) labels.push_back(i / o.shot);
  const Tensor y = Tensor::from(backend, labels);
  const auto set = [&](std::uint64_t stream) {
    return classification(model, random_clips(backend, o.way * o.shot, o.frames, o.size, stream), y);
  };
  const LossFunction support = set(1);
  const LossFunction query = set(2);
  MamlConfig config;
  config.inner_steps = o.steps;
  config.second_order = o.order == 2;
  config.inner_tape = o.inner_tape;
  verify(meta_gradient(theta, support, query, config).gradient, model->parameters());
  const int second_order =
      o.order == 2 ? hessian_passes + (o.inner_tape == InnerTape::recompute ? gradient_passes : 0) : 0;
  const double passes = gradient_passes + o.steps * (gradient_passes + second_order);
  return measure(o, backend, passes * model->multiplications({o.way * o.shot, o.frames, o.size, o.size, 3}),
                 {{"bench", "meta"},
                  {"way", o.way},
                  {"shot", o.shot},
                  {"frames", o.frames},
                  {"size", o.size},
                  {"steps", o.steps},
                  {"order", o.order},
                  {"inner_tape", o.inner_tape == InnerTape::recompute ? "recompute" : "keep"}},
                 [&] { return meta_gradient(theta, support, query, config).query_loss; });
}

void add_common(CLI::App& command, BenchOptions& o) {
  command.add_option("--frames", o.frames, "frames a clip")->check(CLI::PositiveNumber);
  command.add_option("--size", o.size, "pixels a side of a clip")->check(CLI::PositiveNumber);
  command.add_option("--runs", o.runs, "timed runs, after one warm-up")->check(CLI::PositiveNumber);
  add_device_options(command, o.device);
  add_arithmetic_options(command, o.device);
}

}  // namespace

void add_bench(CLI::App& app) {
  CLI::App* bench = app.add_subcommand(
      "bench", "seconds (s) and peak memory (GiB) of whole steps of R(2+1)D-18 in float32; last line: a JSON object");
  bench->require_subcommand(1);
  {
    auto o = std::make_shared<BenchOptions>();
    CLI::App* step = bench->add_subcommand("step", "a training step: forward, backward, momentum SGD");
    step->add_option("--batch", o->batch, "clips")->check(CLI::Range(2, 4096));
    add_common(*step, *o);
    set_action(*step, [o] { return bench_step(*o); });
  }
  auto o = std::make_shared<BenchOptions>();
  o->frames = 8;
  o->runs = 3;
  CLI::App* meta = bench->add_subcommand("meta", "a MAML meta-gradient");
  meta->add_option("--way", o->way, "classes")->check(CLI::Range(2, 1024));
  meta->add_option("--shot", o->shot, "clips a class")->check(CLI::Range(1, 1024));
  meta->add_option("--steps", o->steps, "K inner steps")->check(CLI::Range(0, 1000));
  meta->add_option("--order", o->order, "1 or 2")->check(CLI::Range(1, 2));
  add_inner_tape_option(*meta, o->inner_tape);
  add_common(*meta, *o);
  set_action(*meta, [o] { return bench_meta(*o); });
}

}  // namespace mcn
