// Philox: the published known answers, the moments of its distributions, and what does not depend on anything else.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "engine/random.h"
#include "tests/catch.h"

namespace {

using mcn::Philox;
using Words = std::array<std::uint32_t, 4>;

constexpr int sample_count = 200'000;

/// True if every one of them lies within the tolerance; NaN does not.
bool close(double value, double expected, double tolerance) { return std::abs(value - expected) <= tolerance; }

TEST_CASE("Philox4x32-10 gives Random123's known answers", "[random]") {
  CHECK(mcn::philox4x32({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5U, 0xe169c58dU, 0xbc57ac4cU, 0x9b00dbd8U});
  constexpr std::uint32_t ones = 0xffffffffU;
  CHECK(mcn::philox4x32({ones, ones, ones, ones}, {ones, ones}) ==
        Words{0x408f276dU, 0x41c83b0eU, 0xa20bc7c6U, 0x6d5451fdU});
  CHECK(mcn::philox4x32({0x243f6a88U, 0x85a308d3U, 0x13198a2eU, 0x03707344U}, {0xa4093822U, 0x299f31d0U}) ==
        Words{0xd16cfe09U, 0x94fdccebU, 0x5001e420U, 0x24126ea1U});
}

TEST_CASE("A stream is the block function over counters, seed as key and stream in the upper words", "[random]") {
  Philox random(0x0123456789abcdefULL, 0xfedcba9876543210ULL);
  for (std::uint32_t block = 0; block < 3; ++block) {
    const Words expected = mcn::philox4x32({block, 0, 0x76543210U, 0xfedcba98U}, {0x89abcdefU, 0x01234567U});
    for (const std::uint32_t word : expected) CHECK(random() == word);
  }
}

TEST_CASE("Seeds and streams give different numbers, the same pair the same", "[random]") {
  Philox a(1, 2);
  Philox same(1, 2);
  Philox other_seed(2, 2);
  Philox other_stream(1, 3);
  int equal_seed = 0;
  int equal_stream = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::uint32_t word = a();
    CHECK(same() == word);
    equal_seed += other_seed() == word ? 1 : 0;
    equal_stream += other_stream() == word ? 1 : 0;
  }
  CHECK(equal_seed <= 1);
  CHECK(equal_stream <= 1);
}

TEST_CASE("uniform() has the moments of the uniform distribution and stays in range", "[random]") {
  Philox random(42);
  double sum = 0;
  double squares = 0;
  double lag = 0;
  double previous = 0.5;
  bool in_range = true;
  for (int i = 0; i < sample_count; ++i) {
    const double u = random.uniform();
    in_range = in_range && u >= 0.0 && u < 1.0;
    sum += u;
    squares += (u - 0.5) * (u - 0.5);
    lag += (u - 0.5) * (previous - 0.5);
    previous = u;
  }
  CHECK(in_range);
  // Five standard errors: 0.2887 / sqrt(n), and 0.0745 / sqrt(n) for the second moment, 1/12 / sqrt(n) for the lag.
  const double root = std::sqrt(static_cast<double>(sample_count));
  CHECK(close(sum / sample_count, 0.5, 5 * 0.2887 / root));
  CHECK(close(squares / sample_count, 1.0 / 12, 5 * 0.0745 / root));
  CHECK(close(lag / sample_count, 0.0, 5 / 12.0 / root));
}

TEST_CASE("uniform(a, b) stretches uniform() to a and b", "[random]") {
  Philox random(7);
  Philox same(7);
  for (int i = 0; i < 1000; ++i) {
    const double x = random.uniform(-3, 5);
    CHECK((x >= -3 && x < 5));
    CHECK(close(x, -3 + 8 * same.uniform(), 1e-12));
  }
}

TEST_CASE("normal() has the moments of the standard normal distribution", "[random]") {
  Philox random(11);
  double sum = 0;
  double squares = 0;
  double fourth = 0;
  for (int i = 0; i < sample_count; ++i) {
    const double x = random.normal();
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
  }
  const double root = std::sqrt(static_cast<double>(sample_count));
  CHECK(close(sum / sample_count, 0, 5 / root));
  CHECK(close(squares / sample_count, 1, 5 * std::sqrt(2.0) / root));
  CHECK(close(fourth / sample_count, 3, 5 * std::sqrt(96.0) / root));
}

TEST_CASE("below(n) reaches all of 0 to n - 1 and nothing else", "[random]") {
  Philox random(3);
  for (const std::int64_t n : {1, 2, 3, 7, 10}) {
    std::vector<int> count(static_cast<std::size_t>(n), 0);
    constexpr int draws = 20'000;
    for (int i = 0; i < draws; ++i) {
      const std::int64_t value = random.below(n);
      REQUIRE((value >= 0 && value < n));
      ++count[static_cast<std::size_t>(value)];
    }
    const double p = 1.0 / static_cast<double>(n);
    for (const int c : count) CHECK(close(c, draws * p, 5 * std::sqrt(draws * p * (1 - p))));
  }
  constexpr std::int64_t huge = std::int64_t{1} << 62;
  std::int64_t largest = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::int64_t value = random.below(huge);
    REQUIRE((value >= 0 && value < huge));
    largest = std::max(largest, value);
  }
  CHECK(largest > huge / 2);
}

