// Plain lists: "PATH LABEL" or "PATH,LABEL" a line.
#include <algorithm>
#include <fstream>
#include <map>

#include "data/listing.h"

namespace mcn {
namespace {

namespace fs = std::filesystem;

// Enough for any data set, and few enough that a wrong number makes no million of classes.
constexpr std::int64_t most_classes = 100000;

std::vector<fs::path> default_lists(const DatasetConfig& config, Subset subset) {
  const fs::path folder = config.splits_dir.empty() ? config.root : config.splits_dir;
  for (const std::string& word : words_of(subset)) {
    if (const fs::path list = folder / (word + ".txt"); is_file(list)) return {list};
    if (const fs::path list = folder / (word + ".csv"); is_path_list(list)) return {list};
  }
  return {};
}

struct Row {
  std::string path, label;
};

/// Paths may have blanks and commas in them: what comes last is the label. It is empty if there is neither.
Row row_of(const std::string& text) {
  const auto [path, label] = split_last(text);
  if (integer(label)) {
    return {path.ends_with(',') ? std::string(trimmed(path.substr(0, path.size() - 1))) : path, label};
  }
  const auto comma = text.rfind(',');
  if (comma == std::string::npos) return {path, label};
  return {std::string(trimmed(text.substr(0, comma))), std::string(trimmed(text.substr(comma + 1)))};
}

std::int64_t read_into(Listing& listing, const DatasetConfig& config, const fs::path& list,
                       std::map<std::string, std::string>& seen) {
  std::int64_t largest = 0;
  for (const auto& [text, number] : read_lines(list)) {
    const auto [name, last] = row_of(text);
    const auto label = integer(last);
    if (!label) fail_at(list, number, "expected \"PATH LABEL\" with a number for a label, got {}", in_quotes(text));
    if (*label < 0 || *label >= most_classes)
      fail_at(list, number, "label {} is out of range 0 to {}", *label, most_classes - 1);
    largest = std::max(largest, *label);
    const std::string where = fmt::format("{}:{}", list.string(), number);
    fs::path file = list.parent_path() / name;
    if (!is_no_folder(file)) file = fs::path(config.root) / name;
    if (!is_no_folder(file)) {
      listing.faults.push_back({ListFault::missing, name, where,
                                fmt::format("{} is neither in {} nor in {}", shown(name),
                                            list.has_parent_path() ? list.parent_path().string() : ".", config.root)});
      continue;
    }
    const auto [first, fresh] = seen.emplace(file.lexically_normal().string(), where);
    if (!fresh) {
      listing.faults.push_back(
          {ListFault::duplicate, name, where, fmt::format("duplicate of {}: {}", first->second, shown(name))});
      continue;
    }
    listing.dataset.videos.push_back({file.string(), *label});
  }
  return largest;
}

}  // namespace

bool is_path_list(const fs::path& list) {
  if (!is_file(list)) return false;
  std::ifstream file(list);
  for (std::string line; std::getline(file, line);) {
    if (trimmed(line).empty()) continue;
    const auto [path, label] = row_of(std::string(trimmed(line)));
    return !path.empty() && path.find(',') == std::string::npos && integer(label).has_value();
  }
  return false;
}

bool shows_video_list(const DatasetConfig& config) {
  for (const auto* files : {&config.train_files, &config.test_files})
    if (!files->empty())
      return files->front().ends_with(".txt") ||
             (files->front().ends_with(".csv") && is_path_list(place_of(config, files->front())));
  return !default_lists(config, Subset::train).empty();
}

Listing read_video_list(const DatasetConfig& config, Subset subset) {
  refuse_split(config);
  require_folder(config.root);
  std::vector<fs::path> lists = named_files(config, files_of(config, subset));
  if (lists.empty()) lists = default_lists(config, subset);
  if (lists.empty())
    fail<DataError>("dataset", "no list of {} videos: expected {}.txt in {}, or the list's name", name_of(subset),
                    words_of(subset).front(), config.splits_dir.empty() ? config.root : config.splits_dir);
  Listing listing;
  std::map<std::string, std::string> seen;
  std::int64_t largest = 0;
  for (const fs::path& list : lists) largest = std::max(largest, read_into(listing, config, list, seen));
  for (std::int64_t label = 0; label <= largest; ++label) listing.dataset.classes.push_back(std::to_string(label));
  return listing;
}

}  // namespace mcn
