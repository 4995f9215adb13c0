// How the products of float32 tensors are formed.
#pragma once

#include <cstdint>

namespace mcn::MCN_DEVICE_NAMESPACE {

/// fp32: exactly, by ordinary multiply-adds. tf32, bf16: on tensor cores, of factors that are rounded to 11 or 8
/// significant bits; sums are float32.
enum class Precision : std::uint8_t { fp32, tf32, bf16 };

}  // namespace mcn::MCN_DEVICE_NAMESPACE
