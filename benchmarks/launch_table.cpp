// What the CUDA backend launches, as JSON: every kernel family over the layers of R(2+1)D-18 on 4 clips of 16 x 112 x
// 112, of the demo's network and of odd shapes, in every precision. Nothing is executed (the dry mode of kernels/simt),
// so it takes no GPU and little time. tools/kernel_report joins it with the compiled kernels.
//   build/launch_table > launches.json
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "benchmarks/shapes.h"
#include "kernels/cuda/cuda_backend.h"

namespace mcn {
namespace {

using namespace simt_device;  // NOLINT(google-build-using-namespace)
using Json = nlohmann::ordered_json;

struct Operand {
  Shape shape;
  DType dtype;
};
using Views = std::vector<View>;

/// Runs calls of the backend and notes what each has launched.
class Log {
 public:
  /// How float32 products are formed from now on, and the type of the operands; both are part of a call's label.
  void set(Precision precision, DType dtype) {
    constexpr const char* names[] = {"fp32", "tf32", "bf16"};
    backend_.set_precision(precision);
    dtype_ = dtype;
    number_ = dtype == DType::f64 ? "fp64" : names[static_cast<std::size_t>(precision)];
  }
  [[nodiscard]] Operand of(const Shape& shape) const { return {shape, dtype_}; }

  /// call: the backend's function; main: the kernel that does its `flops` (empty where memory is what it costs). Every
  /// operand counts once as memory traffic, whether it is read or written.
  void run(const std::string& call, const std::string& label, const std::string& main, double flops,
           const std::vector<Operand>& operands, const std::function<void(Backend&, const Views&)>& f) {
    Views views;
    std::vector<std::size_t> sizes;
    std::size_t bytes = 0;
    for (const Operand& operand : operands) {
      sizes.push_back(static_cast<std::size_t>(operand.shape.numel()) * size_of(operand.dtype));
      bytes += sizes.back();
      views.push_back({backend_.allocate(sizes.back()), operand.dtype, operand.shape});
    }
    simt::launches();
    f(backend_, views);
    Json entry{{"call", call},   {"case", label},  {"number", number_},        {"main", main},
               {"flops", flops}, {"bytes", bytes}, {"launches", Json::array()}};
    for (const simt::LaunchRecord& launch : simt::launches())
      entry["launches"].push_back({{"kernel", launch.kernel},
                                   {"grid", {launch.grid.x, launch.grid.y, launch.grid.z}},
                                   {"block", {launch.block.x, launch.block.y, launch.block.z}},
                                   {"shared_bytes", launch.shared_bytes}});
    calls_.push_back(std::move(entry));
    for (std::size_t i = 0; i < views.size(); ++i) backend_.release(views[i].data, sizes[i]);
  }
  /// A call that memory is the cost of.
  void run(const std::string& call, const std::vector<Operand>& operands,
           const std::function<void(Backend&, const Views&)>& f) {
    run(call, "", "", 0, operands, f);
  }

  [[nodiscard]] const Json& calls() const { return calls_; }

