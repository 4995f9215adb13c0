// What every kernel is made of. A kernel is a structure of its arguments:
//   struct Scale {
//     static constexpr std::string_view name = "scale";
//     double alpha = 1;
//     ConstView x;
//     View y;
//     static auto members(auto& k) { return std::tie(k.alpha, k.x, k.y); }
//   };
// kernels/list.h lists them all; a backend computes each (kernels/backend.h).
#pragma once

#include <optional>
#include <string_view>
#include <tuple>
#include <vector>

#include "kernels/members.h"
#include "kernels/view.h"

namespace mcn {

namespace detail {

template <typename K>
struct ResultOf {
  using Type = void;
};
template <typename K>
requires requires { typename K::Result; }
struct ResultOf<K> {
  using Type = typename K::Result;
};

}  // namespace detail

/// What a kernel returns to the host: K::Result, or nothing.
template <typename K>
using ResultOf = typename detail::ResultOf<K>::Type;

template <typename T>
struct IsView : std::bool_constant<std::derived_from<T, ConstView> || std::derived_from<T, View>> {};

/// Calls visit(view) for every view among a kernel's arguments; views are ConstView, View and their optional forms.
template <typename K, typename Visit>
void for_each_view(K& kernel, Visit&& visit) {
  for_each_leaf<IsView>(kernel, visit);
}

namespace detail {

template <typename T>
inline constexpr bool is_optional = std::same_as<T, OptionalConstView> || std::same_as<T, OptionalView>;

// Looks at a kernel's arguments one after the other.
class ArgumentCheck {
 public:
  explicit ArgumentCheck(std::string_view kernel) : kernel_(kernel) {}

  template <typename T>
  void operator()(const T& value) {
    if constexpr (IsView<T>::value) {
      ++position_;
      expect_there(value, is_optional<T>);
      expect_dtype(value, dtype_);
    } else if constexpr (NamesMembers<T>) {
      static_assert(names_all_members<T>, "members() leaves out a member, or names one in another place");
      std::apply([&](const auto&... member) { ((*this)(member), ...); }, T::members(value));
    } else if constexpr (std::ranges::range<T>) {
      if constexpr (IsView<std::ranges::range_value_t<T>>::value)
        expect_list(value);
      else if constexpr (NamesMembers<std::ranges::range_value_t<T>>)
        for (const auto& element : value) (*this)(element);
    }
  }

 private:
  void expect_there(const ConstView& view, bool optional) const {
    if (!view && !optional && view.numel() > 0)
      fail(kernel_, "argument {} of shape {} is absent", position_, view.shape.str());
  }
  void expect_dtype(const ConstView& view, std::optional<DType>& expected) const {
    if (!view || (view.dtype != DType::f32 && view.dtype != DType::f64)) return;
    if (!expected) expected = view.dtype;
    if (view.dtype != *expected)
      fail(kernel_, "argument {} is {}, expected {}", position_, name_of(view.dtype), name_of(*expected));
  }
  // Entries of the same number belong together; two entries of a list may differ in dtype.
  void expect_list(const auto& list) {
    ++position_;
    if (dtypes_.empty()) dtypes_.resize(list.size());
    if (list.size() != dtypes_.size())
      fail(kernel_, "argument {} has {} entries, expected {}", position_, list.size(), dtypes_.size());
    for (std::size_t i = 0; i < list.size(); ++i) {
      expect_there(list[i], is_optional<std::ranges::range_value_t<decltype(list)>>);
      expect_dtype(list[i], dtypes_[i]);
    }
  }

  std::string_view kernel_;
  int position_ = 0;
  std::optional<DType> dtype_;
  std::vector<std::optional<DType>> dtypes_;
};

}  // namespace detail

/// UsageError unless every argument that must be there is, all of floating point have one dtype, and all lists have one
/// length.
template <typename K>
void check_arguments(const K& kernel) {
  detail::ArgumentCheck check(K::name);
  check(kernel);
}

}  // namespace mcn
