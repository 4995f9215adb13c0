// Updates of whole lists of parameters: the optimisers' and y += alpha x.
#include <array>
#include <cmath>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/device/tensor_list.h"

namespace mcn::MCN_DEVICE_NAMESPACE {
namespace {

// One parameter: its own tensor is state[0], then come the optimiser's.
template <class T, int states>
struct Entry {
  const T* gradient;
  T* state[states];
  std::int64_t size;
  T decay;
};

template <class Update>
struct Table {
  Update update;
  TensorList<Entry<typename Update::Value, Update::states>> list = {};
};

template <class Update>
__global__ void __launch_bounds__(list_block_threads) update_list_kernel(Table<Update> table) {
  using T = typename Update::Value;
  constexpr int states = Update::states;
  constexpr int elements_of_thread = list_elements_of_thread;
  const int e = entry_of_block(table.list);
  const auto& entry = table.list.entries[e];
  const std::int64_t first = first_element_of(table.list, e);
  // Everything is read before the first store, so that all reads are under way together.
  T gradient[elements_of_thread], state[elements_of_thread][states];
#pragma unroll
  for (int j = 0; j < elements_of_thread; ++j) {
    const std::int64_t i = first + j * list_block_threads;
    const bool inside = i < entry.size;
    gradient[j] = inside ? entry.gradient[i] : T{0};
#pragma unroll
    for (int s = 0; s < states; ++s) state[j][s] = inside ? entry.state[s][i] : T{0};
  }
#pragma unroll
  for (int j = 0; j < elements_of_thread; ++j) {
    const std::int64_t i = first + j * list_block_threads;
    table.update(entry.decay, gradient[j], state[j]);
    if (i >= entry.size) continue;
#pragma unroll
    for (int s = 0; s < states; ++s) entry.state[s][i] = state[j][s];
  }
}

// state: y. The "gradient" is x.
template <class T>
struct AxpyUpdate {
  using Value = T;
  static constexpr int states = 1;
  T alpha;

  [[nodiscard]] T decay(double) const { return T{0}; }
  __device__ void operator()(T, T x, T (&state)[states]) const { state[0] += alpha * x; }
};

// state: the parameter and its momentum buffer.
template <class T>
struct SgdUpdate {
  using Value = T;
  static constexpr int states = 2;
  T lr, momentum;

  explicit SgdUpdate(const SgdParams& params)
      : lr(static_cast<T>(params.lr)), momentum(static_cast<T>(params.momentum)) {}

  [[nodiscard]] T decay(double weight_decay) const { return static_cast<T>(weight_decay); }

  __device__ void operator()(T decay, T gradient, T (&state)[states]) const {
    state[1] = momentum * state[1] + (gradient + decay * state[0]);
    state[0] -= lr * state[1];
  }
};

// state: the parameter and its two moments. The decay is what is kept of the parameter.
template <class T>
struct AdamWUpdate {
  using Value = T;
  static constexpr int states = 3;
  double lr;
  T beta1, beta2, rest1, rest2, rate, correction, eps;

  explicit AdamWUpdate(const AdamWParams& params)
      : lr(params.lr),
        beta1(static_cast<T>(params.beta1)),
        beta2(static_cast<T>(params.beta2)),
        rest1(static_cast<T>(1 - params.beta1)),
        rest2(static_cast<T>(1 - params.beta2)),
        rate(static_cast<T>(params.lr / (1 - std::pow(params.beta1, static_cast<double>(params.step))))),
        correction(static_cast<T>(1 / std::sqrt(1 - std::pow(params.beta2, static_cast<double>(params.step))))),
        eps(static_cast<T>(params.eps)) {}

  [[nodiscard]] T decay(double weight_decay) const { return static_cast<T>(1 - lr * weight_decay); }

  __device__ void operator()(T keep, T gradient, T (&state)[states]) const {
    state[1] = beta1 * state[1] + rest1 * gradient;
    state[2] = beta2 * state[2] + rest2 * (gradient * gradient);
    state[0] = keep * state[0] - rate * state[1] / (sqrt(state[2]) * correction + eps);
  }
};

// Takes parameters of type T from the front of `parameters[begin...]`, as many as a launch has room for; returns the
// first that it has not taken.
template <class Update>
std::size_t step_some(cudaStream_t stream, const Update& update, std::size_t begin,
                      std::span<const double> weight_decay, std::span<const ConstView> gradients,
                      const std::array<std::span<const View>, Update::states>& states) {
  using T = typename Update::Value;
  // What a kernel's arguments may take on every GPU.
  static_assert(sizeof(Table<Update>) <= 4096);
  Table<Update> table{update};
  std::size_t i = begin;
  for (; i < gradients.size() && !table.list.full(); ++i) {
    if (states[0][i].dtype != dtype_of<T>()) break;
    if (states[0][i].numel() == 0) continue;
    Entry<T, Update::states> entry{
        gradients[i].as<T>(), {}, states[0][i].numel(), update.decay(weight_decay.empty() ? 0 : weight_decay[i])};
    for (std::size_t s = 0; s < Update::states; ++s) entry.state[s] = states[s][i].template as<T>();
    table.list.add(entry);
  }
  if (table.list.count > 0)
    launch<update_list_kernel<Update>>(stream, {dim3(table.list.blocks()), dim3(list_block_threads)}, table);
  return i;
}

}  // namespace

template <>
void CudaBackend::compute(const kernel::Axpy& k) {
  for (std::size_t i = 0; i < k.y.size();)
    i = dispatch_float(k.y[i].dtype, [&]<class T>(T) {
      return step_some(stream(), AxpyUpdate<T>{static_cast<T>(k.alpha)}, i, {}, k.x, {k.y});
    });
}

template <>
void CudaBackend::compute(const kernel::SgdStep& k) {
  for (std::size_t i = 0; i < k.parameters.size();)
    i = dispatch_float(k.parameters[i].dtype, [&]<class T>(T) {
      return step_some(stream(), SgdUpdate<T>(k.params), i, k.weight_decay, k.gradients, {k.parameters, k.buffers});
    });
}

template <>
void CudaBackend::compute(const kernel::AdamWStep& k) {
  for (std::size_t i = 0; i < k.parameters.size();)
    i = dispatch_float(k.parameters[i].dtype, [&]<class T>(T) {
      return step_some(stream(), AdamWUpdate<T>(k.params), i, k.weight_decay, k.gradients,
                       {k.parameters, k.first_moments, k.second_moments});
    });
}

}  // namespace mcn::MCN_DEVICE_NAMESPACE
