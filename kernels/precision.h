// How the products of float32 convolutions are formed.
#pragma once

#include <cstdint>

namespace mcn {

/// fp32: exactly, by ordinary multiply-adds. tf32, bf16: on tensor cores, of factors that are rounded to 11 or 8
/// significant bits. Sums, and everything that is kept (weights, activations, statistics), are float32 in all three.
enum class Precision : std::uint8_t { fp32, tf32, bf16 };

}  // namespace mcn
