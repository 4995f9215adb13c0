// Tensor: a shared handle to dense memory on a backend. Activations are NDHWC (kernels/view.h).
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace mcn {

/// A handle; copies share memory. A default-constructed Tensor is absent, which stands for zero wherever a tangent or
/// a cotangent is taken. The backend must outlive its tensors.
class Tensor {
 public:
  Tensor() = default;
  /// Uninitialised. DeviceError when the memory is not to be had.
  Tensor(Backend& backend, DType dtype, const Shape& shape);

  static Tensor full(Backend& backend, DType dtype, const Shape& shape, double value);
  /// values.size() must be shape.numel(); converted to dtype.
  static Tensor from(Backend& backend, DType dtype, const Shape& shape, std::span<const double> values);
  static Tensor from(Backend& backend, DType dtype, const Shape& shape, std::span<const float> values);
  static Tensor from(Backend& backend, std::span<const std::int64_t> values);
  /// Uninitialised, with the backend, dtype and shape of another.
  static Tensor like(const Tensor& other) { return {other.backend(), other.dtype(), other.shape()}; }

  explicit operator bool() const { return storage_ != nullptr; }
  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] DType dtype() const { return dtype_; }
  [[nodiscard]] std::int64_t numel() const { return shape_.numel(); }
  [[nodiscard]] std::size_t bytes() const { return static_cast<std::size_t>(numel()) * size_of(dtype_); }
  [[nodiscard]] Backend& backend() const;

  /// The view that kernels take; one without data if absent. A const Tensor is not written.
  [[nodiscard]] View view();
  [[nodiscard]] ConstView view() const;
  operator View() { return view(); }             // NOLINT(google-explicit-constructor)
  operator ConstView() const { return view(); }  // NOLINT(google-explicit-constructor)

  /// The same memory under another shape with the same number of elements.
  [[nodiscard]] Tensor reshaped(const Shape& shape) const;
  /// Rows [begin, end) of the first axis; shares memory.
  [[nodiscard]] Tensor rows(std::int64_t begin, std::int64_t end) const;
  [[nodiscard]] Tensor clone() const;
  /// True if no other handle shares the memory, so that writing in place is seen by nobody.
  [[nodiscard]] bool unique() const { return storage_.use_count() == 1; }

  /// The only element of a one-element tensor.
  [[nodiscard]] double item() const;
  /// All elements, on the host, as double (exact for f32, f64, i32, u8).
  [[nodiscard]] std::vector<double> to_doubles() const;
  void copy_from(std::span<const double> values);

 private:
  struct Storage;
  std::shared_ptr<Storage> storage_;
  std::size_t offset_ = 0;  // bytes
  DType dtype_ = DType::f32;
  Shape shape_;
};

using Tensors = std::vector<Tensor>;

/// sum + term for tensors that may be absent; writes into sum's memory where nobody else holds it.
Tensor accumulate(Tensor sum, const Tensor& term);

// Vectors of the parameter space: one entry a parameter, absent entries are zero.
/// y += alpha x
void axpy(double alpha, const Tensors& x, Tensors& y);
/// sum over all entries of a b
double dot(const Tensors& a, const Tensors& b);
/// The first entry that holds a NaN or an infinity, if one does.
std::optional<std::size_t> first_not_finite(const Tensors& x);

}  // namespace mcn
