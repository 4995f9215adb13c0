// `mcn bench`: times whole steps, the same work as benchmarks/peers/torch_gpu.py; prints one JSON line.
#include <sys/resource.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <nlohmann/json.hpp>
#include <numeric>

#include "engine/random.h"
#include "kernels/parallel.h"
#include "meta/optimizer.h"
#include "meta/trainer.h"
#include "models/walk.h"
#include "tools/choice.h"
#include "tools/command.h"
#include "tools/device_options.h"
#include "tools/number.h"
#include "tools/print.h"
#include "tools/problem.h"

namespace mcn {
namespace {

struct BenchOptions {
  DeviceOptions device{.threads = 2};  // as in the tables of benchmarks/results
  std::string arch = "r2plus1d_18";
  std::int64_t batch = 4, frames = 16, size = 112;
  int runs = 4;
  std::int64_t way = 5, shot = 1;
  int steps = 1, order = 2;
  InnerTape inner_tape = InnerTape::keep;
};

struct TrainBenchOptions {
  DeviceOptions device;
  TrainConfig config;
  int order = 2;
};

// What sweeps cost in forward passes. A Hessian product follows the tangents of both factors of every convolution.
constexpr int gradient_passes = 3, hessian_passes = 6;

Tensor normal_clips(Backend& backend, std::int64_t n, std::int64_t frames, std::int64_t size, std::uint64_t stream) {
  const Shape shape{n, frames, size, size, 3};
  std::vector<float> values(static_cast<std::size_t>(shape.numel()));
  Philox random(0, stream);
  for (float& v : values) v = static_cast<float>(random.normal());
  return Tensor::from(backend, DType::f32, shape, std::span<const float>(values));
}

// Every parameter's gradient is there, finite and not zero: the work is the whole work.
void verify(const Tensors& gradient, const ParameterSpecs& specs) {
  for (std::size_t i = 0; i < specs.size(); ++i)
    if (!gradient[i] || !mcn::all_finite(gradient[i].backend(), gradient[i]) ||
        !(mcn::dot(gradient[i].backend(), gradient[i], gradient[i]) > 0))
      fail<NonFiniteError>("bench", "the gradient of {} is missing, zero or not finite", specs[i].name);
}

// One warm-up, then `runs` timed ones. macs: multiply-accumulates of one piece of work.
int measure(const BenchOptions& o, Backend& backend, double macs, nlohmann::ordered_json result,
            const std::function<double()>& work) {
  work();
  std::vector<double> seconds;
  double loss = 0;
  for (int run = 0; run < o.runs; ++run) {
    const auto start = std::chrono::steady_clock::now();
    loss = work();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    print_note("run {} of {}: {:.3f} s\n", run + 1, o.runs, seconds.back());
  }
  std::sort(seconds.begin(), seconds.end());
  const std::size_t middle = seconds.size() / 2;
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  result["seconds_min"] = seconds.front();
  result["seconds_median"] = seconds.size() % 2 == 1 ? seconds[middle] : (seconds[middle - 1] + seconds[middle]) / 2;
  result["gflops"] = 2e-9 * macs / seconds.front();
  result["peak_rss_gib"] = static_cast<double>(use.ru_maxrss) / (1 << 20);
  result["peak_tensors_gib"] = static_cast<double>(backend.memory().peak) / (1 << 30);
  result["device"] = backend.name();
  result["threads"] = thread_count();
  result["runs"] = o.runs;
  result["loss"] = loss;
  print_result("{}\n", result.dump());
  return ok;
}

int bench_step(const BenchOptions& o) {
  Backend& backend = open(o.device, DType::f32);
  const auto model = make_backbone({.arch = o.arch, .classes = 128, .precision = o.device.precision});
  Tensors theta = initialise(model->parameters(), backend, DType::f32, 0);
  std::vector<std::int64_t> labels;
  Philox random(0, 7);
  for (std::int64_t i = 0; i < o.batch; ++i) labels.push_back(random.below(128));
  const Tensor clips = normal_clips(backend, o.batch, o.frames, o.size, 1);
  const LossFunction loss = classification(model, clips, Tensor::from(backend, labels));
  OptimizerConfig sgd;
  sgd.lr = 0.01;
  sgd.momentum = 0.9;
  sgd.weight_decay = 1e-4;
  Optimizer optimizer(sgd, model->parameters());
  verify(gradient_tape(theta, loss, After::release).gradient, model->parameters());
  return measure(o, backend, gradient_passes * multiply_accumulates(*model, clips.shape()),
                 {{"bench", "step"}, {"arch", o.arch}, {"batch", o.batch}, {"frames", o.frames}, {"size", o.size}},
                 [&] {
                   const GradientTape step = gradient_tape(theta, loss, After::release);
                   optimizer.step(theta, step.gradient, 0.01);
                   return step.loss.item();
                 });
}

// A checkpoint's bytes, or as good: whoever compares two runs needs one number.
std::uint64_t fingerprint(const Tensors& theta) {
  std::uint64_t hash = 0;
  for (const Tensor& t : theta)
    for (const double value : t.to_doubles()) hash = hash_stream(hash, std::bit_cast<std::uint64_t>(value));
  return hash;
}

// The trainer on videos of random frames, each of which it sees again and again: that it can learn.
int bench_train(const TrainBenchOptions& o) {
  Backend& backend = open(o.device, DType::f32);
  TrainConfig config = o.config;
  config.model.backbone.precision = o.device.precision;
  Trainer trainer(config, random_clips(2 * o.config.loader.batch), backend);
  nlohmann::ordered_json result{{"bench", "train"}, {"iterations", o.config.iterations}};
  std::vector<double> seconds, losses;
  while (trainer.iteration() < o.config.iterations) {
    const IterationMetrics m = trainer.step();
    losses.push_back(m.query_loss);
    seconds.push_back(m.seconds - 1e-3 * m.wait_ms);  // of training alone: a loader would make batches meanwhile
  }
  std::sort(seconds.begin(), seconds.end());
  const auto mean = [](std::span<const double> values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  };
  const std::size_t tenth = (losses.size() + 9) / 10;
  result["first_loss"] = mean(std::span(losses).first(tenth));
  result["last_loss"] = mean(std::span(losses).last(tenth));
  result["seconds_median"] = seconds[seconds.size() / 2];
  result["peak_tensors_gib"] = static_cast<double>(backend.memory().peak) / (1 << 30);
  result["device"] = backend.name();
  result["cuda_graph"] = o.config.cuda_graph;
  result["theta"] = fmt::format("{:016x}", fingerprint(trainer.state().theta));
  print_result("{}\n", result.dump());
  return ok;
}

int bench_meta(const BenchOptions& o) {
  Backend& backend = open(o.device, DType::f32);
  const auto model = make_backbone({.arch = o.arch, .classes = o.way, .precision = o.device.precision});
  const Tensors theta = initialise(model->parameters(), backend, DType::f32, 0);
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < o.way * o.shot; ++i) labels.push_back(i / o.shot);
  const Tensor y = Tensor::from(backend, labels);
  const auto set = [&](std::uint64_t stream) {
    return classification(model, normal_clips(backend, o.way * o.shot, o.frames, o.size, stream), y);
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
  return measure(o, backend, passes * multiply_accumulates(*model, {o.way * o.shot, o.frames, o.size, o.size, 3}),
                 {{"bench", "meta"},
                  {"arch", o.arch},
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
  add_arch_option(command, "--arch", o.arch);
  command.add_option("--frames", o.frames, "frames of a clip")->check(positive_number());
  command.add_option("--size", o.size, "height and width of a clip in pixels")->check(positive_number());
  command.add_option("--runs", o.runs, "timed runs, after one warm-up")->check(positive_number());
  add_device_options(command, o.device);
  add_arithmetic_options(command, o.device);
}

}  // namespace

void add_bench(CLI::App& app) {
  CLI::App* bench = app.add_subcommand(
      "bench", "seconds (s) and peak memory (GiB) of whole steps in float32; last line: a JSON object");
  bench->require_subcommand(1);
#ifdef MCN_HAS_DATA
  add_bench_decode(*bench);
#endif
  {
    auto o = std::make_shared<BenchOptions>();
    CLI::App* step = bench->add_subcommand("step", "a training step: forward, backward, momentum SGD");
    step->add_option("--batch", o->batch, "number of clips")->check(CLI::Range(2, 4096));
    add_common(*step, *o);
    set_action(*step, [o] { return bench_step(*o); });
  }
  {
    auto o = std::make_shared<TrainBenchOptions>();
    TrainConfig& c = o->config;
    c.model.backbone.arch = "r2plus1d_10";
    c.model.backbone.width = 0.25;
    c.iterations = 20;
    c.loader.batch = 8;
    c.loader.clip.frames = 8;
    c.loader.augment.size = 48;
    c.bank.kind = BankKind::none;
    CLI::App* train = bench->add_subcommand(
        "train",
        "MCN on videos of random patches, as many as two batches: first_loss and last_loss are means of the first and\n"
        "the last tenth, theta is a fingerprint of the parameters; the seconds leave out the making of frames");
    add_arch_option(*train, "--arch", c.model.backbone.arch);
    train->add_option("--width", c.model.backbone.width, "channels relative to the architecture's");
    train->add_option("--iterations", c.iterations, "number of iterations")->check(positive_number());
    train->add_option("--batch", c.loader.batch, "videos, half of them in S")->check(CLI::Range(4, 4096));
    train->add_option("--frames", c.loader.clip.frames, "frames of a clip")->check(positive_number());
    train->add_option("--size", c.loader.augment.size, "height and width of a clip in pixels, at most 128")
        ->check(CLI::Range(8, 128));
    add_choice<Method>(*train, "--method", c.method,
                       {{"contrastive", Method::contrastive}, {"joint", Method::joint}, {"mcn", Method::mcn}},
                       "InfoNCE alone; both losses; both stages");
    train->add_option("--order", o->order, "1: first order; 2: exact second order")->check(CLI::Range(1, 2));
    train->add_option("--lr", c.optimizer.lr, "learning rate");
    train->add_option("--seed", c.loader.seed, "seed of weights, frames and augmentation")
        ->check(not_negative_number());
    train->add_flag("--cuda-graph", c.cuda_graph, "replay the device's work of an iteration as one CUDA graph");
    add_device_options(*train, o->device);
    add_arithmetic_options(*train, o->device);
    set_action(*train, [o] {
      o->config.maml.second_order = o->order == 2;
      AugmentConfig& augment = o->config.loader.augment;
      augment.resize_height = augment.resize_width = augment.size * 8 / 7;
      return bench_train(*o);
    });
  }
  auto o = std::make_shared<BenchOptions>();
  o->frames = 8;
  o->runs = 3;
  CLI::App* meta = bench->add_subcommand("meta", "a MAML meta-gradient");
  meta->add_option("--way", o->way, "number of classes")->check(CLI::Range(2, 1024));
  meta->add_option("--shot", o->shot, "number of clips of a class")->check(CLI::Range(1, 1024));
  meta->add_option("--steps", o->steps, "K, the number of inner steps")->check(CLI::Range(0, 1000));
  meta->add_option("--order", o->order, "1: first order; 2: exact second order")->check(CLI::Range(1, 2));
  add_inner_tape_option(*meta, o->inner_tape);
  add_common(*meta, *o);
  set_action(*meta, [o] { return bench_meta(*o); });
}

}  // namespace mcn
