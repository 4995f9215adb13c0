// The pickle machine: a stack, marks in it, a memo, and the opcodes that torch.save writes.
#include "engine/io/pickle.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <unordered_map>

#include "kernels/error.h"

namespace mcn::pickle {
namespace {

constexpr std::size_t max_values = 4'000'000;
constexpr const char* ordered_dict = "collections.OrderedDict";

// Names as in Python's pickletools.
enum Op : std::uint8_t {
  mark = '(',
  stop = '.',
  none = 'N',
  new_true = 0x88,
  new_false = 0x89,
  bin_int = 'J',
  bin_int1 = 'K',
  bin_int2 = 'M',
  long1 = 0x8A,
  bin_float = 'G',
  short_bin_string = 'U',
  bin_unicode = 'X',
  short_bin_unicode = 0x8C,
  bin_unicode8 = 0x8D,
  empty_tuple = ')',
  tuple = 't',
  tuple1 = 0x85,
  tuple2 = 0x86,
  tuple3 = 0x87,
  empty_list = ']',
  append = 'a',
  appends = 'e',
  empty_dict = '}',
  set_item = 's',
  set_items = 'u',
  bin_put = 'q',
  long_bin_put = 'r',
  memoize = 0x94,
  bin_get = 'h',
  long_bin_get = 'j',
  global = 'c',
  stack_global = 0x93,
  reduce = 'R',
  build = 'b',
  bin_persistent_id = 'Q',
  proto = 0x80,
  frame = 0x95,
};

class Machine {
 public:
  Machine(std::span<const std::byte> bytes, std::string_view where,
          const std::function<bool(std::string_view)>& allowed)
      : bytes_(bytes), where_(where), allowed_(allowed) {}

  Pickle run() {
    while (!done_) step(number<std::uint8_t>());
    return std::move(pickle_);
  }

 private:
  template <class... Args>
  [[noreturn]] void bad(fmt::format_string<Args...> format, Args&&... args) const {
    fail<DataError>("pickle", "{}: {} (at byte {})", where_, fmt::format(format, std::forward<Args>(args)...), at_);
  }

  std::span<const std::byte> take(std::uint64_t count) {
    if (count > bytes_.size() - at_) bad("{} more bytes expected, {} are left", count, bytes_.size() - at_);
    const auto taken = bytes_.subspan(at_, count);
    at_ += count;
    return taken;
  }

  template <class T>
  T number() {
    static_assert(std::endian::native == std::endian::little);
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }

  std::string text(std::uint64_t length) {
    const auto taken = take(length);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }

  std::string line() {
    const auto rest = bytes_.subspan(at_);
    const auto end = std::ranges::find(rest, std::byte{'\n'});
    if (end == rest.end()) bad("a line does not end");
    std::string found = text(static_cast<std::uint64_t>(end - rest.begin()));
    ++at_;
    return found;
  }

  void push(Value value) {
    if (pickle_.values.size() == max_values) bad("more than {} values", max_values);
    pickle_.values.push_back(std::move(value));
    stack_.push_back(static_cast<Ref>(pickle_.values.size() - 1));
  }

  // What lies below a mark is out of reach until the mark is gone.
  [[nodiscard]] std::size_t depth() const { return stack_.size() - (marks_.empty() ? 0 : marks_.back()); }

  Ref top() const {
    if (depth() == 0) bad("the stack is empty");
    return stack_.back();
  }

  Ref take_top() {
    const Ref ref = top();
    stack_.pop_back();
    return ref;
  }

