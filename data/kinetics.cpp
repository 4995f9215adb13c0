// Kinetics' CSV files: label,youtube_id,time_start,time_end,split, the columns told apart by the header.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <set>
#include <unordered_map>

#include "data/listing.h"

namespace mcn {
namespace {

namespace fs = std::filesystem;

struct Row {
  std::string label, id, split;
  std::string clip;  // ID_000010_000020; empty if the list has no times
  fs::path list;
  int line = 0;
};

std::vector<fs::path> list_folders(const DatasetConfig& config) {
  if (!config.splits_dir.empty()) return {config.splits_dir};
  return {fs::path(config.root), fs::path(config.root) / "annotations"};
}

/// train.csv, kinetics-400_train.csv, k700-train.csv: those whose name ends with one of the subset's words.
std::vector<fs::path> default_lists(const DatasetConfig& config, Subset subset) {
  for (const fs::path& folder : list_folders(config)) {
    std::vector<fs::path> tables;
    for (const fs::directory_entry& entry : entries_of(folder))
      if (entry.path().extension() == ".csv") tables.push_back(entry.path());
    for (const std::string& word : words_of(subset)) {
      std::vector<fs::path> found;
      for (const fs::path& table : tables) {
        const std::string stem = table.stem().string();
        if (stem == word || stem.ends_with("_" + word) || stem.ends_with("-" + word)) found.push_back(table);
      }
      if (found.size() > 1)
        fail<DataError>("dataset", "expected one CSV of {} videos in {}, got {} and {}; say which it is",
                        name_of(subset), folder.string(), found[0].filename().string(), found[1].filename().string());
      if (!found.empty()) return found;
    }
  }
  return {};
}

/// Seconds as file names have them, six digits; nothing for what is no time.
std::string seconds_of(const std::string& text) {
  const std::string digits(trimmed(text));
  if (digits.empty() || digits.find_first_not_of("0123456789.") != std::string::npos) return {};
  char* end = nullptr;
  const double seconds = std::strtod(digits.c_str(), &end);
  if (*end != '\0' || !(seconds < 1e6)) return {};
  return fmt::format("{:06}", static_cast<int>(std::lround(seconds)));
}

std::vector<Row> read_rows(const fs::path& list) {
  if (is_path_list(list))
    fail_at(list, 1,
            "expected a header with label and youtube_id, got a list of paths and labels, which is another "
            "format's");
  const std::vector<CsvRow> table = read_csv(list);
  std::map<std::string, std::size_t> columns;
  for (const std::string& name : table.front().fields) columns.emplace(trimmed(name), columns.size());
  for (const char* name : {"label", "youtube_id"})
    if (!columns.contains(name))
      fail_at(list, table.front().line, "expected a header with label and youtube_id, got no column {} in {}", name,
              in_quotes(fmt::format("{}", fmt::join(table.front().fields, ","))));
  if (columns.size() != table.front().fields.size()) fail_at(list, table.front().line, "two columns of one name");
  const bool times = columns.contains("time_start") && columns.contains("time_end");

  std::vector<Row> rows;
  for (std::size_t i = 1; i < table.size(); ++i) {
    const CsvRow& row = table[i];
    if (row.fields.size() != columns.size())
      fail_at(list, row.line, "expected {} columns, got {}: {}", columns.size(), row.fields.size(),
              in_quotes(fmt::format("{}", fmt::join(row.fields, ","))));
    const auto field = [&](const char* name) {
      const auto column = columns.find(name);
      return column == columns.end() ? std::string() : std::string(trimmed(row.fields[column->second]));
    };
    Row result{field("label"), field("youtube_id"), field("split"), {}, list, row.line};
    if (result.label.empty() || result.id.empty()) fail_at(list, row.line, "expected a label and an id, got none");
    if (times) {
      const std::string start = seconds_of(field("time_start")), end = seconds_of(field("time_end"));
      if (start.empty() || end.empty())
        fail_at(list, row.line, "expected times in seconds, less than 1000000, got {} and {}",
                in_quotes(field("time_start")), in_quotes(field("time_end")));
      result.clip = fmt::format("{}_{}_{}", result.id, start, end);
    }
    rows.push_back(std::move(result));
  }
  return rows;
}

/// A subset's rows of the files that hold it: those whose column `split` says so, or all if there is none.
std::vector<Row> read_subset(const DatasetConfig& config, Subset subset) {
  std::vector<fs::path> lists = named_files(config, files_of(config, subset));
  if (lists.empty()) lists = default_lists(config, subset);
  if (lists.empty())
    fail<DataError>("dataset", "no CSV of {} videos: expected {}.csv, or a name that ends with _{}.csv, in {}",
                    name_of(subset), words_of(subset).front(), words_of(subset).front(),
                    config.splits_dir.empty() ? config.root + " or its annotations/" : config.splits_dir);
  std::vector<Row> rows;
  for (const fs::path& list : lists) std::ranges::move(read_rows(list), std::back_inserter(rows));

  std::map<std::string, std::vector<Row>> by_split;
  for (Row& row : rows) {
    // The official lists have "validate" and "val" for one thing.
    const std::string split = row.split.starts_with("val") ? "val" : row.split;
    if (!split.empty() && split != "train" && split != "val" && split != "test")
      fail_at(row.list, row.line, "expected the split train, val, validate or test, got {}", in_quotes(row.split));
    by_split[split].push_back(std::move(row));
  }
  if (const auto none = by_split.find(""); none != by_split.end()) {
    const Row& row = none->second.front();
    if (by_split.size() > 1) fail_at(row.list, row.line, "expected a split, as other rows have one, got none");
    return none->second;
  }
  for (const std::string& word : words_of(subset))
    if (const auto found = by_split.find(word); found != by_split.end()) return found->second;
  fail<DataError>("dataset", "{}: no row of {} videos", lists.front().string(), name_of(subset));
}

/// Class folders are named by the label, or by the label with underscores.
std::string canonical(std::string name) {
  std::ranges::replace(name, '_', ' ');
  return name;
}

}  // namespace

bool shows_kinetics(const DatasetConfig& config) {
  for (const auto* files : {&config.train_files, &config.test_files})
    if (!files->empty()) return files->front().ends_with(".csv") && !is_path_list(place_of(config, files->front()));
  try {
    const std::vector<fs::path> lists = default_lists(config, Subset::train);
    return !lists.empty() && !is_path_list(lists.front());
  } catch (const DataError&) {
    return true;  // What is wrong is for the reader to say.
  }
}

Listing read_kinetics(const DatasetConfig& config, Subset subset) {
  refuse_split(config);
  require_folder(config.root);
  // Test videos get their ids from the training labels: the two must agree.
  const std::vector<Row> train = read_subset(config, Subset::train);
  const std::vector<Row> rows = subset == Subset::train ? train : read_subset(config, subset);
  std::map<std::string, std::int64_t> ids;
  for (const Row& row : train) ids[row.label];
  Listing listing;
  std::set<std::string> known;
  for (auto& [label, id] : ids) {
    id = static_cast<std::int64_t>(listing.dataset.classes.size());
    listing.dataset.classes.push_back(label);
    known.insert(canonical(label));
  }

  std::unordered_map<std::string, std::vector<fs::path>> files;
  for (const fs::path& file : files_below(config.root)) files[file.stem().string()].push_back(file);
  std::map<std::string, std::string> seen, taken;
  for (const Row& row : rows) {
    const std::string where = fmt::format("{}:{}", row.list.string(), row.line);
    const auto id = ids.find(row.label);
    if (id == ids.end())
      fail_at(row.list, row.line, "class {} is not in {}", in_quotes(row.label), train.front().list.string());
    const std::string name = row.clip.empty() ? row.id : row.clip;
    const auto fault = [&](ListFault::Kind kind, const std::string& what) {
      listing.faults.push_back({kind, name, where, what});
    };
    const auto [first, fresh] = seen.emplace(name, where);
    if (!fresh) {
      fault(ListFault::duplicate, fmt::format("duplicate of {}: {}", first->second, shown(name)));
      continue;
    }
    auto found = files.find(name);
    if (found == files.end()) found = files.find(row.id);
    if (found == files.end()) {
      fault(ListFault::missing,
            fmt::format("neither {} nor {} is in {}", shown(name + ".mp4"), shown(row.id + ".mp4"), config.root));
      continue;
    }
    // The file in the label's own folder, or one in a folder that is no class's.
    const fs::path* best = nullptr;
    for (const fs::path& file : found->second) {
      const std::string folder = canonical(file.parent_path().filename().string());
      if (folder == canonical(row.label)) {
        best = &file;
        break;
      }
      if (best == nullptr && !known.contains(folder)) best = &file;
    }
    if (best == nullptr) {
      best = &found->second.front();
      fault(ListFault::mislabelled, fmt::format("{} is listed as {} and in the folder {}", shown(name),
                                                in_quotes(row.label), best->parent_path().string()));
    }
    const auto [other, alone] = taken.emplace(best->string(), where);
    if (!alone) {
      fault(ListFault::duplicate, fmt::format("{} is the file of {}, too", best->string(), other->second));
      continue;
    }
    listing.dataset.videos.push_back({best->string(), id->second});
  }
  return listing;
}

}  // namespace mcn
