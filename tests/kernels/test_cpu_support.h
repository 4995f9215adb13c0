// Buffers between guard zones, filled from a seed, and their comparison: what every test of the cpu kernels needs.
#pragma once

#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "tests/catch.h"
#include "tests/cpu_levels.h"
#include "tests/threads.h"

namespace mcn::test {

/// A tensor in plain memory with 64 sentinel elements on either side.
class Guarded {
 public:
  Guarded() = default;
  /// Values in [-1, 1) from a hash of (seed, index): equal for both dtypes up to rounding.
  Guarded(DType dtype, const Shape& shape, unsigned seed) : dtype_(dtype), shape_(shape) {
    const auto n = static_cast<std::size_t>(shape.numel());
    bytes_.assign((n + 2 * guard) * size_of(dtype), sentinel);
    for (std::size_t i = 0; i < n; ++i) {
      std::uint64_t h = (seed * 0x9E3779B97F4A7C15ULL) ^ (i * 0xBF58476D1CE4E5B9ULL);
      h = (h ^ (h >> 31)) * 0x94D049BB133111EBULL;
      set(i, static_cast<double>((h ^ (h >> 29)) % 65536) / 32768.0 - 1.0);
    }
  }
  void set(std::size_t i, double value) {
    if (dtype_ == DType::f32) {
      const auto v = static_cast<float>(value);
      std::memcpy(data() + i * sizeof v, &v, sizeof v);
    } else {
      std::memcpy(data() + i * sizeof value, &value, sizeof value);
    }
  }
  [[nodiscard]] double at(std::size_t i) const {
    if (dtype_ == DType::f64) return reinterpret_cast<const double*>(data())[i];
    return static_cast<double>(reinterpret_cast<const float*>(data())[i]);
  }
  [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(shape_.numel()); }
  [[nodiscard]] View view() { return bytes_.empty() ? View{} : View{data(), dtype_, shape_}; }
  operator View() { return view(); }       // NOLINT(google-explicit-constructor)
  operator ConstView() { return view(); }  // NOLINT(google-explicit-constructor)
  [[nodiscard]] bool guards_intact() const {
    const std::size_t zone = guard * size_of(dtype_);
    for (std::size_t i = 0; i < zone && !bytes_.empty(); ++i)
      if (bytes_[i] != sentinel || bytes_[bytes_.size() - 1 - i] != sentinel) return false;
    return true;
  }
  [[nodiscard]] bool same_bits(const Guarded& other) const { return bytes_ == other.bytes_; }

 private:
  static constexpr std::size_t guard = 64;
  static constexpr unsigned char sentinel = 0xA5;
  [[nodiscard]] unsigned char* data() { return bytes_.data() + guard * size_of(dtype_); }
  [[nodiscard]] const unsigned char* data() const { return bytes_.data() + guard * size_of(dtype_); }

  DType dtype_ = DType::f32;
  Shape shape_;
  std::vector<unsigned char> bytes_;
};

/// Largest difference over the largest expected magnitude; NaN and infinity must be where they are expected.
inline double error_of(const Guarded& got, const Guarded& expected) {
  double scale = 1e-30;
  double worst = 0;
  for (std::size_t i = 0; i < expected.size(); ++i)
    if (std::isfinite(expected.at(i))) scale = std::max(scale, std::abs(expected.at(i)));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double a = got.at(i);
    const double b = expected.at(i);
    if (a == b || (std::isnan(a) && std::isnan(b))) continue;
    const double e = std::abs(a - b) / scale;
    if (!(e <= worst)) worst = e;
    if (std::isnan(worst)) return worst;
  }
  return worst;
}

/// Rounding of sums of up to some ten thousand terms, against the largest value of the result.
inline double tolerance(DType t) { return t == DType::f32 ? 2e-5 : 1e-12; }

inline Backend& ref() {
  static const auto backend = make_ref_backend();
  return *backend;
}

using Buffers = std::vector<Guarded>;

/// Runs `kernel` on the reference and on every level of cpu with 1, 2 and 3 threads, each on its own copy of `buffers`:
/// the results must agree, be the same bits for every number of threads, and leave the guards alone.
inline void check_kernel(const std::string& name, const Buffers& buffers, double bar,
                         const std::function<void(Backend&, Buffers&)>& kernel) {
  INFO(name);
  Buffers expected = buffers;
  kernel(ref(), expected);
  for (const auto& cpu : cpu_of_every_level()) {
    INFO(cpu->detail());
    Buffers first;
    for (int threads = 1; threads <= 3; ++threads) {
      const Threads scope(threads);
      INFO("threads " << threads);
      Buffers got = buffers;
      const std::int64_t calls = cpu->kernel_calls();
      kernel(*cpu, got);
      CHECK(cpu->kernel_calls() > calls);
      for (std::size_t b = 0; b < got.size(); ++b) {
        INFO("buffer " << b);
        CHECK(got[b].guards_intact());
        const double error = error_of(got[b], expected[b]);
        INFO("error " << error << ", bar " << bar);
        CHECK(error <= bar);
        if (threads > 1) CHECK(got[b].same_bits(first[b]));
      }
      if (threads == 1) first = std::move(got);
    }
  }
}

}  // namespace mcn::test
