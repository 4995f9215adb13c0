// Concatenation along the channels: by hand, and the backends against each other over widths that no vector divides,
// parts larger than a chunk, and more parts than a launch takes.
#include "engine/device.h"
#include "engine/gradcheck.h"
#include "tests/kernels/test_ref_helpers.h"
#include "tests/simt/orders.h"

namespace mcn::test {
namespace {

constexpr double untouched = -1;

struct Case {
  std::int64_t rows;
  std::vector<std::int64_t> widths;
};

std::vector<Case> cases() {
  return {{3, {1}},
          {5, {1, 1, 1}},
          {7, {3, 5, 2}},
          {4, {4, 8, 12}},
          {9, {2, 6}},
          {3, {7, 0, 1}},
          {0, {4, 4}},
          {37, {192, 208, 48, 64}},
          {1, {5000, 1, 3}},
          {700, {16, 24, 32, 8}},
          {2, std::vector<std::int64_t>(70, 3)}};
}

// What both kernels make of a case's numbers: y, then the parts. Every third part is absent.
std::vector<std::vector<double>> results(Backend& backend, DType dtype, const Case& c) {
  Tensors parts;
  std::vector<OptionalConstView> in;
  std::vector<OptionalView> out;
  std::int64_t width = 0;
  for (std::size_t i = 0; i < c.widths.size(); ++i) {
    const Shape shape{c.rows, c.widths[i]};
    parts.push_back(GradcheckDraw(backend, dtype, i).uniform(shape, -1, 1));
    in.emplace_back(ConstView{i % 3 == 2 ? nullptr : parts[i].view().data, dtype, shape});
    width += c.widths[i];
  }
  Tensor y = Tensor::full(backend, dtype, {c.rows, width}, untouched);
  backend.run(kernel::ConcatChannels{.parts = in, .y = y});
  Tensors taken;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    taken.push_back(Tensor::full(backend, dtype, parts[i].shape(), untouched));
    out.emplace_back(View{i % 3 == 1 ? nullptr : taken[i].view().data, dtype, parts[i].shape()});
  }
  backend.run(kernel::SplitChannels{.y = y, .parts = out});
  std::vector<std::vector<double>> values{y.to_doubles()};
  for (const Tensor& t : taken) values.push_back(t.to_doubles());
  return values;
}

}  // namespace

TEST_CASE("concat_channels and split_channels by hand: three parts of two rows, one of them absent") {
  Backend& backend = open_device(GENERATE(as<std::string>{}, "ref", "cpu", "simt"));
  const auto tensor = [&](const Shape& shape, const std::vector<double>& values) {
    return Tensor::from(backend, DType::f64, shape, values);
  };
  const Tensor a = tensor({2, 1}, {1, 2});
  const Tensor c = tensor({2, 3}, {3, 4, 5, 6, 7, 8});
  Tensor y = tensor({2, 6}, std::vector<double>(12, untouched));
  const std::vector<OptionalConstView> parts{a, ConstView{nullptr, DType::f64, {2, 2}}, c};
  backend.run(kernel::ConcatChannels{.parts = parts, .y = y});
  CHECK(y.to_doubles() == std::vector<double>{1, 0, 0, 3, 4, 5,  //
                                              2, 0, 0, 6, 7, 8});

  y = tensor({2, 6}, {10, 11, 12, 13, 14, 15,  //
                      20, 21, 22, 23, 24, 25});
  Tensor first = tensor({2, 1}, {0, 0}), last = tensor({2, 3}, std::vector<double>(6));
  const std::vector<OptionalView> taken{first, View{nullptr, DType::f64, {2, 2}}, last};
  backend.run(kernel::SplitChannels{.y = y, .parts = taken});
  CHECK(first.to_doubles() == std::vector<double>{10, 20});
  CHECK(last.to_doubles() == std::vector<double>{13, 14, 15, 23, 24, 25});
}

TEST_CASE("cpu and simt concatenate and split as ref does, whatever the widths") {
  const std::string device = GENERATE("cpu", "simt");
  const ThreadOrder order(GENERATE(simt::Order::forward, simt::Order::shuffled));
  for (const DType dtype : {DType::f32, DType::f64})
    for (const Case& c : cases()) {
      CAPTURE(device, name_of(dtype), c.rows, c.widths);
      CHECK(results(open_device(device), dtype, c) == results(open_device("ref"), dtype, c));
    }
}

TEST_CASE("concat_channels refuses no input, an absent one, other shapes and more inputs than a rule can name") {
  Backend& backend = open_device("ref");
  const auto tensor = [&](const Shape& shape) { return Tensor::full(backend, DType::f64, shape, 1); };
  const auto forward = [](const Tensors& x) { return ops::concat_channels()->forward(x); };
  CHECK(forward({tensor({2, 3, 1}), tensor({2, 3, 4})}).shape() == Shape{2, 3, 5});
  CHECK_THROWS_AS(forward({}), UsageError);
  CHECK_THROWS_AS(forward({tensor({2, 3}), Tensor()}), UsageError);
  CHECK_THROWS_AS(forward({tensor({2, 3}), tensor({3, 3})}), UsageError);
  CHECK_THROWS_AS(forward({tensor({2, 3}), tensor({2, 1, 3})}), UsageError);
  CHECK_THROWS_AS(forward({tensor({})}), UsageError);
  CHECK_THROWS_AS(forward(Tensors(33, tensor({1}))), UsageError);
}

}  // namespace mcn::test
