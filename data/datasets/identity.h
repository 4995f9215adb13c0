// What tells one data set from another.
#pragma once

#include <string>

#include "data/dataset.h"

namespace mcn {

/// "320 videos, 0123456789abcdef": how many there are, and a checksum of their names in their order. Names count below
/// the deepest folder that all videos are in, so that a data set may move.
std::string identity_of_videos(const Dataset& dataset);

/// A checksum of the labels in the videos' order, and of the classes' names.
std::string identity_of_labels(const Dataset& dataset);

}  // namespace mcn
