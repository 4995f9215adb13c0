// Data sets on disk: which videos there are and what is in them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mcn {

struct VideoEntry {
  std::string path;
  std::int64_t label = 0;  ///< index in Dataset::classes
};

struct Dataset {
  std::vector<std::string> classes;
  std::vector<VideoEntry> videos;
};

enum class Subset : std::uint8_t { train, test };

/// UCF101's layout: ROOT/CLASS/*.avi (or .mp4) and the official split files classInd.txt, trainlistNN.txt and
/// testlistNN.txt in ucfTrainTestlist/ inside ROOT or beside it, or in splits_dir. Ids come from classInd.txt alone
/// (1-based; labels here are 0-based); labels in the lists are optional and must agree with it. File names may hold
/// spaces; blank lines, CRLF and space at the ends of lines do not count; HandstandPushups may be written either way.
/// DataError with file and line: an unknown class, a duplicate, a label that disagrees or is out of range, a video that
/// is not on disk; and for a missing or empty folder or list.
Dataset load_ucf101(const std::string& root, int split, Subset subset, const std::string& splits_dir = "");

}  // namespace mcn
