// The comparison: one set of operands for the backend and its peer, verified on the whole result, then timed.
#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <vector>

#include "benchmarks/cuda/comparison.h"
#include "benchmarks/cuda/gpu_timer.h"
#include "benchmarks/cuda/peers.h"
#include "engine/device.h"
#include "kernels/cuda/cuda_backend.h"

namespace mcn::bench {
namespace {

using namespace cuda;  // NOLINT(google-build-using-namespace)

CudaBackend& gpu() { return static_cast<CudaBackend&>(open_device("cuda")); }

/// Value i of a buffer: in [-1, 1), a function of the seed.
__host__ __device__ float value_of(std::uint32_t seed, std::uint32_t i) {
  std::uint32_t h = i * 0x9E3779B1U + seed * 0x85EBCA77U + 0x27D4EB2FU;
  h = (h ^ (h >> 15)) * 0x2C1B3C6DU;
  h = (h ^ (h >> 12)) * 0x297A2D39U;
  h ^= h >> 15;
  return static_cast<float>(h >> 8) / 8388608.0F - 1.0F;
}

__global__ void fill_kernel(std::int64_t n, std::uint32_t seed, float* y) {
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n;
       i += std::int64_t{gridDim.x} * blockDim.x)
    y[i] = value_of(seed, static_cast<std::uint32_t>(i));
}

/// Memory of a backend, with values in [-1, 1) that depend on the seed alone.
class Buffer {
 public:
  Buffer(Backend& backend, const Shape& shape, unsigned seed)
      : backend_(backend), bytes_(static_cast<std::size_t>(shape.numel()) * sizeof(float)) {
    view_ = {backend.allocate(bytes_), DType::f32, shape};
    if (&backend == &gpu()) {
      launch<fill_kernel>(gpu().stream(), {dim3(4096), dim3(256)}, shape.numel(), seed, view_.as<float>());
      return;
    }
    std::vector<float> host(static_cast<std::size_t>(shape.numel()));
    for (std::size_t i = 0; i < host.size(); ++i) host[i] = value_of(seed, static_cast<std::uint32_t>(i));
    backend.copy_from_host(host.data(), view_);
  }
  ~Buffer() { backend_.release(view_.data, bytes_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  [[nodiscard]] const View& view() const { return view_; }
  [[nodiscard]] const float* data() const { return view_.as<float>(); }

 private:
  Backend& backend_;
  std::size_t bytes_;
  View view_;
};

/// Operands by number; the result is the last one.
class Operands {
 public:
  Operands(Backend& backend, const std::vector<Shape>& shapes) {
    for (const Shape& shape : shapes)
      buffers_.push_back(std::make_unique<Buffer>(backend, shape, static_cast<unsigned>(buffers_.size())));
  }
  [[nodiscard]] const View& operator[](std::size_t i) const { return buffers_[i]->view(); }
  [[nodiscard]] const float* data(std::size_t i) const { return buffers_[i]->data(); }
  [[nodiscard]] const View& result() const { return buffers_.back()->view(); }

 private:
  std::vector<std::unique_ptr<Buffer>> buffers_;
};

using Kernel = std::function<void(Backend&, const Operands&, Precision)>;

constexpr const char* name_of(Number number) {
  return number == Number::fp32 ? "fp32" : number == Number::tf32 ? "tf32" : "bf16";
}

Precision precision_of(const Row& row) {
  return row.number == "tf32" ? Precision::tf32 : row.number == "bf16" ? Precision::bf16 : Precision::fp32;
}

// Of the Frobenius norm. float32: sums of up to 10^4 products in two orders. The others: both sides round both factors
// to 11 or 8 significant bits, and cuDNN rounds its BF16 results as well.
constexpr double tolerance_of(Number number) {
  return number == Number::fp32 ? 1e-5 : number == Number::tf32 ? 0x1p-10 : 0x1p-6;
}

class Comparison {
 public:
  Comparison(const Settings& settings, const std::function<void(const Row&)>& done)
      : settings_(settings),
        done_(done),
        l2_bytes_(describe_gpu().l2_bytes),
        timer_(gpu().stream(), l2_bytes_),
        cudnn_(gpu().stream()),
        cublas_(gpu().stream()) {}

  void conv(const std::string& network, const shapes::ConvCase& c) {
    static constexpr std::pair<Map, const char*> maps[] = {
        {Map::fprop, "conv3d_fprop"}, {Map::dgrad, "conv3d_dgrad"}, {Map::wgrad, "conv3d_wgrad"}};
    for (const auto& [map, family] : maps) {
      const Shape out = map == Map::fprop ? c.y() : map == Map::dgrad ? c.x : c.w;
      const std::vector<Shape> shapes{c.x, c.w, c.y(), out};
      const Kernel kernel = [&, which = map](Backend& backend, const Operands& o, Precision precision) {
        Conv3dParams params = c.params;
        params.precision = precision;
        const auto product = [&](std::size_t a, std::size_t b) { return std::array{ConvProduct{o[a], o[b]}}; };
        if (which == Map::fprop)
          backend.run(kernel::Conv3dFprop{.params = params, .products = product(0, 1), .y = o[3]});
        if (which == Map::dgrad)
          backend.run(kernel::Conv3dDgrad{.params = params, .products = product(2, 1), .x_bar = o[3]});
        if (which == Map::wgrad)
          backend.run(kernel::Conv3dWgrad{.params = params, .products = product(0, 2), .w_bar = o[3]});
      };
      std::optional<Operands> operands;
      for (const Number number : {Number::fp32, Number::tf32, Number::bf16}) {
        Row row = row_of(family, network + "/" + c.name, number, c.flops(), {c.x, c.w, c.y()});
        if (!wanted(row)) continue;
        if (!operands) operands.emplace(gpu(), shapes);
        const auto peer =
            cudnn_.conv(map, number, c, operands->data(0), operands->data(1), operands->data(2), row.note);
        compare(row, shapes, *operands, kernel, "cuDNN", peer.get());
      }
    }
  }

  void norm(const std::string& network, const shapes::NormCase& c) {
    const Shape a{c.rows, c.channels}, s{c.channels};
    const BatchNormParams p{.eps = 1e-5, .relu = false, .batch_statistics = true};
    {
      Row row = row_of("batch_norm_forward", network + "/" + c.name, Number::fp32, 0, {a, a});
      if (wanted(row)) {
        const std::vector<Shape> shapes{a, s, s, s, s, a};
        const Operands o(gpu(), shapes);
        const auto peer = cudnn_.norm_forward(c.rows, c.channels, p.eps, o.data(0), o.data(1), o.data(2), row.note);
        compare(
            row, shapes, o, [p](Backend& k, const Operands& v, Precision) { norm_forward(k, p, v); }, "cuDNN",
            peer.get());
      }
    }
    {
      Row row = row_of("batch_norm_vjp", network + "/" + c.name, Number::fp32, 0, {a, a, a});
      if (!wanted(row)) return;
      // x, gamma, beta, mean, rstd, y, y_bar, gamma_bar, beta_bar, x_bar: statistics are those of x.
      const std::vector<Shape> shapes{a, s, s, s, s, a, a, s, s, a};
      const Kernel prepare = [p](Backend& k, const Operands& v, Precision) { norm_forward(k, p, v); };
      const Operands o(gpu(), shapes);
      prepare(gpu(), o, Precision::fp32);
      const auto peer =
          cudnn_.norm_vjp(c.rows, c.channels, p.eps, o.data(0), o.data(1), o.data(3), o.data(4), o.data(6), row.note);
      compare(
          row, shapes, o,
          [p](Backend& k, const Operands& v, Precision) {
            k.run(kernel::BatchNormVjp{.params = p,
                                       .saved = {.x = v[0], .gamma = v[1], .mean = v[3], .rstd = v[4], .y = {}},
                                       .y_bar = v[6],
                                       .bars = {.x = v[9], .gamma = v[7], .beta = v[8], .residual = {}}});
          },
          "cuDNN", peer.get(), prepare);
    }
  }

  void gemm(const shapes::GemmCase& c) {
    Row row = row_of("gemm", c.name, Number::fp32, c.flops(), {c.a(), c.b(), c.c()});
    if (!wanted(row)) return;
    const std::vector<Shape> shapes{c.a(), c.b(), c.c()};
    const Operands o(gpu(), shapes);
    const auto peer = cublas_.gemm(c, o.data(0), o.data(1), row.note);
    compare(
        row, shapes, o,
        [c](Backend& k, const Operands& v, Precision) {
          k.run(kernel::Gemm{
              .transpose_a = c.transpose_a, .transpose_b = c.transpose_b, .a = v[0], .b = v[1], .c = v[2]});
        },
        "cuBLAS", peer.get());
  }

  // Without a peer: PyTorch has no such kernel, nor have the libraries.
  void info_nce(std::int64_t anchors, std::int64_t bank, std::int64_t features) {
    const std::string name = fmt::format("{} anchors, bank of {}", anchors, bank);
    const Shape a{anchors, features};
    const double products =
        2.0 * static_cast<double>(anchors) * static_cast<double>(anchors + bank) * static_cast<double>(features);
    // Anchor, key, bank, loss, cotangent of the loss, second result, first result. Temperature 10: the values are no
    // unit rows.
    const auto inputs = [](const Operands& v) {
      return InfoNceInputs{.temperature = 10, .anchor = v[0], .key = v[1], .bank = v[2], .ids = {}, .bank_ids = {}};
    };
    const auto forward = [inputs](Backend& k, const Operands& v, Precision) {
      k.run(kernel::InfoNceForward{.inputs = inputs(v), .loss = v[3], .lse = v[4]});
    };
    {
      Row row = row_of("info_nce_forward", name, Number::fp32, products, {a, a, {bank, features}});
      const std::vector<Shape> shapes{a, a, {bank, features}, {1}, {anchors}};
      if (wanted(row)) {
        const Operands o(gpu(), shapes);
        compare(row, shapes, o, forward, nullptr, nullptr);
      }
    }
    {
      Row row = row_of("info_nce_vjp", name, Number::fp32, 2 * products, {a, a, {bank, features}, a, a});
      if (!wanted(row)) return;
      const std::vector<Shape> shapes{a, a, {bank, features}, {1}, {anchors}, {1}, a, a};
      const Operands o(gpu(), shapes);
      forward(gpu(), o, Precision::fp32);
      compare(
          row, shapes, o,
          [&](Backend& k, const Operands& v, Precision) {
            k.run(kernel::InfoNceVjp{
                .inputs = inputs(v), .lse = v[4], .loss_bar = v[5], .anchor_bar = v[7], .key_bar = v[6]});
          },
          nullptr, nullptr, forward);
    }
  }

 private:
  // Operands: x, gamma, beta, mean, rstd, y.
  static void norm_forward(Backend& backend, const BatchNormParams& params, const Operands& v) {
    backend.run(kernel::BatchNormForward{.params = params,
                                         .x = v[0],
                                         .gamma = v[1],
                                         .beta = v[2],
                                         .residual = {},
                                         .y = v[5],
                                         .mean = v[3],
                                         .rstd = v[4]});
  }

  static Row row_of(const std::string& family, const std::string& name, Number number, double flops,
                    const std::vector<Shape>& operands) {
    Row row;
    row.family = family;
    row.name = name;
    row.number = name_of(number);
    row.flops = flops;
    for (const Shape& shape : operands) row.bytes += static_cast<double>(shape.numel()) * sizeof(float);
    row.tolerance = tolerance_of(number);
    return row;
  }

  [[nodiscard]] bool wanted(const Row& row) const {
    return (row.family + "/" + row.name + "/" + row.number).find(settings_.filter) != std::string::npos;
  }

  // Without a peer the cpu backend, which is tested against the oracle, says what is right; what would take it minutes
  // is compared with our own kernel in float32, and that with nothing.
  void compare(Row& row, const std::vector<Shape>& shapes, const Operands& operands, const Kernel& kernel,
               const char* peer_name, PeerCall* peer, const Kernel& prepare = nullptr) {
    constexpr double most_flops_on_cpu = 2e10;
    kernel(gpu(), operands, precision_of(row));
    const View& result = operands.result();
    const std::string instead = peer_name == nullptr ? "" : fmt::format(" instead of {}: {}", peer_name, row.note);
    if (peer != nullptr) {
      row.peer = peer_name;
      peer->run();
      row.error = relative_error(result, {peer->result(), DType::f32, result.shape});
    } else if (row.flops > most_flops_on_cpu && row.number == "fp32") {
      row.error = 0;
      row.note = "not verified" + instead;
    } else if (row.flops > most_flops_on_cpu) {
      const Buffer own(gpu(), result.shape, 0);
      gpu().copy(result, own.view());
      kernel(gpu(), operands, Precision::fp32);
      row.error = relative_error(own.view(), result);
      row.note = "own fp32" + instead;
    } else {
      Backend& cpu = open_device("cpu");
      const Operands same(cpu, shapes);
      if (prepare) prepare(cpu, same, Precision::fp32);
      kernel(cpu, same, Precision::fp32);
      std::vector<float> host(static_cast<std::size_t>(result.numel()));
      cpu.copy_to_host(same.result(), host.data());
      const Buffer expected(gpu(), result.shape, 0);
      gpu().copy_from_host(host.data(), expected.view());
      row.error = relative_error(result, expected.view());
      row.note = "cpu" + instead;
    }
    row.ok = row.error <= row.tolerance;
    if (row.ok) {
      row.own_ms = timer_.median_ms(settings_.runs, [&] { kernel(gpu(), operands, precision_of(row)); });
      if (peer != nullptr) row.peer_ms = timer_.median_ms(settings_.runs, [&] { peer->run(); });
    }
    done_(row);
  }

  // |x - y| / |y|; x is overwritten. A NaN in either gives a NaN.
  static double relative_error(const View& x, const ConstView& y) {
    axpy(gpu(), -1, y, x);
    return std::sqrt(dot(gpu(), x, x) / dot(gpu(), y, y));
  }

  Settings settings_;
  std::function<void(const Row&)> done_;
  std::size_t l2_bytes_;
  GpuTimer timer_;
  Cudnn cudnn_;
  Cublas cublas_;
};

}  // namespace

Gpu describe_gpu() {
  (void)gpu();  // says why, where there is none
  Gpu g;
  cudaDeviceProp properties{};
  MCN_CUDA(cudaGetDeviceProperties(&properties, 0));
  g.name = static_cast<const char*>(properties.name);
  g.major = properties.major;
  g.minor = properties.minor;
  g.multiprocessors = properties.multiProcessorCount;
  g.l2_bytes = static_cast<std::size_t>(properties.l2CacheSize);
  int khz = 0;
  MCN_CUDA(cudaDeviceGetAttribute(&khz, cudaDevAttrClockRate, 0));
  g.clock_mhz = khz / 1000;
  MCN_CUDA(cudaDeviceGetAttribute(&khz, cudaDevAttrMemoryClockRate, 0));
  g.memory_clock_mhz = khz / 1000;
  MCN_CUDA(cudaDriverGetVersion(&g.driver));
  MCN_CUDA(cudaRuntimeGetVersion(&g.runtime));
  g.cudnn = Cudnn::version();
  g.cublas = Cublas::version();
  return g;
}

void compare_all(const Settings& settings, const std::function<void(const Row&)>& done) {
  Comparison comparison(settings, done);
  const std::vector<shapes::ConvCase> large = shapes::r2plus1d_18_convs(settings.batch, 16, 112);
  const std::vector<shapes::ConvCase> small = shapes::small_convs();
  for (const shapes::ConvCase& c : large) comparison.conv("r2plus1d_18", c);
  for (const shapes::ConvCase& c : small) comparison.conv("small", c);
  for (const shapes::NormCase& c : shapes::r2plus1d_18_norms(settings.batch, 16, 112))
    comparison.norm("r2plus1d_18", c);
  for (const shapes::NormCase& c : shapes::small_norms()) comparison.norm("small", c);
  comparison.info_nce(2 * settings.batch, 16384, 128);
  for (const shapes::GemmCase& c : shapes::gemms()) comparison.gemm(c);
}

}  // namespace mcn::bench
