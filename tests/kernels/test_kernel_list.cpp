// What holds for every kernel of the list, whichever it is.
#include <set>
#include <string>

#include "engine/device.h"
#include "engine/tensor.h"
#include "tests/catch.h"

namespace mcn {
namespace {

// A backend that notes what it is asked for.
class Noting final : public ComputesKernels<Noting> {
 public:
  Noting() : ComputesKernels("noting") {}
  void copy_from_host(const void*, View) override {}
  void copy_to_host(ConstView, void*) override {}
  void copy(ConstView, View) override {}

  template <typename K>
  ResultOf<K> compute(const K&) {
    computed.push_back(K::name);
    if (fails) fail<DeviceError>("noting", "as it was told");
    return ResultOf<K>();
  }

  std::vector<std::string_view> computed;
  bool fails = false;

 protected:
  void* allocate_impl(std::size_t) override { return nullptr; }
  void release_impl(void*, std::size_t) noexcept override {}
};

// A kernel whose arguments are all there, of one element each.
template <typename K>
struct Complete {
  std::array<double, 1> memory{};
  std::array<ConstView, 1> list{ConstView{memory.data(), DType::f64, {1}}};
  std::array<View, 1> written{View{memory.data(), DType::f64, {1}}};
  std::array<ConvProduct, 1> products{ConvProduct{list[0], list[0]}};
  K kernel;

