// Initial values and the conversion of layouts.
#include "models/parameters.h"

#include <cmath>

#include "engine/random.h"

namespace mcn {
namespace {

// Stable across platforms, unlike std::hash.
std::uint64_t hash_name(const std::string& name) {
  std::uint64_t h = 0;
  for (const char c : name) h = hash_stream(h, c);
  return h;
}

}  // namespace

Tensors initialise(const ParameterSpecs& specs, Backend& backend, DType dtype, std::uint64_t seed) {
  Tensors values;
  for (const ParameterSpec& spec : specs) {
    std::vector<double> v(static_cast<std::size_t>(spec.shape.numel()), spec.init == Init::ones ? 1.0 : 0.0);
    if (spec.init == Init::kaiming || spec.init == Init::gaussian) {
      const Shape& s = spec.shape;
      const double fan_out = static_cast<double>(s.rank() == 5 ? s.o() * s.kd() * s.kh() * s.kw() : s[0]);
      const double deviation = spec.init == Init::kaiming ? std::sqrt(2.0 / fan_out) : spec.scale;
      Philox random(seed, hash_stream(0x1A17, hash_name(spec.name)));
      for (double& x : v) x = deviation * random.normal();
    }
    values.push_back(Tensor::from(backend, dtype, spec.shape, std::span<const double>(v)));
  }
  return values;
}

Shape channels_last_shape(const Shape& s) { return s.rank() == 5 ? Shape{s[0], s[2], s[3], s[4], s[1]} : s; }

Shape channels_first_shape(const Shape& s) { return s.rank() == 5 ? Shape{s[0], s[4], s[1], s[2], s[3]} : s; }

std::vector<double> to_channels_last(const std::vector<double>& values, const Shape& s) {
  if (s.rank() != 5) return values;
  const std::int64_t channels = s[1];
  const std::int64_t inner = s[2] * s[3] * s[4];
  std::vector<double> out(values.size());
  for (std::int64_t n = 0; n < s[0]; ++n)
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t k = 0; k < inner; ++k)
        out[static_cast<std::size_t>((n * inner + k) * channels + c)] =
            values[static_cast<std::size_t>((n * channels + c) * inner + k)];
  return out;
}

std::vector<double> to_channels_first(const std::vector<double>& values, const Shape& s) {
  if (s.rank() != 5) return values;
  const std::int64_t channels = s[4];
  const std::int64_t inner = s[1] * s[2] * s[3];
  std::vector<double> out(values.size());
  for (std::int64_t n = 0; n < s[0]; ++n)
    for (std::int64_t k = 0; k < inner; ++k)
      for (std::int64_t c = 0; c < channels; ++c)
        out[static_cast<std::size_t>((n * channels + c) * inner + k)] =
            values[static_cast<std::size_t>((n * inner + k) * channels + c)];
  return out;
}

}  // namespace mcn
