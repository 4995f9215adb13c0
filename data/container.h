// What a container says of its own length. Internal to data/.
#pragma once

#include <cstdint>
#include <optional>

#include "data/file_bytes.h"

namespace mcn {

/// Bytes that a file must have to hold what its outermost boxes (MP4), chunks (AVI) or elements (Matroska, WebM) say
/// that they hold; nothing where they do not say, or it is none of these. A file that has fewer was cut off. Reads a
/// few headers, and never throws for their content; what FileBytes throws.
std::optional<std::int64_t> declared_bytes(const VideoSource& source, const Deadline& deadline = Deadline(0));

}  // namespace mcn
