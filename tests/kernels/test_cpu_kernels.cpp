// The other cpu kernels against the reference: elementwise, matrices, pooling, losses, features, optimisers, memory.
#include <limits>
#include <map>
#include <thread>

#include "tests/kernels/test_cpu_support.h"

namespace mcn::test {
namespace {

constexpr DType both[] = {DType::f32, DType::f64};
const double nan_value = std::numeric_limits<double>::quiet_NaN();

struct Indices {
  std::vector<std::int64_t> values;
  operator ConstView() const {  // NOLINT(google-explicit-constructor)
    return {values.data(), DType::i64, {static_cast<std::int64_t>(values.size())}};
  }
};

TEST_CASE("cpu elementwise kernels agree with ref", "[cpu][elementwise]") {
  for (const DType t : both)
    for (const std::int64_t n : {1, 31, 1000, 100003}) {
      Buffers b;
      for (unsigned i = 0; i < 8; ++i) b.emplace_back(t, Shape{n}, i);
      b[0].set(0, nan_value);
      if (n > 5) b[0].set(5, 0);
      std::map<const Backend*, double> dots;
      check_kernel("elementwise " + std::to_string(n), b, tolerance(t) / 10, [&](Backend& k, Buffers& v) {
        k.run(kernel::Fill{.value = 0.3, .y = v[1]});
        k.run(kernel::Scale{.alpha = -1.7, .x = v[0], .y = v[2]});
        mcn::axpy(k, 0.9, v[0], v[3]);
        k.run(kernel::Add{.a = v[0], .b = v[4], .y = v[4]});
        k.run(kernel::Relu{.x = v[0], .y = v[5]});
        k.run(kernel::ReluMask{.y = v[0], .g = v[7], .out = v[6]});
        k.copy(v[0], v[1]);
        const double dot = mcn::dot(k, v[7], v[7]);
        CHECK(dots.emplace(&k, dot).first->second == dot);
        CHECK_FALSE(mcn::all_finite(k, v[0]));
        CHECK(mcn::all_finite(k, v[7]));
      });
      for (const auto& [backend, dot] : dots) CHECK(dot == Catch::Approx(dots[&ref()]).epsilon(1e-13));
    }
}

TEST_CASE("cpu all_finite sees one infinity anywhere", "[cpu][elementwise]") {
  for (const std::size_t place : {0, 31, 70001, 99999}) {
    Guarded x(DType::f32, {100000}, 1);
    x.set(place, -std::numeric_limits<double>::infinity());
    for (const auto& cpu : cpu_of_every_level()) CHECK_FALSE(mcn::all_finite(*cpu, x));
  }
}

TEST_CASE("cpu matrix products agree with ref", "[cpu][matrix]") {
  struct Size {
    std::int64_t m, n, k;
  };
  for (const DType t : both)
    for (const Size s : {Size{1, 1, 1}, Size{4, 128, 512}, Size{17, 33, 9}, Size{100, 50, 400}, Size{257, 49, 1}})
      for (int bits = 0; bits < 4; ++bits) {
        const bool ta = (bits & 1) != 0;
        const bool tb = (bits & 2) != 0;
        Buffers b{{t, ta ? Shape{s.k, s.m} : Shape{s.m, s.k}, 1},
                  {t, tb ? Shape{s.n, s.k} : Shape{s.k, s.n}, 2},
                  {t, {s.m, s.n}, 3},
                  {t, {s.m, s.n}, 4},
                  {t, {s.n}, 5},
                  {t, {s.n}, 6},
                  {t, {s.n}, 7}};
        check_kernel(fmt::format("gemm {} {} {} {}", s.m, s.n, s.k, bits), b, tolerance(t),
                     [&](Backend& k, Buffers& v) {
                       k.run(kernel::Gemm{.transpose_a = ta ? Transpose::yes : Transpose::no,
                                          .transpose_b = tb ? Transpose::yes : Transpose::no,
                                          .a = v[0],
                                          .b = v[1],
                                          .c = v[2]});
                       k.run(kernel::Gemm{.transpose_a = ta ? Transpose::yes : Transpose::no,
                                          .transpose_b = tb ? Transpose::yes : Transpose::no,
                                          .a = v[0],
                                          .b = v[1],
                                          .c = v[3],
                                          .mode = Mode::accumulate});
                       k.run(kernel::AddBias{.bias = v[4], .y = v[2]});
                       k.run(kernel::SumRows{.x = v[2], .out = v[5]});
                       k.run(kernel::SumRows{.x = v[2], .out = v[6], .mode = Mode::accumulate});
                     });
      }
}

TEST_CASE("cpu pooling agrees with ref", "[cpu][pool]") {
  const PoolParams cases[] = {{{1, 2, 2}, {1, 2, 2}, {0, 0, 0}},
                              {{3, 3, 3}, {2, 2, 2}, {1, 1, 1}},
                              {{2, 3, 1}, {1, 1, 3}, {1, 0, 0}},
                              {{4, 7, 6}, {1, 1, 1}, {0, 0, 0}}};
  for (const DType t : both)
    for (const PoolParams& p : cases) {
      const Shape x{3, 4, 7, 6, 21};
      Shape y{3};
      for (int a = 1; a <= 3; ++a) {
        const auto i = static_cast<std::size_t>(a - 1);
        y.append((x[a] + 2 * p.padding[i] - p.kernel[i]) / p.stride[i] + 1);
      }
      y.append(x.c());
      Buffers b{{t, x, 1}, {t, y, 2}, {t, y, 3}, {t, x, 4}, {t, y, 5}, {t, x, 6}};
      for (std::size_t i = 0; i < b[0].size(); i += 3) b[0].set(i, 0.5);  // many equal maxima
      b[0].set(40, nan_value);
      b[0].set(61, nan_value);
      std::vector<std::int32_t> expected;
      check_kernel("pool", b, tolerance(t), [&](Backend& k, Buffers& v) {
        std::vector<std::int32_t> index(static_cast<std::size_t>(y.numel()));
        const View i{index.data(), DType::i32, y};
        k.run(kernel::MaxPool{.params = p, .x = v[0], .y = v[1], .index = i});
        k.run(kernel::MaxPoolGather{.x_dot = v[3], .index = i, .y_dot = v[2]});
        k.run(kernel::MaxPoolScatter{.y_bar = v[1], .index = i, .x_bar = v[3]});
        k.run(kernel::AvgPool{.params = p, .x = v[0], .y = v[4]});
        k.run(kernel::AvgPoolAdjoint{.params = p, .y_bar = v[4], .x_bar = v[5]});
        if (expected.empty()) expected = index;
        CHECK(index == expected);
      });
    }
}

TEST_CASE("cpu losses agree with ref", "[cpu][loss]") {
  for (const DType t : both)
    for (int absent = 0; absent < 8; ++absent) {
      const Indices labels{{0, 6, 3, 3, 1}};
      Buffers b{{t, {5, 7}, 1}, {t, {1}, 2}, {t, {5}, 3},    {t, {1}, 4},  {t, {5, 7}, 5},  {t, {5, 7}, 6},
                {t, {1}, 7},    {t, {5}, 8}, {t, {5, 7}, 9}, {t, {1}, 10}, {t, {5, 7}, 11}, {t, {5, 7}, 12}};
      for (std::size_t i = 0; i < 35; ++i) b[0].set(i, 30 * b[0].at(i));
      for (std::size_t i = 0; i < 35; ++i) b[11].set(i, std::abs(b[11].at(i)));
      const auto in = [&](Buffers& v, std::size_t i, int bit) {
        return (absent & bit) != 0 ? ConstView{} : ConstView(v[i]);
      };
      check_kernel("cross-entropy", b, tolerance(t), [&](Backend& k, Buffers& v) {
        k.run(kernel::CrossEntropyForward{.logits = v[0], .labels = labels, .loss = v[1], .lse = v[2]});
        k.run(kernel::CrossEntropyVjp{
            .logits = v[0], .labels = labels, .lse = v[2], .loss_bar = v[3], .logits_bar = v[4]});
        k.run(kernel::CrossEntropyJvp{.logits = v[0],
                                      .labels = labels,
                                      .lse = v[2],
                                      .logits_dot = in(v, 5, 1),
                                      .loss_dot = v[6],
                                      .lse_dot = v[7]});
        k.run(kernel::CrossEntropyVjpDot{.logits = v[0],
                                         .labels = labels,
                                         .lse = v[2],
                                         .logits_dot = in(v, 5, 1),
                                         .lse_dot = in(v, 7, 1),
                                         .loss_bar = in(v, 3, 2),
                                         .loss_bar_dot = in(v, 9, 4),
                                         .logits_bar_dot = v[8]});
      });
      check_kernel("bce", b, tolerance(t), [&](Backend& k, Buffers& v) {
        k.run(kernel::BceForward{.pos_weight = 4.0, .logits = v[0], .targets = v[11], .loss = v[1]});
        k.run(
            kernel::BceVjp{.pos_weight = 4.0, .logits = v[0], .targets = v[11], .loss_bar = v[3], .logits_bar = v[4]});
        k.run(kernel::BceJvp{
            .pos_weight = 4.0, .logits = v[0], .targets = v[11], .logits_dot = in(v, 5, 1), .loss_dot = v[6]});
        k.run(kernel::BceVjpDot{.pos_weight = 4.0,
                                .logits = v[0],
                                .targets = v[11],
                                .logits_dot = in(v, 5, 1),
                                .loss_bar = in(v, 3, 2),
                                .loss_bar_dot = in(v, 9, 4),
                                .logits_bar_dot = v[8]});
      });
    }
}

TEST_CASE("cpu InfoNCE agrees with ref with and without a bank, ids and tangents", "[cpu][info_nce]") {
  for (const DType t : both)
    for (int bits = 0; bits < 32; ++bits) {
      const std::int64_t n = 9;
      const std::int64_t c = 20;
      const std::int64_t m = 130;
      Buffers b{{t, {n, c}, 1}, {t, {n, c}, 2}, {t, {m, c}, 3}, {t, {1}, 4},     {t, {n}, 5},
                {t, {1}, 6},    {t, {n, c}, 7}, {t, {n, c}, 8}, {t, {n, c}, 9},  {t, {n, c}, 10},
                {t, {1}, 11},   {t, {n}, 12},   {t, {1}, 13},   {t, {n, c}, 14}, {t, {n, c}, 15}};
      Indices ids, bank_ids;
      for (std::int64_t i = 0; i < n; ++i) ids.values.push_back(7 * i);
      for (std::int64_t i = 0; i < m; ++i) bank_ids.values.push_back(i);
      check_kernel(fmt::format("info_nce {}", bits), b, tolerance(t), [&](Backend& k, Buffers& v) {
        InfoNceInputs in;
        in.temperature = 0.3;
        in.anchor = v[0];
        in.key = v[1];
        if ((bits & 1) != 0) in.bank = v[2];
        if ((bits & 3) == 3) {
          in.ids = ids;
          in.bank_ids = bank_ids;
        }
        const ConstView a_dot = (bits & 4) != 0 ? ConstView(v[8]) : ConstView{};
        const ConstView k_dot = (bits & 8) != 0 ? ConstView(v[9]) : ConstView{};
        const ConstView bar_dot = (bits & 16) != 0 ? ConstView(v[12]) : ConstView{};
        k.run(kernel::InfoNceForward{.inputs = in, .loss = v[3], .lse = v[4]});
        k.run(kernel::InfoNceVjp{.inputs = in, .lse = v[4], .loss_bar = v[5], .anchor_bar = v[6], .key_bar = v[7]});
        k.run(kernel::InfoNceJvp{
            .inputs = in, .lse = v[4], .anchor_dot = a_dot, .key_dot = k_dot, .loss_dot = v[10], .lse_dot = v[11]});
        k.run(kernel::InfoNceVjpDot{.inputs = in,
                                    .lse = v[4],
                                    .anchor_dot = a_dot,
                                    .key_dot = k_dot,
                                    .lse_dot = v[11],
                                    .loss_bar = v[5],
                                    .loss_bar_dot = bar_dot,
                                    .anchor_bar_dot = v[13],
                                    .key_bar_dot = v[14]});
      });
    }
}

TEST_CASE("cpu feature kernels agree with ref", "[cpu][feature]") {
  for (const DType t : both)
    for (int absent = 0; absent < 8; ++absent) {
      const std::int64_t n = 6;
      const std::int64_t c = 37;
      Buffers b;
      for (unsigned i = 0; i < 9; ++i) b.emplace_back(t, Shape{n, c}, i + 1);
      b.emplace_back(t, Shape{n}, 10);
      b.emplace_back(t, Shape{n}, 11);
      for (unsigned i = 0; i < 4; ++i) b.emplace_back(t, Shape{n * n, 2 * c}, i + 12);
      for (std::size_t i = 0; i < 37; ++i) b[0].set(i, 0);  // a row whose divisor is eps
      const auto in = [&](Buffers& v, std::size_t i, int bit) {
        return (absent & bit) != 0 ? ConstView{} : ConstView(v[i]);
      };
      check_kernel("l2_normalize", b, tolerance(t), [&](Backend& k, Buffers& v) {
        k.run(kernel::L2NormalizeForward{.eps = 1e-3, .x = v[0], .y = v[1], .norm = v[9]});
        k.run(kernel::L2NormalizeVjp{.eps = 1e-3, .y = v[1], .norm = v[9], .y_bar = v[2], .x_bar = v[3]});
        k.run(kernel::L2NormalizeJvp{
            .eps = 1e-3, .y = v[1], .norm = v[9], .x_dot = in(v, 4, 1), .y_dot = v[5], .norm_dot = v[10]});
        k.run(kernel::L2NormalizeVjpDot{.eps = 1e-3,
                                        .y = v[1],
                                        .norm = v[9],
                                        .y_dot = in(v, 5, 2),
                                        .norm_dot = in(v, 10, 2),
                                        .y_bar = v[2],
                                        .y_bar_dot = in(v, 6, 4),
                                        .x_bar_dot = v[7]});
      });
      check_kernel("pairing", b, tolerance(t), [&](Backend& k, Buffers& v) {
        k.run(kernel::PairingForward{.scale = 1.7, .a = v[0], .b = v[1], .y = v[11]});
        k.run(kernel::PairingVjp{.scale = 1.7, .a = v[0], .b = v[1], .y_bar = v[12], .a_bar = v[2], .b_bar = v[3]});
        k.run(kernel::PairingJvp{
            .scale = 1.7, .a = v[0], .b = v[1], .a_dot = in(v, 4, 1), .b_dot = in(v, 5, 2), .y_dot = v[13]});
        k.run(kernel::PairingVjpDot{.scale = 1.7,
                                    .a = v[0],
                                    .b = v[1],
                                    .a_dot = in(v, 4, 1),
                                    .b_dot = in(v, 5, 2),
                                    .y_bar = v[12],
                                    .y_bar_dot = in(v, 14, 4),
                                    .a_bar_dot = v[6],
                                    .b_bar_dot = v[7]});
      });
      const Indices rows{{4, 0, 5}};
      Buffers bank{{t, {n, c}, 1}, {t, {3, c}, 2}, {t, {3, c}, 3}};
      for (std::size_t i = 0; i < 37; ++i) {  // row 4 and its z: what has no direction stays zero
        bank[0].set(4 * 37 + i, 0);
        bank[2].set(i, 0);
      }
      check_kernel("bank", bank, tolerance(t), [&](Backend& k, Buffers& v) {
        k.run(kernel::GatherRows{.bank = v[0], .rows = rows, .out = v[1]});
        k.run(kernel::UpdateRows{
            .momentum = 0.3, .z = v[2], .rows = rows, .bank = v[0]});  // not .5, where row and z weigh alike
      });
    }
}

TEST_CASE("cpu optimisers agree with ref", "[cpu][optimizer]") {
  for (const DType t : both) {
    Buffers b;
    for (unsigned i = 0; i < 4; ++i) {
      b.emplace_back(t, Shape{50021}, i + 1);
      b.emplace_back(t, Shape{3}, i + 11);
    }
    for (std::size_t i = 6; i < 8; ++i)
      for (std::size_t j = 0; j < b[i].size(); ++j) b[i].set(j, std::abs(b[i].at(j)));
    check_kernel("optimisers", b, tolerance(t), [&](Backend& k, Buffers& v) {
      const double decay[] = {1e-2, 0};
      const ConstView g[] = {v[0], v[1]};
      const View p[] = {v[2], v[3]};
      const View m[] = {v[4], v[5]};
      const View s[] = {v[6], v[7]};
      k.run(kernel::SgdStep{.params = {.lr = 0.1, .momentum = 0.9},
                            .weight_decay = decay,
                            .gradients = g,
                            .parameters = p,
                            .buffers = m});
      k.run(kernel::AdamWStep{.params = {.lr = 1e-2, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .step = 3},
                              .weight_decay = decay,
                              .gradients = g,
                              .parameters = p,
                              .first_moments = m,
                              .second_moments = s});
    });
  }
}

TEST_CASE("cpu memory is aligned, reused, counted, safe for threads, and refuses what there is none of",
          "[cpu][memory]") {
  const auto backend = make_cpu_backend();
  std::vector<std::thread> threads;
  for (int seed = 0; seed < 3; ++seed)
    threads.emplace_back([&backend, seed] {
      std::vector<std::pair<unsigned char*, std::size_t>> held;
      std::uint64_t h = static_cast<std::uint64_t>(seed) + 1;
      for (int i = 0; i < 3000; ++i) {
        h = h * 6364136223846793005ULL + 1442695040888963407ULL;
        const std::size_t bytes = (h >> 33) % ((h >> 60) == 0 ? 3000000 : 5000);
        auto* p = static_cast<unsigned char*>(backend->allocate(bytes));
        if (reinterpret_cast<std::uintptr_t>(p) % 64 != 0) throw std::runtime_error("alignment");
        if (bytes > 0) p[0] = p[bytes - 1] = static_cast<unsigned char>(bytes);
        held.emplace_back(p, bytes);
        if (held.size() > 40) {
          const std::size_t victim = (h >> 20) % held.size();
          const auto [q, size] = held[victim];
          if (size > 0 && (q[0] != static_cast<unsigned char>(size) || q[size - 1] != q[0])) std::terminate();
          backend->release(q, size);
          held.erase(held.begin() + static_cast<std::ptrdiff_t>(victim));
        }
      }
      for (const auto& [p, bytes] : held) backend->release(p, bytes);
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(backend->memory().current == 0);
  CHECK_THROWS_AS(backend->allocate(std::size_t{1} << 62), DeviceError);
  CHECK_THROWS_WITH(backend->allocate(std::size_t{1} << 45),
                    Catch::Matchers::ContainsSubstring("35184372088832 bytes"));
  CHECK(backend->memory().current == 0);
}

}  // namespace
}  // namespace mcn::test
