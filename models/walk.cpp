// A pass over a model on a backend that computes nothing and says which kernels were asked for.
#include "models/walk.h"

#include <map>

namespace mcn {
namespace {

class Walker final : public ComputesKernels<Walker> {
 public:
  explicit Walker(const LayerVisitor& visitor) : ComputesKernels("walk"), visitor_(visitor) {}

  void copy_from_host(const void*, View) override {}
  void copy_to_host(ConstView, void*) override {}
  void copy(ConstView, View) override {}

  /// The name of the parameter in this memory, from now on.
  void name(const ConstView& parameter, const std::string& spec_name) {
    names_[parameter.data] = spec_name.substr(0, spec_name.rfind('.'));
  }

  template <typename K>
  ResultOf<K> compute(const K& k) {
    see(k);
    return ResultOf<K>();
  }

 protected:
  // Places of their own, which nothing reads or writes.
  void* allocate_impl(std::size_t bytes) override {
    constexpr std::uintptr_t alignment = 64;
    const std::uintptr_t place = next_;
    next_ += (bytes / alignment + 1) * alignment;
    return reinterpret_cast<void*>(place);  // NOLINT(performance-no-int-to-ptr)
  }
  void release_impl(void*, std::size_t) noexcept override {}

 private:
  template <typename K>
  void see(const K&) {}
  void see(const kernel::Conv3dFprop& k) {
    const ConvProduct& p = k.products.front();
    if (visitor_.conv) visitor_.conv({names_.at(p.b.data), p.a.shape, p.b.shape, k.y.shape, k.params});
  }
  void see(const kernel::BatchNormForward& k) {
    if (visitor_.norm)
      visitor_.norm({names_.at(k.gamma.data), k.x.shape, k.params.relu, static_cast<bool>(k.residual)});
  }
  void see(const kernel::Gemm& k) {
    if (visitor_.linear) visitor_.linear({names_.at(k.b.data), k.a.shape, k.b.shape});
  }

  const LayerVisitor& visitor_;
  std::map<const void*, std::string> names_;
  std::uintptr_t next_ = 64;
};

}  // namespace

void walk(const Backbone& model, const Shape& clip, const LayerVisitor& visitor) {
  Walker walker(visitor);
  Tape tape;
  std::vector<Var> theta;
  for (const ParameterSpec& spec : model.parameters()) {
    const Tensor value(walker, DType::f32, spec.shape);
    walker.name(value, spec.name);
    theta.push_back(tape.constant(value));
  }
  const Var x = tape.constant(Tensor(walker, DType::f32, clip));
  if (model.classifier())
    model.logits(tape, theta, x);
  else
    model.pooled(tape, theta, x);
}

double multiply_accumulates(const Backbone& model, const Shape& clip) {
  double total = 0;
  const auto add = [&](const Shape& y, const Shape& w) {
    const std::int64_t each = w.numel() / w[0];
    total += static_cast<double>(y.numel()) * static_cast<double>(each);
  };
  walk(model, clip,
       {.conv = [&](const ConvLayer& layer) { add(layer.y, layer.w); },
        .linear =
            [&](const LinearLayer& layer) {
              add({layer.x[0], layer.w[0]}, layer.w);
            }});
  return total;
}

}  // namespace mcn
