// From a config to a data set: which reader it is, and that nothing is wrong with what it read.
#include "data/dataset.h"

#include <algorithm>
#include <array>

#include "data/listing.h"

namespace mcn {
namespace {

struct Format {
  DatasetFormat format;
  const char* name;
  bool (*shows)(const DatasetConfig&);
  Listing (*read)(const DatasetConfig&, Subset);
  const char* sign;
};

constexpr std::array formats{
    Format{DatasetFormat::ucf101, "ucf101", shows_ucf101, read_ucf101, "ucfTrainTestlist/classInd.txt"},
    Format{DatasetFormat::hmdb51, "hmdb51", shows_hmdb51, read_hmdb51, "CLASS_test_split1.txt"},
    Format{DatasetFormat::kinetics, "kinetics", shows_kinetics, read_kinetics, "train.csv"},
    Format{DatasetFormat::webdataset, "webdataset", shows_webdataset, read_webdataset, "*.tar"},
    Format{DatasetFormat::list, "list", shows_video_list, read_video_list, "train.txt"},
    Format{DatasetFormat::folder, "folder", shows_folders, read_folders, "videos"},
};

const Format& row_of(DatasetFormat format) {
  for (const Format& row : formats)
    if (row.format == format) return row;
  fail("dataset", "expected a format, got number {}", static_cast<int>(format));
}

}  // namespace

std::string recording_of(const VideoSource& source) {
  const std::size_t folder = source.name.find_last_of("/:");
  const std::string_view file = std::string_view(source.name).substr(folder == std::string::npos ? 0 : folder + 1);
  const std::string_view stem = file.substr(0, file.rfind('.'));
  // Fields between underscores, the last ones first.
  std::vector<std::string_view> fields;
  std::string_view rest = stem;
  while (fields.size() < 6 && rest.rfind('_') != std::string_view::npos) {
    fields.push_back(rest.substr(rest.rfind('_') + 1));
    rest.remove_suffix(fields.back().size() + 1);
  }
  const auto is_number = [](std::string_view prefix, std::string_view field) {
    return field.starts_with(prefix) && integer(field.substr(prefix.size())).value_or(-1) >= 0;
  };
  const auto is_one_of = [](std::string_view field, std::initializer_list<std::string_view> words) {
    return std::ranges::find(words, field) != words.end();
  };
  if (fields.size() >= 2 && is_number("c", fields[0]) && is_number("g", fields[1])) return std::string(fields[1]);
  // What is visible, whether the camera moves, people, viewpoint, quality, number of the clip.
  if (fields.size() == 6 && is_number("", fields[0]) && is_one_of(fields[1], {"goo", "med", "bad"}) &&
      is_one_of(fields[2], {"fr", "ba", "le", "ri"}) && is_number("np", fields[3]) &&
      is_one_of(fields[4], {"cm", "nm"}) && is_one_of(fields[5], {"f", "h", "l", "u"}))
    return std::string(rest);
  return source.name;
}

std::string name_of(DatasetFormat format) { return format == DatasetFormat::automatic ? "auto" : row_of(format).name; }

DatasetFormat detect_format(const DatasetConfig& config) {
  if (config.format != DatasetFormat::automatic) return config.format;
  require_folder(config.root);
  DatasetFormat found = DatasetFormat::automatic;
  std::string names, signs;
  for (const Format& row : formats) {
    signs += fmt::format("{}{} ({})", signs.empty() ? "" : ", ", row.sign, row.name);
    // Every data set of files on disk is a folder of videos, too.
    if (row.format == DatasetFormat::folder && !names.empty()) continue;
    if (!row.shows(config)) continue;
    names += (names.empty() ? "" : " and ") + std::string(row.name);
    found = row.format;
  }
  if (names.empty())
    fail<DataError>("dataset", "{}: holds no videos and nothing else that a data set has: expected one of {}",
                    config.root, signs);
  if (names.find(' ') != std::string::npos)
    fail<DataError>("dataset", "{}: cannot tell its format: it may be {}, so the format must be given", config.root,
                    names);
  return found;
}

Listing read_listing(const DatasetConfig& config, Subset subset) {
  DatasetConfig resolved = config;
  resolved.format = detect_format(config);
  return row_of(resolved.format).read(resolved, subset);
}

Dataset load_dataset(const DatasetConfig& config, Subset subset) {
  DatasetConfig resolved = config;
  resolved.format = detect_format(config);
  Listing listing = read_listing(resolved, subset);
  const std::int64_t missing = std::ranges::count(listing.faults, ListFault::missing, &ListFault::kind);
  const std::int64_t listed = missing + std::ssize(listing.dataset.videos);
  // Written so that a share that is not a number leaves nothing out.
  const bool leave_out =
      resolved.format == DatasetFormat::kinetics ||
      100.0 * static_cast<double>(missing) <= config.max_absent_percent * static_cast<double>(listed);
  const ListFault* first = nullptr;
  std::int64_t others = -1;
  for (const ListFault& fault : listing.faults) {
    if (leave_out && fault.kind == ListFault::missing) {
      ++listing.dataset.absent;
      continue;
    }
    if (first == nullptr) first = &fault;
    ++others;
  }
  if (first != nullptr)
    fail<DataError>("dataset", "{}: {}{}{}", first->where, first->what,
                    others > 0 ? fmt::format(" (and {} more faults, which an audit lists)", others) : "",
                    !leave_out && config.max_absent_percent > 0
                        ? fmt::format("; {} of {} listed videos are missing, and up to {}% may be", missing, listed,
                                      config.max_absent_percent)
                        : "");
  if (listing.dataset.videos.empty())
    fail<DataError>("dataset", "{}: none of {} listed videos is there, the first of them {}", config.root,
                    listing.dataset.absent, listing.faults.empty() ? "" : shown(listing.faults.front().video));
  return std::move(listing.dataset);
}

}  // namespace mcn
