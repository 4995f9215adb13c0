// What the CUDA backend launches, as JSON: every kernel family over the layers of R(2+1)D-18 on 4 clips of 16 x 112 x
// 112, of the demo's network and of odd shapes, in every precision; a kernel that has no such shapes, on those of its
// operator in engine/gradcheck_cases.cpp. Nothing is executed (the dry mode of kernels/simt),
// so it takes no GPU and little time. tools/kernel_report joins it with the compiled kernels.
//   build/launch_table > launches.json
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "benchmarks/shapes.h"
#include "engine/gradcheck.h"
#include "kernels/cuda/cuda_backend.h"

namespace mcn {
namespace {

using namespace simt_device;  // NOLINT(google-build-using-namespace)
using Json = nlohmann::ordered_json;

/// Runs kernels and notes what each has launched.
class Log {
 public:
  /// How float32 products are formed from now on, and the type of the operands; both are part of a call's label.
  void set(Precision precision, DType dtype) {
    constexpr const char* names[] = {"fp32", "tf32", "bf16"};
    precision_ = precision;
    dtype_ = dtype;
    number_ = dtype == DType::f64 ? "fp64" : names[static_cast<std::size_t>(precision)];
  }
  [[nodiscard]] Precision precision() const { return precision_; }

  /// Memory for the next call.
  View of(const Shape& shape, DType dtype) {
    const std::size_t bytes = static_cast<std::size_t>(shape.numel()) * size_of(dtype);
    operands_.push_back({{backend_.allocate(bytes), dtype, shape}, bytes});
    return operands_.back().view;
  }
  View of(const Shape& shape) { return of(shape, dtype_); }
  std::vector<View> of_all(const std::vector<Shape>& list) {
    std::vector<View> views;
    for (const Shape& shape : list) views.push_back(of(shape));
    return views;
  }

  /// What a call is about: its label, the kernel that does its `flops` (empty where memory is what it costs), and the
  /// bytes that it moves, if these are not all of its operands'.
  struct Case {
    std::string label, main;
    double flops = 0;
    std::optional<std::size_t> bytes;
  };
  /// All operands must be of(). Each counts once as memory traffic, whether it is read or written.
  template <typename K>
  void run(const K& kernel, const Case& of_call = {}) {
    std::size_t bytes = 0;
    for_each_view(kernel, [&](const ConstView& v) {
      if (v) bytes += static_cast<std::size_t>(v.numel()) * size_of(v.dtype);
    });
    simt::launches();
    backend_.run(kernel);
    Json entry{{"call", K::name},          {"case", of_call.label},  {"number", number_},
               {"main", of_call.main},     {"flops", of_call.flops}, {"bytes", of_call.bytes.value_or(bytes)},
               {"launches", Json::array()}};
    for (const simt::LaunchRecord& launch : simt::launches())
      entry["launches"].push_back({{"kernel", launch.kernel},
                                   {"grid", {launch.grid.x, launch.grid.y, launch.grid.z}},
                                   {"block", {launch.block.x, launch.block.y, launch.block.z}},
                                   {"shared_bytes", launch.shared_bytes}});
    calls_.push_back(std::move(entry));
    run_.insert(K::name);
    for (const Operand& operand : operands_) backend_.release(operand.view.data, operand.bytes);
    operands_.clear();
  }

  [[nodiscard]] Backend& backend() { return backend_; }
  /// Names of the kernels that have been run.
  [[nodiscard]] const std::set<std::string_view>& kernels() const { return run_; }

  /// All calls. UsageError if a kernel of the list has not been run.
  [[nodiscard]] const Json& calls() const {
    for_each_kernel([&]<typename K>() {
      if (!run_.contains(K::name)) fail("launch_table", "kernel {} has no case", K::name);
    });
    return calls_;
  }

