// The parts of a report that show a run's videos: augmented views, nearest neighbors, confusion matrix, map of
// features.
#pragma once

#include <span>
#include <string>

#include "meta/train/run_pictures.h"

namespace mcn {

/// HTML of what there is of runs' pictures, a section for each kind. names: of all runs, of which pictures has as many,
/// from the first; of a single run the name is left out.
std::string pictures_sections(std::span<const RunPictures> pictures, std::span<const std::string> names);

/// The map alone: test videos as points, and their table; empty without videos.
std::string map_html(const RunPictures& pictures);

/// A strip as an animation, or a word in its place where it is empty.
std::string strip_html(const Strip& strip, const std::string& alt);

/// RFC 4648, with padding.
std::string base64(std::string_view bytes);

}  // namespace mcn