  Complete() { fill(kernel); }
  template <typename T>
  void fill(T& value) {
    using Type = std::remove_const_t<T>;
    if constexpr (std::derived_from<Type, View>)
      static_cast<View&>(value) = written[0];
    else if constexpr (std::derived_from<Type, ConstView>)
      static_cast<ConstView&>(value) = list[0];
    else if constexpr (std::same_as<Type, std::span<const ConstView>>)
      value = list;
    else if constexpr (std::same_as<Type, std::span<const View>>)
      value = written;
    else if constexpr (std::same_as<Type, std::span<const ConvProduct>>)
      value = products;
    else if constexpr (requires { Type::members(value); })
      std::apply([&](auto&... member) { (fill(member), ...); }, Type::members(value));
  }
};

}  // namespace

TEST_CASE("every kernel has a name of its own, is counted, and reaches its backend in a range of its name") {
  Noting backend;
  std::set<std::string_view> names;
  for_each_kernel([&]<typename K>() {
    CAPTURE(K::name);
    CHECK(names.insert(K::name).second);
    const Complete<K> complete;
    const std::int64_t before = backend.kernel_calls();
    backend.fails = false;
    (void)backend.run(complete.kernel);
    CHECK(backend.kernel_calls() == before + 1);
    REQUIRE_FALSE(backend.computed.empty());
    CHECK(backend.computed.back() == K::name);
    backend.fails = true;
    CHECK_THROWS_AS((void)backend.run(complete.kernel), DeviceError);
    CHECK(failed_range() == K::name);
  });
  CHECK(names.size() > 40);
}

TEST_CASE("no kernel computes where an argument is missing that must be there, or has another dtype") {
  Noting backend;
  std::size_t refused = 0, optional = 0;
  for_each_kernel([&]<typename K>() {
    CAPTURE(K::name);
    const auto asks = [&](const K& kernel, const char* because) {
      const std::size_t before = backend.computed.size();
      try {
        (void)backend.run(kernel);
      } catch (const UsageError& e) {
        const std::string text = e.what();
        CHECK(text.find(K::name) != std::string::npos);
        CHECK(text.find(because) != std::string::npos);
        CHECK(backend.computed.size() == before);
        return false;
      }
      return true;
    };
    // Arguments that are members themselves; those of lists cannot be changed here.
    std::size_t arguments = 0;
    const Complete<K> whole;
    for_each_view(whole.kernel, [&](const ConstView&) { ++arguments; });
    CHECK(arguments > 0);
    for (std::size_t changed = 0; changed < arguments; ++changed) {
      Complete<K> without, other;
      std::size_t i = 0;
      bool may_be_absent = false, in_list = false;
      for_each_view(without.kernel, [&]<typename V>(V& view) {
        if (i++ != changed) return;
        if constexpr (std::is_const_v<V>) {
          in_list = true;
        } else {
          may_be_absent = std::same_as<V, OptionalView> || std::same_as<V, OptionalConstView>;
          view.data = nullptr;
        }
      });
      if (in_list) continue;
      CAPTURE(changed);
      CHECK(asks(without.kernel, "absent") == may_be_absent);
      may_be_absent ? ++optional : ++refused;
      i = 0;
      for_each_view(other.kernel, [&]<typename V>(V& view) {
        if constexpr (!std::is_const_v<V>)
          if (i == changed) view.dtype = DType::f32;
        ++i;
      });
      CHECK(asks(other.kernel, "f32") == (arguments == 1));
    }
  });
  CHECK(refused > 100);
  CHECK(optional > 20);
}

TEST_CASE("arguments without elements and numbers of rows are no floating-point arguments") {
  Noting backend;
  std::array<double, 4> memory{};
  std::array<std::int64_t, 2> rows{};
  const View bank{memory.data(), DType::f64, {2, 2}};
  backend.run(kernel::GatherRows{.bank = bank, .rows = ConstView{rows.data(), DType::i64, {2}}, .out = bank});
  backend.run(kernel::Fill{.value = 1, .y = View{nullptr, DType::f32, {0, 3}}});
  CHECK(backend.computed.size() == 2);
  CHECK_THROWS_AS(backend.run(kernel::Fill{.value = 1, .y = View{nullptr, DType::f32, {}}}), UsageError);
}

TEST_CASE("lists of arguments have one length and an entry's dtype, which may be another entry's own") {
  Noting backend;
  std::array<double, 2> memory{};
  const std::array<ConstView, 2> x{ConstView{memory.data(), DType::f32, {2}},
                                   ConstView{memory.data(), DType::f64, {2}}};
  std::array<View, 2> y{View{memory.data(), DType::f32, {2}}, View{memory.data(), DType::f64, {2}}};
  backend.run(kernel::Axpy{.alpha = 1, .x = x, .y = y});
  CHECK(backend.computed.size() == 1);
  using Catch::Matchers::ContainsSubstring;
  CHECK_THROWS_WITH(backend.run(kernel::Axpy{.alpha = 1, .x = x, .y = std::span(y).first(1)}),
                    ContainsSubstring("axpy") && ContainsSubstring("1 entries, expected 2"));
  std::swap(y[0], y[1]);
  CHECK_THROWS_WITH(backend.run(kernel::Axpy{.alpha = 1, .x = x, .y = y}),
                    ContainsSubstring("argument 2 is f64, expected f32"));
  std::swap(y[0], y[1]);
  y[1].data = nullptr;
  CHECK_THROWS_WITH(backend.run(kernel::Axpy{.alpha = 1, .x = x, .y = y}), ContainsSubstring("absent"));
  CHECK(backend.computed.size() == 1);
}

TEST_CASE("an entry of a list of optional arguments may be absent") {
  Noting backend;
  std::array<double, 2> memory{};
  const View there{memory.data(), DType::f64, {2}}, absent{nullptr, DType::f64, {2}};
  const std::array<OptionalConstView, 2> parts{there, absent};
  const std::array<OptionalView, 2> wanted{absent, there};
  backend.run(kernel::ConcatChannels{.parts = parts, .y = there});
  backend.run(kernel::SplitChannels{.y = there, .parts = wanted});
  CHECK(backend.computed.size() == 2);
  CHECK_THROWS_AS(backend.run(kernel::ConcatChannels{.parts = parts, .y = absent}), UsageError);
}

TEST_CASE("every backend of this build computes every kernel of the list") {
  // That it links says it; what it computes is compared in tests/ops and tests/kernels.
  for (const char* name : {"ref", "cpu", "simt"}) {
    CAPTURE(name);
    Backend& backend = open_device(name);
    const std::int64_t before = backend.kernel_calls();
    Tensor x = Tensor::full(backend, DType::f32, {3}, 2);
    backend.run(kernel::Scale{.alpha = 2, .x = x, .y = x});
    CHECK(x.to_doubles() == std::vector<double>{4, 4, 4});
    CHECK(backend.kernel_calls() >= before + 1);
  }
}

}  // namespace mcn
