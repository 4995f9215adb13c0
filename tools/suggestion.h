// What somebody who typed an unknown option may have meant.
#pragma once

#include <string>
#include <vector>

namespace mcn {

/// The name among `names` ("--batch") that `word` is another program's for, begins, or is at most two typing mistakes
/// away from; empty if there is none. A typing mistake is a letter too many, too few or wrong, or two that changed
/// places; "_" counts as "-".
std::string suggestion(std::string word, const std::vector<std::string>& names);

}  // namespace mcn
