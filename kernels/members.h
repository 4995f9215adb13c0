// What a structure holds, without a list that somebody keeps by hand.
//
// A structure names its members once, beside them and in their order:
//   struct Pair {
//     Tensor a, b;
//     static auto members(auto& self) { return std::tie(self.a, self.b); }
//   };
// A member that is left out makes the names too small for the structure, which does not compile.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <optional>
#include <ranges>
#include <tuple>
#include <type_traits>

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
inline constexpr std::size_t size_of_named = 0;
template <typename... Members>
inline constexpr std::size_t size_of_named<std::tuple<Members&...>> =
    size_of_structure<std::remove_const_t<Members>...>();

template <typename T>
concept NamesMembers = requires(T& value) {
  T::members(value);
};
template <typename T>
concept HasNone = requires {
  typename T::HasNoMembersToVisit;
};
template <typename T>
concept Optional = requires(T& value) {
  value.has_value();
};

}  // namespace detail

/// True if T::members() names all of T.
template <typename T>
inline constexpr bool names_all_members = detail::size_of_named<decltype(T::members(std::declval<T&>()))> == sizeof(T);

/// Calls visit(leaf) for everything in value whose type is a Leaf, always in the same order. value: a leaf, a structure
/// that names its members, a range or an optional of such, or a number, which holds none. A structure that holds no
/// leaf may say so instead: `using HasNoMembersToVisit = void;`.
template <template <typename> class Leaf, typename T, typename Visit>
void for_each_leaf(T& value, Visit&& visit) {
  using Type = std::remove_const_t<T>;
  if constexpr (Leaf<Type>::value) {
    visit(value);
  } else if constexpr (detail::NamesMembers<Type>) {
    static_assert(names_all_members<Type>, "members() leaves out a member, or names one in another place");
    std::apply([&](auto&... member) { (for_each_leaf<Leaf>(member, visit), ...); }, Type::members(value));
  } else if constexpr (detail::Optional<Type>) {
    if (value) for_each_leaf<Leaf>(*value, visit);
  } else if constexpr (std::ranges::range<Type>) {
    if constexpr (!std::is_arithmetic_v<std::ranges::range_value_t<Type>>)
      for (auto& element : value) for_each_leaf<Leaf>(element, visit);
  } else {
    static_assert(std::is_arithmetic_v<Type> || std::is_enum_v<Type> || detail::HasNone<Type>,
                  "a structure must name its members");
  }
}

}  // namespace mcn