  std::vector<Ref> take_last(std::size_t count) {
    if (depth() < count) bad("{} values expected on the stack, {} are there", count, depth());
    std::vector<Ref> items(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return items;
  }

  std::vector<Ref> take_to_mark() {
    if (marks_.empty()) bad("there is no mark");
    std::vector<Ref> items = take_last(depth());
    marks_.pop_back();
    return items;
  }

  template <class T>
  T& top_as(const char* name) {
    T* const found = std::get_if<T>(&pickle_.values[top()]);
    if (found == nullptr) bad("expected a {}", name);
    return *found;
  }

  const std::string& string_of(Ref ref) const {
    const auto* found = pickle_.get<std::string>(ref);
    if (found == nullptr) bad("expected text");
    return *found;
  }

  void put(std::uint32_t key) { memo_[key] = top(); }

  void get(std::uint32_t key) {
    const auto found = memo_.find(key);
    if (found == memo_.end()) bad("nothing was kept as {}", key);
    stack_.push_back(found->second);
  }

  void push_global(const std::string& module, const std::string& name) {
    std::string full = module + "." + name;
    if (!allowed_(full))
      fail<DataError>("pickle", "{}: holds an object of {}, which is not part of a state dict; nothing of it was run",
                      where_, full.substr(0, 100));
    push(Global{std::move(full)});
  }

  void call() {
    const Ref arguments = take_top();
    const Ref function = take_top();
    const auto* tuple_of = pickle_.get<Tuple>(arguments);
    const auto* name = pickle_.get<Global>(function);
    if (tuple_of == nullptr || name == nullptr) bad("expected a call of a global with a tuple");
    if (name->name == ordered_dict) {
      if (!tuple_of->items.empty()) bad("an OrderedDict with arguments is not supported");
      push(Dict{});
    } else {
      push(Call{function, arguments});
    }
  }

  void add_items(const std::vector<Ref>& items) {
    if (items.size() % 2 != 0) bad("a key without a value");
    auto& dict = top_as<Dict>("dict");
    for (std::size_t i = 0; i < items.size(); i += 2) dict.items.emplace_back(items[i], items[i + 1]);
  }

  void append_items(const std::vector<Ref>& items) {
    auto& list = top_as<List>("list");
    list.items.insert(list.items.end(), items.begin(), items.end());
  }

  void push_long() {
    const auto taken = take(number<std::uint8_t>());
    if (taken.size() > sizeof(std::int64_t)) bad("an integer of {} bytes, at most 8 are read", taken.size());
    const bool negative = !taken.empty() && (std::to_integer<int>(taken.back()) & 0x80) != 0;
    std::int64_t value = negative ? -1 : 0;
    std::memcpy(&value, taken.data(), taken.size());
    push(value);
  }

  void push_float() {  // big-endian
    push(std::bit_cast<double>(__builtin_bswap64(number<std::uint64_t>())));
  }

  void step(std::uint8_t op) {
    switch (op) {
      case proto:
        if (const auto version = number<std::uint8_t>(); version < 2 || version > 5)
          bad("protocol {}, expected 2 to 5", version);
        return;
      case frame:
        take(sizeof(std::uint64_t));
        return;
      case mark:
        marks_.push_back(stack_.size());
        return;
      case none:
        return push(None{});
      case new_true:
        return push(true);
      case new_false:
        return push(false);
      case bin_int:
        return push(std::int64_t{number<std::int32_t>()});
      case bin_int1:
        return push(std::int64_t{number<std::uint8_t>()});
      case bin_int2:
        return push(std::int64_t{number<std::uint16_t>()});
      case long1:
        return push_long();
      case bin_float:
        return push_float();
      case short_bin_string:
      case short_bin_unicode:
        return push(text(number<std::uint8_t>()));
      case bin_unicode:
        return push(text(number<std::uint32_t>()));
      case bin_unicode8:
        return push(text(number<std::uint64_t>()));
      case empty_tuple:
        return push(Tuple{});
      case tuple:
        return push(Tuple{take_to_mark()});
      case tuple1:
      case tuple2:
      case tuple3:
        return push(Tuple{take_last(op - tuple1 + 1U)});
      case empty_list:
        return push(List{});
      case append:
        return append_items(take_last(1));
      case appends:
        return append_items(take_to_mark());
      case empty_dict:
        return push(Dict{});
      case set_item:
        return add_items(take_last(2));
      case set_items:
        return add_items(take_to_mark());
      case bin_put:
        return put(number<std::uint8_t>());
      case long_bin_put:
        return put(number<std::uint32_t>());
      case memoize:
        return put(static_cast<std::uint32_t>(memo_.size()));
      case bin_get:
        return get(number<std::uint8_t>());
      case long_bin_get:
        return get(number<std::uint32_t>());
      case global: {
        const std::string module = line();
        return push_global(module, line());
      }
      case stack_global: {
        const Ref name = take_top();
        const Ref module = take_top();
        return push_global(string_of(module), string_of(name));
      }
      case reduce:
        return call();
      case build:  // attributes of an object, such as the _metadata of a state dict
        take_top();
        top();
        return;
      case bin_persistent_id:
        return push(PersistentId{take_top()});
      case stop:
        pickle_.root = take_top();
        done_ = true;
        return;
      default:
        bad("opcode 0x{:02x} is not one that a state dict needs", op);
    }
  }

  std::span<const std::byte> bytes_;
  std::string_view where_;
  const std::function<bool(std::string_view)>& allowed_;
  std::size_t at_ = 0;
  bool done_ = false;
  Pickle pickle_;
  std::vector<Ref> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint32_t, Ref> memo_;
};

}  // namespace

Pickle parse(std::span<const std::byte> bytes, std::string_view where,
             const std::function<bool(std::string_view)>& allowed) {
  return Machine(bytes, where, allowed).run();
}

}  // namespace mcn::pickle
