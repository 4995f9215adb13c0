// The tensors in a structure, without a list of them that somebody keeps by hand.
//
// A structure that holds tensors names its members once, beside them and in their order:
//   struct Pair {
//     Tensor a, b;
//     static auto members(auto& self) { return std::tie(self.a, self.b); }
//   };
// A member that is left out makes the names too small for the structure, which does not compile.
#pragma once

#include <algorithm>
#include <concepts>
#include <optional>
#include <ranges>
#include <tuple>
#include <type_traits>

#include "engine/tensor.h"

namespace mcn {

namespace detail {

// The size of a structure with these members alone, in this order.
template <typename... Members>
constexpr std::size_t size_of_structure() {
  std::size_t size = 0, alignment = 1;
  const auto round_up = [&size](std::size_t to) { size = (size + to - 1) / to * to; };
  const auto add = [&](std::size_t bytes, std::size_t aligned) {
    round_up(aligned);
    size += bytes;
    alignment = std::max(alignment, aligned);
  };
  (add(sizeof(Members), alignof(Members)), ...);
  round_up(alignment);
  return size;
}

template <typename Names>
constexpr std::size_t size_of_named = 0;
template <typename... Members>
constexpr std::size_t size_of_named<std::tuple<Members&...>> = size_of_structure<std::remove_const_t<Members>...>();

template <typename T>
concept NamesMembers = requires(T& value) {
  T::members(value);
};
template <typename T>
concept Optional = requires(T& value) {
  value.has_value();
};

}  // namespace detail

/// Calls visit(tensor) for every tensor in value, always in the same order, and for absent tensors too. value: a
/// tensor, a structure that names its members, or a range or an optional of such. Numbers hold none.
template <typename T, typename Visit>
void for_each_tensor(T& value, Visit&& visit) {
  using Type = std::remove_const_t<T>;
  if constexpr (std::same_as<Type, Tensor>) {
    visit(value);
  } else if constexpr (detail::NamesMembers<Type>) {
    const auto named = Type::members(value);
    static_assert(detail::size_of_named<std::remove_const_t<decltype(named)>> == sizeof(Type),
                  "members() leaves out a member, or names one in another place");
    std::apply([&](auto&... member) { (for_each_tensor(member, visit), ...); }, named);
  } else if constexpr (detail::Optional<Type>) {
    if (value) for_each_tensor(*value, visit);
  } else if constexpr (std::ranges::range<Type>) {
    for (auto& element : value) for_each_tensor(element, visit);
  } else {
    static_assert(std::is_arithmetic_v<Type> || std::is_enum_v<Type>, "a structure must name its members");
  }
}

/// The tensors in value, as for_each_tensor() meets them.
template <typename T>
Tensors tensors_in(const T& value) {
  Tensors all;
  for_each_tensor(value, [&](const Tensor& t) { all.push_back(t); });
  return all;
}

}  // namespace mcn
