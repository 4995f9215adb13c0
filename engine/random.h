// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
// A number is a pure function of (seed, stream, counter), so results do not depend on threads, order or devices.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <span>

namespace mcn {

/// The Philox4x32-10 block function: four 32-bit words of counter and two of key give four random words.
constexpr std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                                  std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53U} * counter[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57U} * counter[2];
    counter = {static_cast<std::uint32_t>(p1 >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(p1),
               static_cast<std::uint32_t>(p0 >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(p0)};
    key[0] += 0x9E3779B9U;
    key[1] += 0xBB67AE85U;
  }
  return counter;
}

/// One stream of random numbers, told apart by seed and stream number. Cheap to make: make one for each purpose,
/// with stream = hash_stream(...), rather than share one. Satisfies UniformRandomBitGenerator.
class Philox {
 public:
  using result_type = std::uint32_t;

  explicit Philox(std::uint64_t seed, std::uint64_t stream = 0) : seed_(seed), stream_(stream) {}

  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return 0xFFFFFFFFU; }

  result_type operator()() {
    if (used_ == 4) refill();
    return block_[used_++];
  }

  /// Uniform on [0, 1), 53 random bits.
  double uniform() {
    const std::uint64_t high = (*this)();
    const std::uint64_t low = (*this)();
    return static_cast<double>((high << 21) ^ (low >> 11)) * 0x1.0p-53;
  }
  /// Uniform on [a, b).
  double uniform(double a, double b) { return a + (b - a) * uniform(); }
  /// Uniform integer on [0, n); n must be positive. The bias is below n / 2^64.
  std::int64_t below(std::int64_t n) {
    const std::uint64_t high = (*this)();
    const std::uint64_t bits = (high << 32) | (*this)();
    return static_cast<std::int64_t>((static_cast<unsigned __int128>(bits) * static_cast<std::uint64_t>(n)) >> 64);
  }
  /// True with probability p.
  bool chance(double p) { return uniform() < p; }
  /// Standard normal (Box-Muller).
  double normal() {
    const double u = 1.0 - uniform();
    const double v = uniform();
    return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
  }
  /// Fisher-Yates shuffle, the same on every standard library (std::shuffle is not).
  template <class T>
  void shuffle(std::span<T> values) {
    for (std::size_t i = values.size(); i > 1; --i)
      std::swap(values[i - 1], values[static_cast<std::size_t>(below(static_cast<std::int64_t>(i)))]);
  }

 private:
  void refill() {
    block_ = philox4x32({static_cast<std::uint32_t>(counter_), static_cast<std::uint32_t>(counter_ >> 32),
                         static_cast<std::uint32_t>(stream_), static_cast<std::uint32_t>(stream_ >> 32)},
                        {static_cast<std::uint32_t>(seed_), static_cast<std::uint32_t>(seed_ >> 32)});
    ++counter_;
    used_ = 0;
  }

  std::uint64_t seed_;
  std::uint64_t stream_;
  std::uint64_t counter_ = 0;
  std::array<std::uint32_t, 4> block_{};
  unsigned used_ = 4;
};

/// A stream number from several small numbers (purpose, epoch, video, view, ...): splitmix64 over each in turn.
template <class... Ints>
constexpr std::uint64_t hash_stream(Ints... parts) {
  std::uint64_t h = 0;
  const auto mix = [&h](std::uint64_t part) {
    h += 0x9E3779B97F4A7C15U + part;
    h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9U;
    h = (h ^ (h >> 27)) * 0x94D049BB133111EBU;
    h ^= h >> 31;
  };
  (mix(static_cast<std::uint64_t>(parts)), ...);
  return h;
}

}  // namespace mcn
