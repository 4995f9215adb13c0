// cuDNN as a peer, by its fixed-function calls; a stand-in that has none where the build has no cuDNN.
#include "benchmarks/cuda/peers.h"

#ifdef MCN_HAS_CUDNN

#include <cuda_bf16.h>
#include <cudnn.h>
#include <fmt/format.h>

#include <array>
#include <stdexcept>
#include <type_traits>

#include "kernels/cuda/memory.h"
#include "kernels/dynamic_library.h"

namespace mcn::bench {
namespace {

using cuda::DeviceArray;

// What cuDNN refuses; the comparison goes on without it.
struct CudnnError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The functions under the names of the header.
class Library {
  DynamicLibrary library_{"cudnn", {"libcudnn.so.9", "libcudnn.so"}};

 public:
#define MCN_CUDNN_FUNCTION(name) std::add_pointer_t<decltype(::name)> name = library_.function<decltype(::name)>(#name)
  MCN_CUDNN_FUNCTION(cudnnBatchNormalizationBackward);
  MCN_CUDNN_FUNCTION(cudnnBatchNormalizationForwardTraining);
  MCN_CUDNN_FUNCTION(cudnnConvolutionBackwardData);
  MCN_CUDNN_FUNCTION(cudnnConvolutionBackwardFilter);
  MCN_CUDNN_FUNCTION(cudnnConvolutionForward);
  MCN_CUDNN_FUNCTION(cudnnCreate);
  MCN_CUDNN_FUNCTION(cudnnCreateConvolutionDescriptor);
  MCN_CUDNN_FUNCTION(cudnnCreateFilterDescriptor);
  MCN_CUDNN_FUNCTION(cudnnCreateTensorDescriptor);
  MCN_CUDNN_FUNCTION(cudnnDeriveBNTensorDescriptor);
  MCN_CUDNN_FUNCTION(cudnnDestroy);
  MCN_CUDNN_FUNCTION(cudnnDestroyConvolutionDescriptor);
  MCN_CUDNN_FUNCTION(cudnnDestroyFilterDescriptor);
  MCN_CUDNN_FUNCTION(cudnnDestroyTensorDescriptor);
  MCN_CUDNN_FUNCTION(cudnnFindConvolutionBackwardDataAlgorithmEx);
  MCN_CUDNN_FUNCTION(cudnnFindConvolutionBackwardFilterAlgorithmEx);
  MCN_CUDNN_FUNCTION(cudnnFindConvolutionForwardAlgorithmEx);
  MCN_CUDNN_FUNCTION(cudnnGetErrorString);
  MCN_CUDNN_FUNCTION(cudnnGetVersion);
  MCN_CUDNN_FUNCTION(cudnnSetConvolutionMathType);
  MCN_CUDNN_FUNCTION(cudnnSetConvolutionNdDescriptor);
  MCN_CUDNN_FUNCTION(cudnnSetFilterNdDescriptor);
  MCN_CUDNN_FUNCTION(cudnnSetStream);
  MCN_CUDNN_FUNCTION(cudnnSetTensor4dDescriptor);
  MCN_CUDNN_FUNCTION(cudnnSetTensorNdDescriptorEx);
#undef MCN_CUDNN_FUNCTION
};

// Loaded at the first call, and never closed. DeviceError if there is none.
const Library& library() {
  static const Library& loaded = *new Library;
  return loaded;
}

void check(cudnnStatus_t status, const char* call) {
  if (status != CUDNN_STATUS_SUCCESS)
    throw CudnnError(fmt::format("{}: {}", call, library().cudnnGetErrorString(status)));
}
#define MCN_CUDNN(name, ...) check(library().name(__VA_ARGS__), #name)

// create, destroy: members of Library.
template <class T, auto create, auto destroy>
class Descriptor {
 public:
  Descriptor() { check((library().*create)(&value_), "cudnnCreate...Descriptor"); }
  ~Descriptor() { (void)(library().*destroy)(value_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  operator T() const { return value_; }  // NOLINT(google-explicit-constructor)

 private:
  T value_ = nullptr;
};
using TensorDescriptor =
    Descriptor<cudnnTensorDescriptor_t, &Library::cudnnCreateTensorDescriptor, &Library::cudnnDestroyTensorDescriptor>;
using FilterDescriptor =
    Descriptor<cudnnFilterDescriptor_t, &Library::cudnnCreateFilterDescriptor, &Library::cudnnDestroyFilterDescriptor>;
using ConvDescriptor = Descriptor<cudnnConvolutionDescriptor_t, &Library::cudnnCreateConvolutionDescriptor,
                                  &Library::cudnnDestroyConvolutionDescriptor>;

constexpr float one = 1, zero = 0;
constexpr unsigned threads = 256;

unsigned blocks_for(std::int64_t n) {
  return static_cast<unsigned>(std::min<std::int64_t>(4096, (n + threads - 1) / threads));
}

__global__ void to_bf16_kernel(std::int64_t n, const float* x, __nv_bfloat16* y) {
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    y[i] = __float2bfloat16(x[i]);
}

__global__ void to_float_kernel(std::int64_t n, const __nv_bfloat16* x, float* y) {
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    y[i] = __bfloat162float(x[i]);
}

// A tensor in the peer's type. float32 operands are used where they lie.
class Operand {
 public:
  Operand(cudaStream_t stream, const Shape& shape, Number number, const float* values)
      : stream_(stream),
        numel_(shape.numel()),
        bf16_(number == Number::bf16),
        source_(values),
        own_(stream, bf16_ || values == nullptr ? numel_ * (bf16_ ? 2 : 4) : 1),
        as_float_(stream, bf16_ && values == nullptr ? numel_ : 1) {
    if (bf16_ && values != nullptr)
      cuda::launch<to_bf16_kernel>(stream_, {dim3(blocks_for(numel_)), dim3(threads)}, numel_, values,
                                   reinterpret_cast<__nv_bfloat16*>(own_.get()));
  }

  /// What cuDNN reads or, where there are no values, writes.
  [[nodiscard]] void* get() const {
    return bf16_ || source_ == nullptr ? static_cast<void*>(own_.get()) : const_cast<float*>(source_);
  }
  [[nodiscard]] const float* as_float() const {
    if (!bf16_) return static_cast<const float*>(get());
    cuda::launch<to_float_kernel>(stream_, {dim3(blocks_for(numel_)), dim3(threads)}, numel_,
                                  reinterpret_cast<const __nv_bfloat16*>(own_.get()), as_float_.get());
    return as_float_.get();
  }

 private:
  cudaStream_t stream_;
  std::int64_t numel_;
  bool bf16_;
  const float* source_;
  DeviceArray<unsigned char> own_;
  DeviceArray<float> as_float_;
};

// The fastest of the algorithms that cuDNN has measured.
template <class Result, class Find>
Result fastest(std::size_t workspace_bytes, Number number, Find&& find) {
  std::array<Result, 16> results{};
  int count = 0;
  find(static_cast<int>(results.size()), &count, results.data());
  for (int i = 0; i < count; ++i) {
    const Result& r = results[static_cast<std::size_t>(i)];
    // Left to itself it may take TF32.
    if (r.status == CUDNN_STATUS_SUCCESS && r.memory <= workspace_bytes &&
        (number != Number::fp32 || r.mathType == CUDNN_FMA_MATH))
      return r;
  }
  throw CudnnError("no algorithm");
}

class Conv final : public PeerCall {
 public:
  Conv(cudnnHandle_t handle, cudaStream_t stream, Map map, Number number, const shapes::ConvCase& c, const float* x,
       const float* w, const float* y)
      : handle_(handle),
        map_(map),
        x_(stream, c.x, number, map == Map::dgrad ? nullptr : x),
        w_(stream, c.w, number, map == Map::wgrad ? nullptr : w),
        y_(stream, c.y(), number, map == Map::fprop ? nullptr : y),
        workspace_(stream, workspace_bytes) {
    const cudnnDataType_t type = number == Number::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
    const auto activation = [type](cudnnTensorDescriptor_t descriptor, const Shape& s) {
      const std::array<int, 5> extents{static_cast<int>(s.n()), static_cast<int>(s.c()), static_cast<int>(s.d()),
                                       static_cast<int>(s.h()), static_cast<int>(s.w())};
      MCN_CUDNN(cudnnSetTensorNdDescriptorEx, descriptor, CUDNN_TENSOR_NHWC, type, 5, extents.data());
    };
    activation(x_of_, c.x);
    activation(y_of_, c.y());
    const std::array<int, 5> filter{static_cast<int>(c.w.o()), static_cast<int>(c.w.i()), static_cast<int>(c.w.kd()),
                                    static_cast<int>(c.w.kh()), static_cast<int>(c.w.kw())};
    MCN_CUDNN(cudnnSetFilterNdDescriptor, w_of_, type, CUDNN_TENSOR_NHWC, 5, filter.data());
    std::array<int, 3> padding{}, stride{};
    const std::array<int, 3> dilation{1, 1, 1};
    for (std::size_t a = 0; a < 3; ++a) {
      padding[a] = static_cast<int>(c.params.padding[a]);
      stride[a] = static_cast<int>(c.params.stride[a]);
    }
    MCN_CUDNN(cudnnSetConvolutionNdDescriptor, conv_of_, 3, padding.data(), stride.data(), dilation.data(),
              CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT);
    MCN_CUDNN(cudnnSetConvolutionMathType, conv_of_, number == Number::fp32 ? CUDNN_FMA_MATH : CUDNN_TENSOR_OP_MATH);
    choose(number);
  }

  void run() override {
    switch (map_) {
      case Map::fprop:
        MCN_CUDNN(cudnnConvolutionForward, handle_, &one, x_of_, x_.get(), w_of_, w_.get(), conv_of_, fprop_,
                  workspace_.get(), workspace_bytes, &zero, y_of_, y_.get());
        break;
      case Map::dgrad:
        MCN_CUDNN(cudnnConvolutionBackwardData, handle_, &one, w_of_, w_.get(), y_of_, y_.get(), conv_of_, dgrad_,
                  workspace_.get(), workspace_bytes, &zero, x_of_, x_.get());
        break;
      case Map::wgrad:
        MCN_CUDNN(cudnnConvolutionBackwardFilter, handle_, &one, x_of_, x_.get(), y_of_, y_.get(), conv_of_, wgrad_,
                  workspace_.get(), workspace_bytes, &zero, w_of_, w_.get());
        break;
    }
  }
  const float* result() override { return (map_ == Map::fprop ? y_ : map_ == Map::dgrad ? x_ : w_).as_float(); }

 private:
  static constexpr std::int64_t workspace_bytes = std::int64_t{1} << 30;

  void choose(Number number) {
    switch (map_) {
      case Map::fprop: {
        const auto r =
            fastest<cudnnConvolutionFwdAlgoPerf_t>(workspace_bytes, number, [&](int n, int* count, auto* to) {
              MCN_CUDNN(cudnnFindConvolutionForwardAlgorithmEx, handle_, x_of_, x_.get(), w_of_, w_.get(), conv_of_,
                        y_of_, y_.get(), n, count, to, workspace_.get(), workspace_bytes);
            });
        fprop_ = r.algo;
        MCN_CUDNN(cudnnSetConvolutionMathType, conv_of_, r.mathType);
        break;
      }
      case Map::dgrad: {
        const auto r =
            fastest<cudnnConvolutionBwdDataAlgoPerf_t>(workspace_bytes, number, [&](int n, int* count, auto* to) {
              MCN_CUDNN(cudnnFindConvolutionBackwardDataAlgorithmEx, handle_, w_of_, w_.get(), y_of_, y_.get(),
                        conv_of_, x_of_, x_.get(), n, count, to, workspace_.get(), workspace_bytes);
            });
        dgrad_ = r.algo;
        MCN_CUDNN(cudnnSetConvolutionMathType, conv_of_, r.mathType);
        break;
      }
      case Map::wgrad: {
        const auto r =
            fastest<cudnnConvolutionBwdFilterAlgoPerf_t>(workspace_bytes, number, [&](int n, int* count, auto* to) {
              MCN_CUDNN(cudnnFindConvolutionBackwardFilterAlgorithmEx, handle_, x_of_, x_.get(), y_of_, y_.get(),
                        conv_of_, w_of_, w_.get(), n, count, to, workspace_.get(), workspace_bytes);
            });
        wgrad_ = r.algo;
        MCN_CUDNN(cudnnSetConvolutionMathType, conv_of_, r.mathType);
        break;
      }
    }
  }

  cudnnHandle_t handle_;
  Map map_;
  Operand x_, w_, y_;
  DeviceArray<unsigned char> workspace_;
  TensorDescriptor x_of_, y_of_;
  FilterDescriptor w_of_;
  ConvDescriptor conv_of_;
  cudnnConvolutionFwdAlgo_t fprop_{};
  cudnnConvolutionBwdDataAlgo_t dgrad_{};
  cudnnConvolutionBwdFilterAlgo_t wgrad_{};
};

// Both directions of batch normalisation: rows are the only extent besides the channels.
class Norm : public PeerCall {
 public:
  Norm(cudnnHandle_t handle, cudaStream_t stream, std::int64_t rows, std::int64_t channels, double eps, const float* x,
       const float* gamma)
      : handle_(handle),
        eps_(eps),
        x_(x),
        gamma_(gamma),
        out_(stream, rows * channels),
        first_(stream, channels),
        second_(stream, channels) {
    MCN_CUDNN(cudnnSetTensor4dDescriptor, x_of_, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, 1, static_cast<int>(channels),
              static_cast<int>(rows), 1);
    MCN_CUDNN(cudnnDeriveBNTensorDescriptor, channels_of_, x_of_, mode);
  }
  const float* result() override { return out_.get(); }

 protected:
  static constexpr cudnnBatchNormMode_t mode = CUDNN_BATCHNORM_SPATIAL;

  cudnnHandle_t handle_;
  double eps_;
  const float *x_, *gamma_;
  DeviceArray<float> out_, first_, second_;  // second results: statistics, or the cotangents of gamma and beta
  TensorDescriptor x_of_, channels_of_;
};

class NormForward final : public Norm {
 public:
  NormForward(cudnnHandle_t handle, cudaStream_t stream, std::int64_t rows, std::int64_t channels, double eps,
              const float* x, const float* gamma, const float* beta)
      : Norm(handle, stream, rows, channels, eps, x, gamma), beta_(beta) {}
  void run() override {
    MCN_CUDNN(cudnnBatchNormalizationForwardTraining, handle_, mode, &one, &zero, x_of_, x_, x_of_, out_.get(),
              channels_of_, gamma_, beta_, 1.0, nullptr, nullptr, eps_, first_.get(), second_.get());
  }

 private:
  const float* beta_;
};

class NormVjp final : public Norm {
 public:
  NormVjp(cudnnHandle_t handle, cudaStream_t stream, std::int64_t rows, std::int64_t channels, double eps,
          const float* x, const float* gamma, const float* mean, const float* rstd, const float* y_bar)
      : Norm(handle, stream, rows, channels, eps, x, gamma), mean_(mean), rstd_(rstd), y_bar_(y_bar) {}
  void run() override {
    MCN_CUDNN(cudnnBatchNormalizationBackward, handle_, mode, &one, &zero, &one, &zero, x_of_, x_, x_of_, y_bar_, x_of_,
              out_.get(), channels_of_, gamma_, first_.get(), second_.get(), eps_, mean_, rstd_);
  }

 private:
  const float *mean_, *rstd_, *y_bar_;
};

template <class Make>
std::unique_ptr<PeerCall> unless_refused(const std::string& absent, std::string& why, Make&& make) {
  why = absent;
  if (!absent.empty()) return nullptr;
  try {
    auto call = make();
    call->run();
    return call;
  } catch (const CudnnError& e) {
    why = e.what();
    (void)cudaGetLastError();  // the next launch asks for it, and would be blamed
    return nullptr;
  }
}

}  // namespace

struct Cudnn::Handle {
  cudnnHandle_t handle = nullptr;
  cudaStream_t stream = nullptr;
  std::string why;  // there is none
};

Cudnn::Cudnn(cudaStream_t stream) : handle_(std::make_unique<Handle>()) {
  try {
    MCN_CUDNN(cudnnCreate, &handle_->handle);
    handle_->stream = stream;
    MCN_CUDNN(cudnnSetStream, handle_->handle, stream);
  } catch (const std::runtime_error& e) {
    handle_->why = e.what();
  }
}
Cudnn::~Cudnn() {
  if (handle_->handle != nullptr) (void)library().cudnnDestroy(handle_->handle);
}

std::unique_ptr<PeerCall> Cudnn::conv(Map map, Number number, const shapes::ConvCase& c, const float* x, const float* w,
                                      const float* y, std::string& why) {
  return unless_refused(handle_->why, why, [&] {
    return std::make_unique<Conv>(handle_->handle, handle_->stream, map, number, c, x, w, y);
  });
}

std::unique_ptr<PeerCall> Cudnn::norm_forward(std::int64_t rows, std::int64_t channels, double eps, const float* x,
                                              const float* gamma, const float* beta, std::string& why) {
  return unless_refused(handle_->why, why, [&] {
    return std::make_unique<NormForward>(handle_->handle, handle_->stream, rows, channels, eps, x, gamma, beta);
  });
}

std::unique_ptr<PeerCall> Cudnn::norm_vjp(std::int64_t rows, std::int64_t channels, double eps, const float* x,
                                          const float* gamma, const float* mean, const float* rstd, const float* y_bar,
                                          std::string& why) {
  return unless_refused(handle_->why, why, [&] {
    return std::make_unique<NormVjp>(handle_->handle, handle_->stream, rows, channels, eps, x, gamma, mean, rstd,
                                     y_bar);
  });
}

std::string Cudnn::version() try {
  const std::size_t v = library().cudnnGetVersion();  // 90100 is 9.1.0
  return fmt::format("{}.{}.{}", v / 10000, v % 10000 / 100, v % 100);
} catch (const DeviceError&) {
  return {};
}

}  // namespace mcn::bench

#else

namespace mcn::bench {

struct Cudnn::Handle {};

Cudnn::Cudnn(cudaStream_t) {}
Cudnn::~Cudnn() = default;

std::unique_ptr<PeerCall> Cudnn::conv(Map, Number, const shapes::ConvCase&, const float*, const float*, const float*,
                                      std::string& why) {
  why = "this build has no cuDNN";
  return nullptr;
}
std::unique_ptr<PeerCall> Cudnn::norm_forward(std::int64_t, std::int64_t, double, const float*, const float*,
                                              const float*, std::string& why) {
  why = "this build has no cuDNN";
  return nullptr;
}
std::unique_ptr<PeerCall> Cudnn::norm_vjp(std::int64_t, std::int64_t, double, const float*, const float*, const float*,
                                          const float*, const float*, std::string& why) {
  why = "this build has no cuDNN";
  return nullptr;
}
std::string Cudnn::version() { return {}; }

}  // namespace mcn::bench

#endif
