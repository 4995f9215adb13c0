// Data sets on disk: which videos there are and what is in them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/source.h"

namespace mcn {

struct VideoEntry {
  VideoSource source;
  std::int64_t label = 0;  ///< index in Dataset::classes; -1: unlabelled
};

struct Dataset {
  std::vector<std::string> classes;  ///< empty: the videos are unlabelled
  std::vector<VideoEntry> videos;
  std::int64_t absent = 0;  ///< listed, not on disk and left out
  std::string note;         ///< what a reader of results should know of how it was read; may be empty
};

/// Which recording of its class a video was cut from, as UCF101's and HMDB51's names tell ("g08" of
/// v_Biking_g08_c02.avi); the name itself where it is neither's. Clips of one recording look alike: an honest split
/// keeps them together.
std::string recording_of(const VideoSource& source);

enum class Subset : std::uint8_t { train, test };

/// Layouts, and whence labels come. Lists may have CRLF, a byte order mark, blank lines and space at the ends of lines.
///   ucf101      CLASS/VIDEO. classInd.txt, trainlistNN.txt and testlistNN.txt in ucfTrainTestlist/ inside the root or
///               beside it, or in splits_dir. Ids come from classInd.txt alone (1-based; labels here are 0-based);
///               labels in the lists are optional and must agree. HandstandPushups may be written either way.
///   hmdb51      CLASS/VIDEO or CLASS/CLASS/VIDEO, also in hmdb51_org/. CLASS_test_splitN.txt in
///               testTrainMulti_7030_splits/, test_train_splits/ or both, inside the root or beside it, or in
///               splits_dir. Ids are those of the classes in byte order.
///   kinetics    ID_000010_000020.mp4 or ID.mp4 anywhere below the root. A CSV with a header for each subset, in the
///               root, its annotations/ or splits_dir, or one for both, whose column `split` tells. Ids are those of
///               the training labels in byte order, for both subsets. Listed videos that are not on disk are left out:
///               the whole of Kinetics is nowhere any more.
///   webdataset  Tar shards with NAME.mp4 (or .avi, .webm, .mkv) and NAME.cls, a number, or NAME.json with a number
///               `label`, in train/ and val/ or test/ of the root, or with names of which a part begins with these
///               words, as in ucf-val-000.tar. Not compressed.
///   list        "PATH LABEL" or "PATH,LABEL" lines, or paths alone, relative to the list's folder or to the root:
///               train.txt, and val.txt or test.txt, in the root or splits_dir. Labels are numbers from 0, or names,
///               whose ids are their places in byte order among those of both subsets.
///   folder      No lists. Videos in train/ and val/ or test/ of the root, or in the root itself. Where all lie in
///               folders, and there are several of the first level, these are the classes, with ids in byte order; else
///               the videos are unlabelled. Without train/ and test/, every fifth video of a class, in byte order, is
///               for testing, and unlabelled videos are all for training. Never chosen where another format fits.
enum class DatasetFormat : std::uint8_t { automatic, ucf101, hmdb51, kinetics, webdataset, list, folder };

std::string name_of(DatasetFormat format);

struct DatasetConfig {
  std::string root;
  DatasetFormat format = DatasetFormat::automatic;
  int split = 1;           ///< ucf101, hmdb51: official split, from 1
  std::string splits_dir;  ///< ucf101, hmdb51, kinetics, list: folder of the lists
  /// kinetics, list, webdataset: the lists or shards themselves, as they are or relative to the root. Shards may be
  /// patterns: shard-{000000..000011}.tar, {a,b}.tar.
  std::vector<std::string> train_files, test_files;
  /// The share of listed videos that may be missing on disk: up to it they are left out. Of kinetics any may be
  /// missing.
  double max_absent_percent = 0;
};

/// The format that the config names, or that the files in its folders show. DataError if they show none, or several.
DatasetFormat detect_format(const DatasetConfig& config);

/// DataError, with file and line: what is malformed, an unknown class, a duplicate, a label that disagrees with the
/// folder or is out of range, more videos that are not on disk than the config allows; and for a missing or empty
/// folder or list. UsageError for a config that its format has no use for.
Dataset load_dataset(const DatasetConfig& config, Subset subset);

/// The same of UCF101's format.
Dataset load_ucf101(const std::string& root, int split, Subset subset, const std::string& splits_dir = "");

}  // namespace mcn