 private:
  struct Operand {
    View view;
    std::size_t bytes;
  };
  CudaBackend backend_{"simt"};
  std::vector<Operand> operands_;
  Precision precision_ = Precision::fp32;
  DType dtype_ = DType::f32;
  std::string number_;
  Json calls_ = Json::array();
  std::set<std::string_view> run_;
};

void log_conv(Log& log, const std::string& network, const shapes::ConvCase& c) {
  const std::string label = network + "/" + c.name;
  Conv3dParams params = c.params;
  params.precision = log.precision();
  const auto product = [&](const Shape& a, const Shape& b) { return std::array{ConvProduct{log.of(a), log.of(b)}}; };
  log.run(kernel::Conv3dFprop{.params = params, .products = product(c.x, c.w), .y = log.of(c.y())},
          {label, "fprop_kernel", c.flops(), {}});
  log.run(kernel::Conv3dDgrad{.params = params, .products = product(c.y(), c.w), .x_bar = log.of(c.x)},
          {label, "dgrad_kernel", c.flops(), {}});
  log.run(kernel::Conv3dWgrad{.params = params, .products = product(c.x, c.y()), .w_bar = log.of(c.w)},
          {label, "wgrad_kernel", c.flops(), {}});
}

void log_norm(Log& log, const std::string& network, const shapes::NormCase& c) {
  const Log::Case label{network + "/" + c.name, "", 0, {}};
  const BatchNormParams params{.eps = 1e-5, .relu = c.relu, .batch_statistics = true};
  const auto all = [&] { return log.of({c.rows, c.channels}); };
  const auto channel = [&] { return log.of({c.channels}); };
  const auto residual = [&] { return c.residual ? all() : View{}; };
  const auto saved = [&] {
    return BatchNormSaved{
        .x = all(), .gamma = channel(), .mean = channel(), .rstd = channel(), .y = c.relu ? all() : View{}};
  };
  const auto gradients = [&] {
    return BatchNormGradients{.x = all(), .gamma = channel(), .beta = channel(), .residual = residual()};
  };
  log.run(kernel::BatchNormForward{.params = params,
                                   .x = all(),
                                   .gamma = channel(),
                                   .beta = channel(),
                                   .residual = residual(),
                                   .y = all(),
                                   .mean = channel(),
                                   .rstd = channel()},
          label);
  log.run(kernel::BatchNormVjp{.params = params, .saved = saved(), .y_bar = all(), .bars = gradients()}, label);
  log.run(kernel::BatchNormJvp{.params = params,
                               .saved = saved(),
                               .x_dot = all(),
                               .gamma_dot = channel(),
                               .beta_dot = channel(),
                               .residual_dot = residual(),
                               .y_dot = all(),
                               .mean_dot = channel(),
                               .rstd_dot = channel()},
          label);
  log.run(kernel::BatchNormVjpDot{.params = params,
                                  .saved = saved(),
                                  .saved_dot = {.x = all(), .gamma = channel(), .mean = channel(), .rstd = channel()},
                                  .y_bar = all(),
                                  .y_bar_dot = all(),
                                  .dots = gradients()},
          label);
}

void log_gemm(Log& log, const shapes::GemmCase& c) {
  log.run(kernel::Gemm{.transpose_a = c.transpose_a,
                       .transpose_b = c.transpose_b,
                       .a = log.of(c.a()),
                       .b = log.of(c.b()),
                       .c = log.of(c.c())},
          {c.name, "gemm_kernel", c.flops(), {}});
}

// On an activation of layer 1.
void log_elementwise(Log& log, const Shape& shape) {
  const auto all = [&] { return log.of(shape); };
  const auto channels = [&] { return log.of({shape.back()}); };
  log.run(kernel::Fill{.value = 1, .y = all()});
  log.run(kernel::Scale{.alpha = 2, .x = all(), .y = all()});
  log.run(kernel::Add{.a = all(), .b = all(), .y = all()});
  log.run(kernel::Relu{.x = all(), .y = all()});
  log.run(kernel::ReluMask{.y = all(), .g = all(), .out = all()});
  const ConstView a = all();
  const ConstView b = all();
  log.run(kernel::Dot{.a = {&a, 1}, .b = {&b, 1}});
  const ConstView x = all();
  log.run(kernel::AllFinite{.x = {&x, 1}});
  const ConstView from = all();
  const View to = all();
  log.run(kernel::Axpy{.alpha = 2, .x = {&from, 1}, .y = {&to, 1}});
  log.run(kernel::AddBias{.bias = channels(), .y = all()});
  log.run(kernel::SumRows{.x = all(), .out = channels()});
}

void log_pools(Log& log, const Shape& shape) {
  const PoolParams window{{2, 2, 2}, {2, 2, 2}, {0, 0, 0}};
  const Shape half{shape.n(), shape.d() / 2, shape.h() / 2, shape.w() / 2, shape.c()};
  const auto x = [&] { return log.of(shape); };
  const auto y = [&] { return log.of(half); };
  const auto index = [&] { return log.of(half, DType::i32); };
  log.run(kernel::MaxPool{.params = window, .x = x(), .y = y(), .index = index()});
  log.run(kernel::MaxPoolGather{.x_dot = x(), .index = index(), .y_dot = y()});
  log.run(kernel::MaxPoolScatter{.y_bar = y(), .index = index(), .x_bar = x()});
  log.run(kernel::AvgPool{.params = window, .x = x(), .y = y()});
  log.run(kernel::AvgPoolAdjoint{.params = window, .y_bar = y(), .x_bar = x()});
  log.run(kernel::AvgPool{
      .params = {{2, 7, 7}, {1, 1, 1}, {0, 0, 0}}, .x = log.of({32, 2, 7, 7, 512}), .y = log.of({32, 1, 1, 1, 512})});
}

void log_cross_entropy(Log& log) {
  constexpr std::int64_t n = 256, classes = 400;
  const auto logits = [&] { return log.of({n, classes}); };
  const auto labels = [&] { return log.of({n}, DType::i64); };
  const auto lse = [&] { return log.of({n}); };
  const auto one = [&] { return log.of({1}); };
  log.run(kernel::CrossEntropyForward{.logits = logits(), .labels = labels(), .loss = one(), .lse = lse()});
  log.run(kernel::CrossEntropyVjp{
      .logits = logits(), .labels = labels(), .lse = lse(), .loss_bar = one(), .logits_bar = logits()});
  log.run(kernel::CrossEntropyJvp{.logits = logits(),
                                  .labels = labels(),
                                  .lse = lse(),
                                  .logits_dot = logits(),
                                  .loss_dot = one(),
                                  .lse_dot = lse()});
  log.run(kernel::CrossEntropyVjpDot{.logits = logits(),
                                     .labels = labels(),
                                     .lse = lse(),
                                     .logits_dot = logits(),
                                     .lse_dot = lse(),
                                     .loss_bar = one(),
                                     .loss_bar_dot = one(),
                                     .logits_bar_dot = logits()});
}

void log_bce(Log& log) {
  constexpr double weight = 7;
  const auto x = [&] { return log.of({1024}); };
  const auto one = [&] { return log.of({1}); };
  log.run(kernel::BceForward{.pos_weight = weight, .logits = x(), .targets = x(), .loss = one()});
  log.run(kernel::BceVjp{.pos_weight = weight, .logits = x(), .targets = x(), .loss_bar = one(), .logits_bar = x()});
  log.run(kernel::BceJvp{.pos_weight = weight, .logits = x(), .targets = x(), .logits_dot = x(), .loss_dot = one()});
  log.run(kernel::BceVjpDot{.pos_weight = weight,
                            .logits = x(),
                            .targets = x(),
                            .logits_dot = x(),
                            .loss_bar = one(),
                            .loss_bar_dot = one(),
                            .logits_bar_dot = x()});
}

void log_info_nce(Log& log) {
  constexpr std::int64_t anchors = 64, bank = 2048, features = 128;
  const auto a = [&] { return log.of({anchors, features}); };
  const auto rows = [&] { return log.of({anchors}); };
  const auto one = [&] { return log.of({1}); };
  const auto inputs = [&] {
    return InfoNceInputs{.temperature = 0.07,
                         .anchor = a(),
                         .key = a(),
                         .bank = log.of({bank, features}),
                         .ids = log.of({anchors}, DType::i64),
                         .bank_ids = log.of({bank}, DType::i64)};
  };
  log.run(kernel::InfoNceForward{.inputs = inputs(), .loss = one(), .lse = rows()});
  log.run(kernel::InfoNceVjp{.inputs = inputs(), .lse = rows(), .loss_bar = one(), .anchor_bar = a(), .key_bar = a()});
  log.run(kernel::InfoNceJvp{
      .inputs = inputs(), .lse = rows(), .anchor_dot = a(), .key_dot = a(), .loss_dot = one(), .lse_dot = rows()});
  log.run(kernel::InfoNceVjpDot{.inputs = inputs(),
                                .lse = rows(),
                                .anchor_dot = a(),
                                .key_dot = a(),
                                .lse_dot = rows(),
                                .loss_bar = one(),
                                .loss_bar_dot = one(),
                                .anchor_bar_dot = a(),
                                .key_bar_dot = a()});
}

void log_l2_normalize(Log& log) {
  constexpr std::int64_t n = 256, features = 128;
  const auto x = [&] { return log.of({n, features}); };
  const auto norm = [&] { return log.of({n}); };
  log.run(kernel::L2NormalizeForward{.x = x(), .y = x(), .norm = norm()});
  log.run(kernel::L2NormalizeVjp{.y = x(), .norm = norm(), .y_bar = x(), .x_bar = x()});
  log.run(kernel::L2NormalizeJvp{.y = x(), .norm = norm(), .x_dot = x(), .y_dot = x(), .norm_dot = norm()});
  log.run(kernel::L2NormalizeVjpDot{
      .y = x(), .norm = norm(), .y_dot = x(), .norm_dot = norm(), .y_bar = x(), .y_bar_dot = x(), .x_bar_dot = x()});
}

void log_features(Log& log) {
  constexpr std::int64_t paired = 32, bank = 2048, features = 128;
  constexpr double scale = 11;
  const auto a = [&] { return log.of({paired, features}); };
  const auto y = [&] { return log.of({paired * paired, 2 * features}); };
  log.run(kernel::PairingForward{.scale = scale, .a = a(), .b = a(), .y = y()});
  log.run(kernel::PairingVjp{.scale = scale, .a = a(), .b = a(), .y_bar = y(), .a_bar = a(), .b_bar = a()});
  log.run(kernel::PairingJvp{.scale = scale, .a = a(), .b = a(), .a_dot = a(), .b_dot = a(), .y_dot = y()});
  log.run(kernel::PairingVjpDot{.scale = scale,
                                .a = a(),
                                .b = a(),
                                .a_dot = a(),
                                .b_dot = a(),
                                .y_bar = y(),
                                .y_bar_dot = y(),
                                .a_bar_dot = a(),
                                .b_bar_dot = a()});
  // Of the bank, the rows that are named.
  const auto whole = [&] { return log.of({bank, features}); };
  const auto rows = [&] { return log.of({paired}, DType::i64); };
  const ConstView z = a();
  const std::size_t bytes = static_cast<std::size_t>(2 * z.numel()) * size_of(z.dtype) + paired * sizeof(std::int64_t);
  log.run(kernel::GatherRows{.bank = whole(), .rows = rows(), .out = a()}, {"", "", 0, bytes});
  log.run(kernel::UpdateRows{.momentum = 0.5, .z = a(), .rows = rows(), .bank = whole()}, {"", "", 0, bytes});
}

// One step over all weights of the network.
void log_optimizers(Log& log, const std::vector<shapes::ConvCase>& convs) {
  std::vector<Shape> weights;
  for (const shapes::ConvCase& c : convs) weights.push_back(c.w);
  const std::vector<double> decay(weights.size(), 1e-4);
  const auto gradients = [&] {
    const std::vector<View> all = log.of_all(weights);
    return std::vector<ConstView>(all.begin(), all.end());
  };
  log.run(kernel::SgdStep{.params = {},
                          .weight_decay = decay,
                          .gradients = gradients(),
                          .parameters = log.of_all(weights),
                          .buffers = log.of_all(weights)});
  log.run(kernel::AdamWStep{.params = {},
                            .weight_decay = decay,
                            .gradients = gradients(),
                            .parameters = log.of_all(weights),
                            .first_moments = log.of_all(weights),
                            .second_moments = log.of_all(weights)});
}

// One view of 8 videos at the sizes of the published protocol, every clip of it blurred.
void log_augment(Log& log) {
  AugmentParams params;
  AugmentClip clip;
  clip.radius = AugmentClip::most_radius;
  for (const bool residual : {false, true}) {
    params.residual = residual;
    log.run(kernel::Augment{
        .params = params,
        .clips = std::vector<AugmentClip>(8, clip),
        .frames = log.of({8, residual ? 32 : 16, params.resize_height, params.resize_width, 3}, DType::u8),
        .y = log.of({8, 16, params.size, params.size, 3})});
  }
}

// In front of the log: notes what the rules of an operator run, but for kernels that have cases of their own.
class OperatorCalls final : public ComputesKernels<OperatorCalls> {
 public:
  OperatorCalls(Log& log, const std::set<std::string_view>& known)
      : ComputesKernels(log.backend().name()), log_(log), known_(known) {}

