// Plain lists: "PATH LABEL" or "PATH,LABEL" a line, or a path alone.
#include <algorithm>
#include <fstream>
#include <map>
#include <set>

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

/// What the lines of a list have after the path.
enum class Labels : std::uint8_t { none, numbers, names };

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

/// A list without labels is one of whose lines every one ends like a video's name.
Labels labels_of(const std::vector<Line>& lines) {
  if (std::ranges::all_of(lines, [](const Line& line) { return is_video_name(line.text); })) return Labels::none;
  const bool numbers =
      std::ranges::any_of(lines, [](const Line& line) { return integer(row_of(line.text).label).has_value(); });
  return numbers ? Labels::numbers : Labels::names;
}

struct List {
  fs::path path;
  std::vector<Line> lines;
};

std::vector<List> read_lists(const std::vector<fs::path>& paths) {
  std::vector<List> lists;
  for (const fs::path& path : paths) lists.push_back({path, read_lines(path)});
  return lists;
}

/// Names of classes among the lines of some lists.
std::set<std::string> names_in(const std::vector<List>& lists) {
  std::set<std::string> names;
  for (const List& list : lists)
    for (const Line& line : list.lines) names.insert(row_of(line.text).label);
  return names;
}

class Reader {
 public:
  Reader(const DatasetConfig& config, const std::vector<fs::path>& lists)
      : config_(config), lists_(read_lists(lists)) {}

  /// others: the lists of the other subset, where classes have names.
  Listing run(const std::vector<fs::path>& others) {
    kind_ = labels_of(lists_.front().lines);
    std::set<std::string> names;
    if (kind_ == Labels::names) {
      names = names_in(lists_);
      names.merge(names_in(read_lists(others)));
    }
    listing_.dataset.classes.assign(names.begin(), names.end());
    std::int64_t largest = -1;
    for (const List& list : lists_)
      for (const Line& line : list.lines) largest = std::max(largest, add(list.path, line));
    if (kind_ == Labels::numbers)
      for (std::int64_t label = 0; label <= largest; ++label) listing_.dataset.classes.push_back(std::to_string(label));
    return std::move(listing_);
  }

 private:
  std::int64_t label_of(const fs::path& list, const Line& line, const std::string& text) const {
    const std::vector<std::string>& classes = listing_.dataset.classes;
    if (kind_ == Labels::none) return -1;
    if (kind_ == Labels::names) {
      if (text.empty()) fail_at(list, line.number, "expected \"PATH LABEL\", got {}", in_quotes(line.text));
      return std::ranges::lower_bound(classes, text) - classes.begin();
    }
    const auto label = integer(text);
    if (!label)
      fail_at(list, line.number, "expected \"PATH LABEL\" with a number for a label, got {}", in_quotes(line.text));
    if (*label < 0 || *label >= most_classes)
      fail_at(list, line.number, "label {} is out of range 0 to {}", *label, most_classes - 1);
    return *label;
  }

  /// The label.
  std::int64_t add(const fs::path& list, const Line& line) {
    const Row row = kind_ == Labels::none ? Row{line.text, ""} : row_of(line.text);
    const std::int64_t label = label_of(list, line, row.label);
    const std::string where = fmt::format("{}:{}", list.string(), line.number);
    fs::path file = list.parent_path() / row.path;
    if (!is_no_folder(file)) file = fs::path(config_.root) / row.path;
    if (!is_no_folder(file)) {
      listing_.faults.push_back(
          {ListFault::missing, row.path, where,
           fmt::format("{} is neither in {} nor in {}", shown(row.path),
                       list.has_parent_path() ? list.parent_path().string() : ".", config_.root)});
      return label;
    }
    const auto [first, fresh] = seen_.emplace(file.lexically_normal().string(), where);
    if (fresh)
      listing_.dataset.videos.push_back({file.string(), label});
    else
      listing_.faults.push_back(
          {ListFault::duplicate, row.path, where, fmt::format("duplicate of {}: {}", first->second, shown(row.path))});
    return label;
  }

  const DatasetConfig& config_;
  std::vector<List> lists_;
  Labels kind_ = Labels::numbers;
  std::map<std::string, std::string> seen_;
  Listing listing_;
};

std::vector<fs::path> lists_of(const DatasetConfig& config, Subset subset) {
  std::vector<fs::path> lists = named_files(config, files_of(config, subset));
  return lists.empty() ? default_lists(config, subset) : lists;
}

}  // namespace

bool is_path_list(const fs::path& list) {
  if (!is_file(list)) return false;
  std::ifstream file(list);
  for (std::string line; std::getline(file, line);) {
    if (trimmed(line).empty()) continue;
    const std::string text(trimmed(line));
    if (is_video_name(text)) return true;
    const auto [path, label] = row_of(text);
    return is_video_name(path) || (!path.empty() && path.find(',') == std::string::npos && integer(label).has_value());
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
  const std::vector<fs::path> lists = lists_of(config, subset);
  if (lists.empty())
    fail<DataError>("dataset", "no list of {} videos: expected {}.txt in {}, or the list's name", name_of(subset),
                    words_of(subset).front(), config.splits_dir.empty() ? config.root : config.splits_dir);
  return Reader(config, lists).run(lists_of(config, subset == Subset::train ? Subset::test : Subset::train));
}

}  // namespace mcn
