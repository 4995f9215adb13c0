// Whose matrix products a backend uses.
#pragma once

#include <cstdint>

namespace mcn {

/// cublas: NVIDIA's, on a GPU. Convolutions are always our own.
enum class GemmLibrary : std::uint8_t { own, cublas };

}  // namespace mcn
