// What the readers of data sets share: lines of lists, CSV, and what a list says before anything is made of it.
// Internal to data/.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/dataset.h"
#include "kernels/error.h"

namespace mcn {

/// One video that a list names and that cannot be used as it says.
struct ListFault {
  enum Kind : std::uint8_t { missing, mislabelled, duplicate };
  Kind kind = missing;
  std::string video;  ///< as listed
  std::string where;  ///< "FILE:LINE"
  std::string what;
};

/// A subset as its lists have it: everything that names a video, whether it can be used or not.
struct Listing {
  Dataset dataset;  ///< the videos that are on disk, also the mislabelled ones
  std::vector<ListFault> faults;
  std::vector<std::string> set_aside;  ///< paths that a list names to belong to no subset
};

/// DataError for a list that cannot be read or is malformed; faults of single videos are part of the result.
Listing read_listing(const DatasetConfig& config, Subset subset);
Listing read_ucf101(const DatasetConfig& config, Subset subset);
Listing read_hmdb51(const DatasetConfig& config, Subset subset);
Listing read_kinetics(const DatasetConfig& config, Subset subset);
Listing read_webdataset(const DatasetConfig& config, Subset subset);
Listing read_video_list(const DatasetConfig& config, Subset subset);
Listing read_folders(const DatasetConfig& config, Subset subset);

/// Whether the folders of a config look like a format's. Never throw for what is malformed.
bool shows_ucf101(const DatasetConfig& config);
bool shows_hmdb51(const DatasetConfig& config);
bool shows_kinetics(const DatasetConfig& config);
bool shows_webdataset(const DatasetConfig& config);
bool shows_video_list(const DatasetConfig& config);
bool shows_folders(const DatasetConfig& config);
/// Whether a file, by its first line, is a list of paths and labels and not a table with a header.
bool is_path_list(const std::filesystem::path& list);

struct Line {
  std::string text;
  int number = 0;
};

/// The lines of a list that are not blank, without space at their ends. DataError if there is none, or for a NUL byte,
/// which would end a path early.
std::vector<Line> parse_lines(std::string_view text, const std::filesystem::path& path);
std::vector<Line> read_lines(const std::filesystem::path& path);

struct CsvRow {
  std::vector<std::string> fields;
  int line = 0;  ///< in which it begins
};

/// Rows of comma-separated values after RFC 4180, blank lines left out. DataError for a quote that does not end or
/// stands where none may, a NUL byte, or if there is no row.
std::vector<CsvRow> parse_csv(std::string_view text, const std::filesystem::path& path);
std::vector<CsvRow> read_csv(const std::filesystem::path& path);

std::string_view trimmed(std::string_view text);
/// "a b.avi 12" as {"a b.avi", "12"}; the second is empty if there is no blank.
std::pair<std::string, std::string> split_last(const std::string& text);
/// A whole number without anything else; nothing if it does not fit.
std::optional<std::int64_t> integer(std::string_view text);
/// Text of a file as an error message shows it: control characters escaped, cut after 160 bytes.
std::string shown(std::string_view text);
inline std::string in_quotes(std::string_view text) { return '"' + shown(text) + '"'; }

template <class... Args>
[[noreturn]] void fail_at(const std::filesystem::path& path, int line, fmt::format_string<Args...> format,
                          Args&&... args) {
  fail<DataError>("dataset", "{}:{}: {}", path.string(), line, fmt::format(format, std::forward<Args>(args)...));
}

/// DataError if it is missing or no folder, or empty.
void require_folder(const std::string& path);
/// The same path without a slash at its end.
std::filesystem::path without_slash(const std::filesystem::path& path);
bool is_folder(const std::filesystem::path& path);
bool is_file(const std::filesystem::path& path);
/// Something that a list may call a video: no folder. What else is no file fails when it is read, by itself.
bool is_no_folder(const std::filesystem::path& path);
/// "._NAME": where a file system, or a tar file, has no place for a file's metadata, a Mac writes them there.
bool is_mac_metadata(const std::filesystem::path& name);
/// The entries of a folder in byte order, but for a Mac's metadata of files; none if it may not be read.
/// SystemError if the system cannot read it.
std::vector<std::filesystem::directory_entry> entries_of(const std::filesystem::path& folder);

/// By the extension of a name, which counts in either case.
bool is_video_name(const std::filesystem::path& name);
bool is_tar_name(const std::filesystem::path& name);
/// Every file below a folder with such a name, in byte order. Follows links to folders, each folder once.
std::vector<std::filesystem::path> files_below(const std::filesystem::path& folder,
                                               bool (*wanted)(const std::filesystem::path&) = is_video_name);

/// The files that the config names for a subset, each as it is or below the root. DataError for one that is not there.
std::vector<std::filesystem::path> named_files(const DatasetConfig& config, const std::vector<std::string>& names);
/// Where one of them must be, whether it is there or not.
std::filesystem::path place_of(const DatasetConfig& config, const std::string& name);
inline const std::vector<std::string>& files_of(const DatasetConfig& config, Subset subset) {
  return subset == Subset::train ? config.train_files : config.test_files;
}
/// UsageError if the config names files or a folder of lists, for a format that has none.
void refuse_files(const DatasetConfig& config);
void refuse_splits_dir(const DatasetConfig& config);
void refuse_split(const DatasetConfig& config);

/// The words by which a subset's files go, the first ones first.
std::vector<std::string> words_of(Subset subset);
inline const char* name_of(Subset subset) { return subset == Subset::train ? "train" : "test"; }

}  // namespace mcn
