// Tensor's memory, views and transfers to and from the host.
#include "engine/tensor.h"

#include <algorithm>

namespace mcn {

struct Tensor::Storage {
  Storage(Backend& owner, std::size_t size) : backend(owner), bytes(size), data(owner.allocate(size)) {}
  ~Storage() { backend.release(data, bytes); }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  Backend& backend;
  std::size_t bytes;
  void* data;
};

namespace {

// Hands f a typed host buffer of the tensor's element type.
template <class F>
decltype(auto) dispatch_any(DType t, F&& f) {
  switch (t) {
    case DType::f32:
      return f(float{});
    case DType::f64:
      return f(double{});
    case DType::i32:
      return f(std::int32_t{});
    case DType::i64:
      return f(std::int64_t{});
    case DType::u8:
      return f(std::uint8_t{});
  }
  fail("tensor", "unknown dtype {}", static_cast<int>(t));
}

template <class From>
void upload(Tensor& to, std::span<const From> values) {
  if (static_cast<std::int64_t>(values.size()) != to.numel())
    fail("tensor", "shape {} needs {} values, got {}", to.shape().str(), to.numel(), values.size());
  dispatch_any(to.dtype(), [&](auto zero) {
    using T = decltype(zero);
    std::vector<T> host(values.size());
    std::transform(values.begin(), values.end(), host.begin(), [](From v) { return static_cast<T>(v); });
    to.backend().copy_from_host(host.data(), to.view());
  });
}

}  // namespace

Tensor::Tensor(Backend& backend, DType dtype, const Shape& shape)
    : storage_(std::make_shared<Storage>(backend, static_cast<std::size_t>(shape.numel()) * size_of(dtype))),
      dtype_(dtype),
      shape_(shape) {}

Tensor Tensor::full(Backend& backend, DType dtype, const Shape& shape, double value) {
  Tensor t(backend, dtype, shape);
  backend.run(kernel::Fill{.value = value, .y = t});
  return t;
}

Tensor Tensor::from(Backend& backend, DType dtype, const Shape& shape, std::span<const double> values) {
  Tensor t(backend, dtype, shape);
  upload(t, values);
  return t;
}

Tensor Tensor::from(Backend& backend, DType dtype, const Shape& shape, std::span<const float> values) {
  Tensor t(backend, dtype, shape);
  if (dtype == DType::f32 && static_cast<std::int64_t>(values.size()) == t.numel())
    backend.copy_from_host(values.data(), t);
  else
    upload(t, values);
  return t;
}

Tensor Tensor::from(Backend& backend, std::span<const std::int64_t> values) {
  Tensor t(backend, DType::i64, {static_cast<std::int64_t>(values.size())});
  backend.copy_from_host(values.data(), t);
  return t;
}

Backend& Tensor::backend() const {
  if (!storage_) fail("tensor", "expected a tensor, got an absent one");
  return storage_->backend;
}

View Tensor::view() {
  if (!storage_) return {nullptr, dtype_, shape_};
  return {static_cast<std::byte*>(storage_->data) + offset_, dtype_, shape_};
}

ConstView Tensor::view() const {
  if (!storage_) return {nullptr, dtype_, shape_};
  return {static_cast<const std::byte*>(storage_->data) + offset_, dtype_, shape_};
}

Tensor Tensor::reshaped(const Shape& shape) const {
  if (shape.numel() != numel()) fail("tensor", "cannot view shape {} as {}", shape_.str(), shape.str());
  Tensor t = *this;
  t.shape_ = shape;
  return t;
}

Tensor Tensor::rows(std::int64_t begin, std::int64_t end) const {
  if (shape_.rank() == 0 || begin < 0 || end < begin || end > shape_[0])
    fail("tensor", "rows [{}, {}) are not in shape {}", begin, end, shape_.str());
  Tensor t = *this;
  Shape shape{end - begin};
  std::int64_t row = 1;
  for (int axis = 1; axis < shape_.rank(); ++axis) {
    shape.append(shape_[axis]);
    row *= shape_[axis];
  }
  t.shape_ = shape;
  t.offset_ += static_cast<std::size_t>(begin * row) * size_of(dtype_);
  return t;
}

Tensor Tensor::clone() const {
  if (!storage_) return {};
  Tensor t = like(*this);
  backend().copy(view(), t);
  return t;
}

double Tensor::item() const {
  if (numel() != 1) fail("tensor", "item() needs one element, shape is {}", shape_.str());
  return to_doubles().front();
}

std::vector<double> Tensor::to_doubles() const {
  return dispatch_any(dtype_, [&](auto zero) {
    std::vector<decltype(zero)> host(static_cast<std::size_t>(numel()));
    backend().copy_to_host(view(), host.data());
    return std::vector<double>(host.begin(), host.end());
  });
}

void Tensor::copy_from(std::span<const double> values) { upload(*this, values); }

Tensor accumulate(Tensor sum, const Tensor& term) {
  if (!sum) return term;
  if (!term) return sum;
  if (sum.shape() != term.shape()) fail("tensor", "cannot add {} to {}", term.shape().str(), sum.shape().str());
  Backend& backend = sum.backend();
  if (sum.unique()) {
    mcn::axpy(backend, 1.0, term, sum);
    return sum;
  }
  Tensor out = Tensor::like(sum);
  backend.run(kernel::Add{.a = sum, .b = term, .y = out});
  return out;
}

namespace {

// Of the first tensor that is there; null if none is.
Backend* backend_of(const Tensors& x) {
  for (const Tensor& t : x)
    if (t) return &t.backend();
  return nullptr;
}

}  // namespace

void axpy(double alpha, const Tensors& x, Tensors& y) {
  if (x.size() != y.size()) fail("tensor", "lists of {} and {} tensors", x.size(), y.size());
  std::vector<ConstView> from;
  std::vector<View> to;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (!x[i]) continue;
    if (!y[i]) y[i] = Tensor::full(x[i].backend(), x[i].dtype(), x[i].shape(), 0);
    if (!y[i].unique()) y[i] = y[i].clone();
    from.push_back(x[i]);
    to.push_back(y[i]);
  }
  Backend* backend = backend_of(x);
  if (backend != nullptr) backend->run(kernel::Axpy{.alpha = alpha, .x = from, .y = to});
}

double dot(const Tensors& a, const Tensors& b) {
  if (a.size() != b.size()) fail("tensor", "lists of {} and {} tensors", a.size(), b.size());
  std::vector<ConstView> left, right;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i] && b[i]) {
      left.push_back(a[i]);
      right.push_back(b[i]);
    }
  Backend* backend = backend_of(a);
  return backend == nullptr ? 0 : backend->run(kernel::Dot{.a = left, .b = right});
}

std::optional<std::size_t> first_not_finite(const Tensors& x) {
  std::vector<ConstView> all;
  for (const Tensor& t : x)
    if (t) all.push_back(t);
  Backend* backend = backend_of(x);
  if (backend == nullptr || backend->run(kernel::AllFinite{.x = all})) return {};
  for (std::size_t i = 0; i < x.size(); ++i)
    if (x[i] && !mcn::all_finite(*backend, x[i])) return i;
  return {};
}

}  // namespace mcn