TEST_CASE("chance(p) is true about p of the time, never for 0 and always for 1", "[random]") {
  Philox random(5);
  int hits = 0;
  bool never = false;
  bool always = true;
  for (int i = 0; i < sample_count; ++i) {
    hits += random.chance(0.3) ? 1 : 0;
    never = never || random.chance(0);
    always = always && random.chance(1);
  }
  CHECK(close(hits, 0.3 * sample_count, 5 * std::sqrt(0.21 * sample_count)));
  CHECK_FALSE(never);
  CHECK(always);
}

TEST_CASE("shuffle() is a permutation that the seed alone decides", "[random]") {
  std::vector<int> sorted(1000);
  std::iota(sorted.begin(), sorted.end(), 0);
  std::vector<int> a = sorted;
  std::vector<int> b = sorted;
  std::vector<int> c = sorted;
  Philox(9, 1).shuffle(std::span<int>(a));
  Philox(9, 1).shuffle(std::span<int>(b));
  Philox(9, 2).shuffle(std::span<int>(c));
  CHECK(a == b);
  CHECK(a != c);
  CHECK(a != sorted);
  std::sort(a.begin(), a.end());
  CHECK(a == sorted);
}

TEST_CASE("shuffle() gives every order equally often", "[random]") {
  std::array<int, 6> count{};
  constexpr int draws = 12'000;
  for (std::uint64_t i = 0; i < draws; ++i) {
    std::array<int, 3> v{0, 1, 2};
    Philox(i, 77).shuffle(std::span<int>(v));
    const int order = v[0] * 2 + (v[1] > v[2] ? 1 : 0);
    ++count[static_cast<std::size_t>(order)];
  }
  for (const int c : count) CHECK(close(c, draws / 6.0, 5 * std::sqrt(draws * 5.0 / 36)));
}

TEST_CASE("shuffle() of nothing or one value draws no number", "[random]") {
  Philox random(1);
  Philox same(1);
  std::vector<int> none;
  std::vector<int> one{4};
  random.shuffle(std::span<int>(none));
  random.shuffle(std::span<int>(one));
  CHECK(one.front() == 4);
  CHECK(random() == same());
}

TEST_CASE("hash_stream tells its parts, their order and their number apart", "[random]") {
  std::vector<std::uint64_t> seen;
  for (int a = 0; a < 30; ++a)
    for (int b = 0; b < 30; ++b) seen.push_back(mcn::hash_stream(a, b));
  for (int a = 0; a < 30; ++a) seen.push_back(mcn::hash_stream(a));
  std::sort(seen.begin(), seen.end());
  CHECK(std::adjacent_find(seen.begin(), seen.end()) == seen.end());
}

}  // namespace
