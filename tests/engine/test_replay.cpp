// Structures of tensors, and graphs that read and write them.
#include <array>

#include "engine/device.h"
#include "engine/replay.h"
#include "tests/catch.h"

namespace mcn {
namespace {

struct Pair {
  Tensor first, second;
  static auto members(auto& self) { return std::tie(self.first, self.second); }
};

struct Nested {
  std::optional<Pair> maybe;
  bool flag = false;
  std::vector<Pair> pairs;
  Tensor last;
  double number = 0;
  static auto members(auto& self) { return std::tie(self.maybe, self.flag, self.pairs, self.last, self.number); }
};

// Names one of two.
struct Forgetful {
  Tensor first, second;
  static auto members(auto& self) { return std::tie(self.first); }
};

Tensor numbers(Backend& backend, std::initializer_list<double> values) {
  const std::vector<double> v(values);
  return Tensor::from(backend, DType::f32, {static_cast<std::int64_t>(v.size())}, std::span<const double>(v));
}

}  // namespace

TEST_CASE("a structure's tensors are met in the order of its members, absent ones too") {
  Backend& backend = open_device("ref");
  const Tensor a = numbers(backend, {1}), b = numbers(backend, {2}), c = numbers(backend, {3});
  const auto seen = [](const Nested& nested) {
    std::string text;
    for (const Tensor& t : tensors_in(nested)) text += t ? std::to_string(static_cast<int>(t.item())) : "-";
    return text;
  };
  CHECK(seen({}) == "-");
  CHECK(seen({.maybe = {}, .flag = true, .pairs = {{a, {}}, {b, c}}, .last = c, .number = 7}) == "1-233");
  CHECK(seen({.maybe = Pair{b, a}, .flag = true, .pairs = {}, .last = {}, .number = 7}) == "21-");
  Nested changed{.maybe = Pair{a, b}, .flag = false, .pairs = {{a, b}}, .last = c, .number = 0};
  for_each_tensor(changed, [&](Tensor& t) { t = c; });
  CHECK(seen(changed) == "33333");
}

TEST_CASE("a structure that leaves out a member does not name all of itself") {
  CHECK((names_all_members<Pair>));
  CHECK((names_all_members<Nested>));
  CHECK_FALSE((names_all_members<Forgetful>));
}

TEST_CASE("a replay is for the same shapes, dtypes and places, and does the work again for any others") {
  Backend& backend = open_device("simt");
  Tensors weights{numbers(backend, {2})};
  int times = 0;
  Replay<Pair, Pair> replay(backend, true);
  const std::function<Pair(const Pair&)> work = [&](const Pair& given) {
    ++times;
    Pair result{given.first.clone(), {}};
    axpy(backend, 1, given.second, result.first);
    result.second = weights[0].clone();
    return result;
  };
  const auto run = [&](const Pair& given) {
    const Pair& result = replay.run(weights, given, work);
    std::vector<double> values = result.first.to_doubles();
    values.push_back(result.second.item());
    return values;
  };
  using Values = std::vector<double>;
  for (int i = 0; i < 4; ++i) {
    const double x = i;
    CHECK(run({numbers(backend, {x, 2}), numbers(backend, {10, x})}) == Values{10 + x, 2 + x, 2});
    CHECK(times == std::min(i + 1, 2));
  }
  // Written in place, it is read by the replay.
  weights[0].copy_from(std::array{5.0});
  CHECK(run({numbers(backend, {1, 1}), numbers(backend, {2, 2})}) == Values{3, 3, 5});
  CHECK(times == 2);

  SECTION("shape") {
    CHECK(run({numbers(backend, {1}), numbers(backend, {2})}) == Values{3, 5});
    CHECK(times == 3);
  }
  SECTION("dtype") {
    const auto f64 = [&](double x) {
      const std::array values{x, x};
      return Tensor::from(backend, DType::f64, {2}, std::span<const double>(values));
    };
    CHECK(run({f64(1), f64(2)}) == Values{3, 3, 5});
    CHECK(times == 3);
  }
  SECTION("place") {
    const Tensor before = weights[0];
    weights[0] = numbers(backend, {7});
    for (int i = 0; i < 3; ++i) CHECK(run({numbers(backend, {1, 1}), numbers(backend, {2, 2})}) == Values{3, 3, 7});
    CHECK(times == 4);
  }
  SECTION("the work itself") {
    replay.capture_again();
    CHECK(run({numbers(backend, {1, 1}), numbers(backend, {2, 2})}) == Values{3, 3, 5});
    CHECK(times == 3);
    replay.start_again();
    CHECK_FALSE(replay.outputs().first);
    CHECK(run({numbers(backend, {1, 1}), numbers(backend, {2, 2})}) == Values{3, 3, 5});
    CHECK(times == 4);
  }
}

TEST_CASE("work whose results have other shapes than those of the call before is refused in a capture") {
  Backend& backend = open_device("simt");
  Replay<Pair, Pair> replay(backend, true);
  int times = 0;
  const std::function<Pair(const Pair&)> work = [&](const Pair& given) {
    return ++times == 1 ? Pair{given.first.clone(), {}} : Pair{given.first.clone(), given.second.clone()};
  };
  const Pair given{numbers(backend, {1, 2}), numbers(backend, {3})};
  (void)replay.run({}, given, work);
  CHECK_THROWS_AS((void)replay.run({}, given, work), UsageError);
}

}  // namespace mcn
