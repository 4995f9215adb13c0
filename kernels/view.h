// What a kernel sees of a tensor: a pointer, a type and a shape. No ownership, no engine types.
// Every view is dense and row-major, the last axis contiguous: activations are NDHWC (channels last).
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <numeric>
#include <string>
#include <type_traits>
#include <utility>

#include "kernels/error.h"

namespace mcn {

enum class DType : std::uint8_t { f32, f64, i32, i64, u8 };

constexpr std::size_t size_of(DType t) {
  switch (t) {
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::f64:
    case DType::i64:
      return 8;
    case DType::u8:
      return 1;
  }
  return 0;
}

constexpr const char* name_of(DType t) {
  constexpr std::array names{"f32", "f64", "i32", "i64", "u8"};
  return names[static_cast<std::size_t>(t)];
}

template <class T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<float>() {
  return DType::f32;
}
template <>
constexpr DType dtype_of<double>() {
  return DType::f64;
}
template <>
constexpr DType dtype_of<std::int32_t>() {
  return DType::i32;
}
template <>
constexpr DType dtype_of<std::int64_t>() {
  return DType::i64;
}
template <>
constexpr DType dtype_of<std::uint8_t>() {
  return DType::u8;
}

/// Extents of a tensor, at most five. The axes of an activation are N, D (time), H, W, C, those of a
/// convolution's weight are O (output channels), KD, KH, KW, I (input channels): named here and nowhere else.
class Shape {
 public:
  static constexpr int max_rank = 5;

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> extents) {
    if (extents.size() > max_rank) fail("shape", "at most {} axes, got {}", max_rank, extents.size());
    for (const std::int64_t e : extents) append(e);
  }

  void append(std::int64_t extent) {
    if (rank_ == max_rank) fail("shape", "at most {} axes", max_rank);
    if (extent < 0) fail("shape", "extent must not be negative, got {}", extent);
    extents_[static_cast<std::size_t>(rank_++)] = extent;
  }

  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] std::int64_t operator[](int axis) const { return extents_[static_cast<std::size_t>(axis)]; }
  [[nodiscard]] std::int64_t back() const { return rank_ == 0 ? 1 : extents_[static_cast<std::size_t>(rank_ - 1)]; }
  /// Number of elements; 1 for a scalar (rank 0).
  [[nodiscard]] std::int64_t numel() const {
    std::int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= extents_[static_cast<std::size_t>(i)];
    return n;
  }
  /// Number of rows when the last axis is the row: numel() / back().
  [[nodiscard]] std::int64_t rows() const {
    std::int64_t n = 1;
    for (int i = 0; i + 1 < rank_; ++i) n *= extents_[static_cast<std::size_t>(i)];
    return n;
  }

  // Axes of an activation (rank 5).
  [[nodiscard]] std::int64_t n() const { return extents_[0]; }
  [[nodiscard]] std::int64_t d() const { return extents_[1]; }
  [[nodiscard]] std::int64_t h() const { return extents_[2]; }
  [[nodiscard]] std::int64_t w() const { return extents_[3]; }
  [[nodiscard]] std::int64_t c() const { return extents_[4]; }
  // Axes of a convolution's weight (rank 5).
  [[nodiscard]] std::int64_t o() const { return extents_[0]; }
  [[nodiscard]] std::int64_t kd() const { return extents_[1]; }
  [[nodiscard]] std::int64_t kh() const { return extents_[2]; }
  [[nodiscard]] std::int64_t kw() const { return extents_[3]; }
  [[nodiscard]] std::int64_t i() const { return extents_[4]; }

  [[nodiscard]] std::string str() const {
    std::string s = "(";
    for (int a = 0; a < rank_; ++a) s += (a ? ", " : "") + std::to_string(extents_[static_cast<std::size_t>(a)]);
    return s + ")";
  }

  friend bool operator==(const Shape& a, const Shape& b) {
    if (a.rank_ != b.rank_) return false;
    for (int i = 0; i < a.rank_; ++i)
      if (a[i] != b[i]) return false;
    return true;
  }

 private:
  std::array<std::int64_t, max_rank> extents_{};
  int rank_ = 0;
};

/// A tensor that a kernel reads. data == nullptr means absent, which stands for zero wherever a tangent is taken.
struct ConstView {
  const void* data = nullptr;
  DType dtype = DType::f32;
  Shape shape;

  explicit operator bool() const { return data != nullptr; }
  [[nodiscard]] std::int64_t numel() const { return shape.numel(); }
  /// Typed pointer; null if absent.
  template <class T>
  [[nodiscard]] const T* as() const {
    if (data != nullptr && dtype != dtype_of<T>())
      fail("view", "expected {}, got {}", name_of(dtype_of<T>()), name_of(dtype));
    return static_cast<const T*>(data);
  }
};

/// A tensor that a kernel writes.
struct View {
  void* data = nullptr;
  DType dtype = DType::f32;
  Shape shape;

  explicit operator bool() const { return data != nullptr; }
  operator ConstView() const { return {data, dtype, shape}; }  // NOLINT(google-explicit-constructor)
  [[nodiscard]] std::int64_t numel() const { return shape.numel(); }
  template <class T>
  [[nodiscard]] T* as() const {
    if (data != nullptr && dtype != dtype_of<T>())
      fail("view", "expected {}, got {}", name_of(dtype_of<T>()), name_of(dtype));
    return static_cast<T*>(data);
  }
};

namespace detail {

template <typename T, typename View, typename Own>
concept Becomes = std::convertible_to<T, View> && !std::derived_from<std::remove_cvref_t<T>, Own>;

}  // namespace detail

/// A ConstView that may be absent.
struct OptionalConstView : ConstView {
  OptionalConstView() = default;
  template <detail::Becomes<ConstView, OptionalConstView> T>
  OptionalConstView(T&& x) : ConstView(std::forward<T>(x)) {}  // NOLINT: implicit, and not for its own type
};

/// A View that may be absent: the output is not wanted.
struct OptionalView : View {
  OptionalView() = default;
  template <detail::Becomes<View, OptionalView> T>
  OptionalView(T&& x) : View(std::forward<T>(x)) {}  // NOLINT: implicit, and not for its own type
};

/// What a kernel does with its output.
enum class Mode : std::uint8_t { overwrite, accumulate };

/// Calls f with a value of the C++ type that a floating-point dtype names.
template <class F>
decltype(auto) dispatch_float(DType t, F&& f) {
  switch (t) {
    case DType::f32:
      return f(float{});
    case DType::f64:
      return f(double{});
    default:
      fail("kernels", "expected f32 or f64, got {}", name_of(t));
  }
}

}  // namespace mcn
