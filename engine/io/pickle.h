// Python's pickle format, read as data: what a file asks to call is recorded, and never called.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace mcn::pickle {

/// Index of a value in Pickle::values. Values refer to each other in any way, also in circles.
using Ref = std::uint32_t;

struct None {};
/// A class or function, "module.name".
struct Global {
  std::string name;
};
/// An object that Python would make by calling a Global with a Tuple of arguments.
struct Call {
  Ref function = 0, arguments = 0;
};
/// An object that lies outside of the pickle; id is any value.
struct PersistentId {
  Ref id = 0;
};
struct Tuple {
  std::vector<Ref> items;
};
struct List {
  std::vector<Ref> items;
};
/// Also a collections.OrderedDict. In the order of the file; a key may occur twice.
struct Dict {
  std::vector<std::pair<Ref, Ref>> items;
};

using Value =
    std::variant<None, bool, std::int64_t, double, std::string, Tuple, List, Dict, Global, Call, PersistentId>;

struct Pickle {
  std::vector<Value> values;
  Ref root = 0;

  [[nodiscard]] const Value& operator[](Ref ref) const { return values[ref]; }
  /// The value if it is a T, else null.
  template <class T>
  [[nodiscard]] const T* get(Ref ref) const {
    return std::get_if<T>(&values[ref]);
  }
};

/// Reads one pickle of protocol 2 to 5. `allowed` says which globals ("module.name") may occur.
/// DataError "[pickle] WHERE: ..." for other globals, by name; for opcodes that state dicts do not need; for what is
/// cut off or malformed; and for more than 4 million values. Takes memory in proportion to the bytes, and no recursion.
Pickle parse(std::span<const std::byte> bytes, std::string_view where,
             const std::function<bool(std::string_view global)>& allowed);

}  // namespace mcn::pickle