  void copy_from_host(const void* host, View y) override { log_.backend().copy_from_host(host, y); }
  void copy_to_host(ConstView x, void* host) override { log_.backend().copy_to_host(x, host); }
  void copy(ConstView x, View y) override { log_.backend().copy(x, y); }

  template <typename K>
  ResultOf<K> compute(const K& k) {
    if constexpr (std::is_void_v<ResultOf<K>>)
      if (!known_.contains(K::name)) return log_.run(k, {label, "", 0, {}});
    return log_.backend().run(k);
  }

  std::string label;

 protected:
  void* allocate_impl(std::size_t bytes) override { return log_.backend().allocate(bytes); }
  void release_impl(void* p, std::size_t bytes) noexcept override { log_.backend().release(p, bytes); }

 private:
  Log& log_;
  const std::set<std::string_view>& known_;
};

void log_operators(Log& log, const std::set<std::string_view>& known, DType dtype) {
  OperatorCalls calls(log, known);
  for (const GradcheckCase& c : gradcheck_cases()) {
    if (c.before_relu) continue;  // it is drawn by its values, and nothing has any here
    calls.label = c.name();
    run_rules(c, calls, dtype, 0);
  }
}

Json all_calls() {
  simt::set_dry(true);
  Log log;
  const std::vector<shapes::ConvCase> convs = shapes::r2plus1d_18_convs(4, 16, 112);
  const Shape activation = convs[1].y();
  std::optional<std::set<std::string_view>> known;
  struct Number {
    Precision precision;
    DType dtype;
  };
  for (const auto& [precision, dtype] : {Number{Precision::fp32, DType::f32}, Number{Precision::tf32, DType::f32},
                                         Number{Precision::bf16, DType::f32}, Number{Precision::fp32, DType::f64}}) {
    log.set(precision, dtype);
    for (const shapes::ConvCase& c : convs) log_conv(log, "r2plus1d_18", c);
    for (const shapes::ConvCase& c : shapes::small_convs()) log_conv(log, "small", c);
    for (const shapes::ConvCase& c : shapes::odd_convs()) log_conv(log, "odd", c);
    if (precision != Precision::fp32) continue;  // the rest does not depend on it
    for (const shapes::NormCase& c : shapes::r2plus1d_18_norms(4, 16, 112)) log_norm(log, "r2plus1d_18", c);
    for (const shapes::GemmCase& c : shapes::gemms()) log_gemm(log, c);
    log_elementwise(log, activation);
    log_pools(log, activation);
    log_cross_entropy(log);
    log_bce(log);
    log_info_nce(log);
    log_l2_normalize(log);
    log_features(log);
    log_augment(log);
    log_optimizers(log, convs);
    if (!known) known = log.kernels();
    log_operators(log, *known, dtype);
  }
  return log.calls();
}

}  // namespace
}  // namespace mcn

int main(int argc, char**) {
  if (argc != 1) {
    fmt::print(stderr, "usage: launch_table > launches.json\n");
    return 2;
  }
  try {
    fmt::print("{}\n", mcn::all_calls().dump(1));
    return 0;
  } catch (const std::exception& e) {
    fmt::print(stderr, "launch_table: {}\n", e.what());
    return 1;
  }
}