 private:
  CudaBackend backend_{"simt"};
  DType dtype_ = DType::f32;
  std::string number_;
  Json calls_ = Json::array();
};

void log_conv(Log& log, const std::string& network, const shapes::ConvCase& c) {
  const std::string label = network + "/" + c.name;
  const Operand x = log.of(c.x), w = log.of(c.w), y = log.of(c.y());
  const Conv3dParams p = c.params;
  log.run("conv3d_fprop", label, "fprop_kernel", c.flops(), {x, w, y},
          [p](Backend& k, const Views& v) { k.conv3d_fprop(p, v[0], v[1], v[2], Mode::overwrite); });
  log.run("conv3d_dgrad", label, "dgrad_kernel", c.flops(), {y, w, x},
          [p](Backend& k, const Views& v) { k.conv3d_dgrad(p, v[0], v[1], v[2], Mode::overwrite); });
  log.run("conv3d_wgrad", label, "wgrad_kernel", c.flops(), {x, y, w},
          [p](Backend& k, const Views& v) { k.conv3d_wgrad(p, v[0], v[1], v[2], Mode::overwrite); });
}

void log_norm(Log& log, const std::string& network, const shapes::NormCase& c) {
  const std::string label = network + "/" + c.name;
  const Operand a = log.of({c.rows, c.channels}), s = log.of({c.channels});
  const BatchNormParams p{.eps = 1e-5, .relu = c.relu, .batch_statistics = true};
  // An operand that the case has not is absent, and has no bytes.
  const auto either = [](bool there, const Operand& o) { return there ? o : Operand{{0}, o.dtype}; };
  const Operand mask = either(c.relu, a), residual = either(c.residual, a);
  log.run("batch_norm_forward", label, "", 0, {a, s, s, residual, a, s, s},
          [p](Backend& k, const Views& v) { k.batch_norm_forward(p, v[0], v[1], v[2], v[3], v[4], v[5], v[6]); });
  const auto saved = [](const Views& v) { return BatchNormSaved{v[0], v[1], v[2], v[3], v[4]}; };
  log.run("batch_norm_vjp", label, "", 0, {a, s, s, s, mask, a, a, s, s, residual}, [=](Backend& k, const Views& v) {
    k.batch_norm_vjp(p, saved(v), v[5], {v[6], v[7], v[8], v[9]});
  });
  log.run(
      "batch_norm_jvp", label, "", 0, {a, s, s, s, mask, a, s, s, residual, a, s, s},
      [=](Backend& k, const Views& v) { k.batch_norm_jvp(p, saved(v), v[5], v[6], v[7], v[8], v[9], v[10], v[11]); });
  log.run("batch_norm_vjp_dot", label, "", 0, {a, s, s, s, mask, a, s, s, s, a, a, a, s, s, residual},
          [=](Backend& k, const Views& v) {
            k.batch_norm_vjp_dot(p, saved(v), {v[5], v[6], v[7], v[8]}, v[9], v[10], {v[11], v[12], v[13], v[14]});
          });
}

void log_gemm(Log& log, const shapes::GemmCase& c) {
  log.run("gemm", c.name, "gemm_kernel", c.flops(), {log.of(c.a()), log.of(c.b()), log.of(c.c())},
          [c](Backend& k, const Views& v) { k.gemm(c.transpose_a, c.transpose_b, v[0], v[1], v[2], Mode::overwrite); });
}

// On an activation of layer 1.
void log_elementwise(Log& log, const Shape& shape) {
  const Operand a = log.of(shape), channels = log.of({shape.back()});
  log.run("fill", {a}, [](Backend& k, const Views& v) { k.fill(1, v[0]); });
  log.run("scale", {a, a}, [](Backend& k, const Views& v) { k.scale(2, v[0], v[1]); });
  log.run("axpy", {a, a}, [](Backend& k, const Views& v) { k.axpy(2, v[0], v[1]); });
  log.run("add", {a, a, a}, [](Backend& k, const Views& v) { k.add(v[0], v[1], v[2]); });
  log.run("relu", {a, a}, [](Backend& k, const Views& v) { k.relu(v[0], v[1]); });
  log.run("relu_mask", {a, a, a}, [](Backend& k, const Views& v) { k.relu_mask(v[0], v[1], v[2]); });
  log.run("dot", {a, a}, [](Backend& k, const Views& v) { k.dot(v[0], v[1]); });
  log.run("all_finite", {a}, [](Backend& k, const Views& v) { k.all_finite(v[0]); });
  log.run("add_bias", {channels, a}, [](Backend& k, const Views& v) { k.add_bias(v[0], v[1]); });
  log.run("sum_rows", {a, channels}, [](Backend& k, const Views& v) { k.sum_rows(v[0], v[1], Mode::overwrite); });
}

void log_pools(Log& log, const Shape& shape) {
  const PoolParams window{{2, 2, 2}, {2, 2, 2}, {0, 0, 0}};
  const Shape half{shape.n(), shape.d() / 2, shape.h() / 2, shape.w() / 2, shape.c()};
  const Operand x = log.of(shape), y = log.of(half), index{half, DType::i32};
  log.run("max_pool", {x, y, index}, [=](Backend& k, const Views& v) { k.max_pool(window, v[0], v[1], v[2]); });
  log.run("max_pool_gather", {x, index, y}, [](Backend& k, const Views& v) { k.max_pool_gather(v[0], v[1], v[2]); });
  log.run("max_pool_scatter", {y, index, x}, [](Backend& k, const Views& v) { k.max_pool_scatter(v[0], v[1], v[2]); });
  log.run("avg_pool", {x, y}, [=](Backend& k, const Views& v) { k.avg_pool(window, v[0], v[1]); });
  log.run("avg_pool_adjoint", {y, x}, [=](Backend& k, const Views& v) { k.avg_pool_adjoint(window, v[0], v[1]); });
  const PoolParams whole{{2, 7, 7}, {1, 1, 1}, {0, 0, 0}};
  log.run("avg_pool", {log.of({32, 2, 7, 7, 512}), log.of({32, 1, 1, 1, 512})},
          [=](Backend& k, const Views& v) { k.avg_pool(whole, v[0], v[1]); });
}

void log_losses(Log& log) {
  constexpr std::int64_t n = 256, classes = 400, pairs = 1024, anchors = 64, bank = 2048, features = 128;
  const Operand one = log.of({1});
  {
    const Operand logits = log.of({n, classes}), labels{{n}, DType::i64}, lse = log.of({n});
    log.run("cross_entropy_forward", {logits, labels, one, lse},
            [](Backend& k, const Views& v) { k.cross_entropy_forward(v[0], v[1], v[2], v[3]); });
    log.run("cross_entropy_vjp", {logits, labels, lse, one, logits},
            [](Backend& k, const Views& v) { k.cross_entropy_vjp(v[0], v[1], v[2], v[3], v[4]); });
    log.run("cross_entropy_jvp", {logits, labels, lse, logits, one, lse},
            [](Backend& k, const Views& v) { k.cross_entropy_jvp(v[0], v[1], v[2], v[3], v[4], v[5]); });
    log.run(
        "cross_entropy_vjp_dot", {logits, labels, lse, logits, lse, one, one, logits},
        [](Backend& k, const Views& v) { k.cross_entropy_vjp_dot(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]); });
  }
  {
    const Operand x = log.of({pairs});
    log.run("bce_forward", {x, x, one}, [](Backend& k, const Views& v) { k.bce_forward(7, v[0], v[1], v[2]); });
    log.run("bce_vjp", {x, x, one, x}, [](Backend& k, const Views& v) { k.bce_vjp(7, v[0], v[1], v[2], v[3]); });
    log.run("bce_jvp", {x, x, x, one}, [](Backend& k, const Views& v) { k.bce_jvp(7, v[0], v[1], v[2], v[3]); });
    log.run("bce_vjp_dot", {x, x, x, one, one, x},
            [](Backend& k, const Views& v) { k.bce_vjp_dot(7, v[0], v[1], v[2], v[3], v[4], v[5]); });
  }
  const Operand a = log.of({anchors, features}), rows = log.of({anchors}), ids{{anchors}, DType::i64};
  const std::vector<Operand> inputs{a, a, log.of({bank, features}), ids, {{bank}, DType::i64}};
  const auto with = [&](const std::vector<Operand>& more) {
    std::vector<Operand> all = inputs;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  const auto nce = [](const Views& v) { return InfoNceInputs{0.07, v[0], v[1], v[2], v[3], v[4]}; };
  log.run("info_nce_forward", with({one, rows}),
          [=](Backend& k, const Views& v) { k.info_nce_forward(nce(v), v[5], v[6]); });
  log.run("info_nce_vjp", with({rows, one, a, a}),
          [=](Backend& k, const Views& v) { k.info_nce_vjp(nce(v), v[5], v[6], v[7], v[8]); });
  log.run("info_nce_jvp", with({rows, a, a, one, rows}),
          [=](Backend& k, const Views& v) { k.info_nce_jvp(nce(v), v[5], v[6], v[7], v[8], v[9]); });
  log.run("info_nce_vjp_dot", with({rows, a, a, rows, one, one, a, a}), [=](Backend& k, const Views& v) {
    k.info_nce_vjp_dot(nce(v), v[5], v[6], v[7], v[8], v[9], v[10], v[11], v[12]);
  });
}

void log_features(Log& log) {
  constexpr std::int64_t n = 256, paired = 32, bank = 2048, features = 128;
  {
    const Operand x = log.of({n, features}), norm = log.of({n});
    log.run("l2_normalize_forward", {x, x, norm},
            [](Backend& k, const Views& v) { k.l2_normalize_forward(1e-12, v[0], v[1], v[2]); });
    log.run("l2_normalize_vjp", {x, norm, x, x},
            [](Backend& k, const Views& v) { k.l2_normalize_vjp(1e-12, v[0], v[1], v[2], v[3]); });
    log.run("l2_normalize_jvp", {x, norm, x, x, norm},
            [](Backend& k, const Views& v) { k.l2_normalize_jvp(1e-12, v[0], v[1], v[2], v[3], v[4]); });
    log.run("l2_normalize_vjp_dot", {x, norm, x, norm, x, x, x}, [](Backend& k, const Views& v) {
      k.l2_normalize_vjp_dot(1e-12, v[0], v[1], v[2], v[3], v[4], v[5], v[6]);
    });
  }
  {
    const Operand a = log.of({paired, features}), y = log.of({paired * paired, 2 * features});
    log.run("pairing_forward", {a, a, y}, [](Backend& k, const Views& v) { k.pairing_forward(11, v[0], v[1], v[2]); });
    log.run("pairing_vjp", {a, a, y, a, a},
            [](Backend& k, const Views& v) { k.pairing_vjp(11, v[0], v[1], v[2], v[3], v[4]); });
    log.run("pairing_jvp", {a, a, a, a, y},
            [](Backend& k, const Views& v) { k.pairing_jvp(11, v[0], v[1], v[2], v[3], v[4]); });
    log.run("pairing_vjp_dot", {a, a, a, a, y, y, a, a},
            [](Backend& k, const Views& v) { k.pairing_vjp_dot(11, v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]); });
  }
  // Of the bank, the rows that are named.
  const Operand rows{{paired}, DType::i64}, z = log.of({paired, features});
  const Shape whole{bank, features};
  log.run("gather_rows", {z, rows, z}, [whole](Backend& k, const Views& v) {
    k.gather_rows({v[0].data, v[0].dtype, whole}, v[1], v[2]);
  });
  log.run("update_rows", {z, rows, z}, [whole](Backend& k, const Views& v) {
    k.update_rows(0.5, v[0], v[1], {v[2].data, v[2].dtype, whole});
  });
}

// One step over all weights of the network.
void log_optimizers(Log& log, const std::vector<shapes::ConvCase>& convs) {
  const auto of_all = [&](std::size_t lists) {
    std::vector<Operand> all;
    for (std::size_t l = 0; l < lists; ++l)
      for (const shapes::ConvCase& c : convs) all.push_back(log.of(c.w));
    return all;
  };
  const std::size_t n = convs.size();
  const std::vector<double> decay(n, 1e-4);
  const auto reads = [n](const Views& v) {
    return std::vector<ConstView>(v.begin(), v.begin() + static_cast<long>(n));
  };
  const auto list = [n](const Views& v, std::size_t l) { return std::span(v).subspan(l * n, n); };
  log.run("sgd_step", of_all(3),
          [=](Backend& k, const Views& v) { k.sgd_step({}, decay, reads(v), list(v, 1), list(v, 2)); });
  log.run("adamw_step", of_all(4),
          [=](Backend& k, const Views& v) { k.adamw_step({}, decay, reads(v), list(v, 1), list(v, 2), list(v, 3)); });
}

// One view of 8 videos at the default sizes (docs/choices.md), every clip of it blurred.
void log_augment(Log& log) {
  AugmentParams params;
  AugmentClip clip;
  clip.radius = AugmentClip::most_radius;
  for (const bool residual : {false, true}) {
    params.residual = residual;
    const Operand frames{{8, residual ? 32 : 16, params.resize_height, params.resize_width, 3}, DType::u8};
    const Operand y = log.of({8, 16, params.size, params.size, 3});
    log.run("augment", {frames, y},
            [=](Backend& k, const Views& v) { k.augment(params, std::vector<AugmentClip>(8, clip), v[0], v[1]); });
  }
}

Json all_calls() {
  simt::set_dry(true);
  Log log;
  const std::vector<shapes::ConvCase> convs = shapes::r2plus1d_18_convs(4, 16, 112);
  const Shape activation = convs[1].y();
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
    for (const shapes::NormCase& c : shapes::norms_of(convs)) log_norm(log, "r2plus1d_18", c);
    for (const shapes::GemmCase& c : shapes::gemms()) log_gemm(log, c);
    log_elementwise(log, activation);
    log_pools(log, activation);
    log_losses(log);
    log_features(log);
    log_augment(log);
    log_optimizers(log, convs);
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
