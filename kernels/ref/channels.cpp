// Reference concatenation along the channels.
#include "kernels/ref/ref_backend.h"
#include "kernels/ref/values.h"

namespace mcn::ref {
namespace {

// Element i of a part with some channels that begin at `begin` of y.
std::size_t in_y(std::size_t i, std::int64_t channels, std::int64_t begin, const Shape& y) {
  const auto element = static_cast<std::int64_t>(i);
  return static_cast<std::size_t>(element / channels * y.back() + begin + element % channels);
}

}  // namespace

template <>
void RefBackend::compute(const kernel::ConcatChannels& k) {
  Values y(static_cast<std::size_t>(k.y.numel()));
  std::int64_t begin = 0;
  for (const ConstView& part : k.parts) {
    const Values values = read_or_zeros(part, part.numel());
    const std::int64_t channels = part.shape.back();
    for (std::size_t i = 0; i < values.size(); ++i) y[in_y(i, channels, begin, k.y.shape)] = values[i];
    begin += channels;
  }
  write(y, k.y);
}

template <>
void RefBackend::compute(const kernel::SplitChannels& k) {
  const Values y = read(k.y);
  std::int64_t begin = 0;
  for (const View& part : k.parts) {
    Values values(static_cast<std::size_t>(part.numel()));
    const std::int64_t channels = part.shape.back();
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = y[in_y(i, channels, begin, k.y.shape)];
    write(values, part);
    begin += channels;
  }
}

}  // namespace mcn::ref
