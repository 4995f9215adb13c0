// HMDB51's split files: one for every class and split, "NAME.avi 1" a line, 1 to train, 2 to test, 0 for neither.
#include <map>

#include "data/listing.h"

namespace mcn {
namespace {

namespace fs = std::filesystem;

struct ClassList {
  std::string name;
  fs::path path;
};

/// The lists of a split in a folder, in byte order of the classes.
std::vector<ClassList> lists_in(const fs::path& folder, int split) {
  const std::string ending = fmt::format("_test_split{}.txt", split);
  // By class, since byte order of file names is another: "_" comes after digits.
  std::map<std::string, fs::path> lists;
  for (const fs::directory_entry& entry : entries_of(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.size() > ending.size() && name.ends_with(ending))
      lists[name.substr(0, name.size() - ending.size())] = entry;
  }
  std::vector<ClassList> result;
  for (const auto& [name, path] : lists) result.push_back({name, path});
  return result;
}

std::vector<fs::path> split_folders(const DatasetConfig& config) {
  if (!config.splits_dir.empty()) return {config.splits_dir};
  const fs::path top = without_slash(config.root);
  std::vector<fs::path> folders{top};
  for (const fs::path& where : {top, (top / "..").lexically_normal()})
    for (const char* name :
         {"testTrainMulti_7030_splits", "test_train_splits", "test_train_splits/testTrainMulti_7030_splits"})
      folders.push_back(where / name);
  return folders;
}

/// The folders that may hold class folders: hmdb51_org.rar unpacks into the root or into a folder of its name.
std::vector<fs::path> video_roots(const DatasetConfig& config) {
  return {fs::path(config.root), fs::path(config.root) / "hmdb51_org"};
}

/// Empty if it is nowhere. A class's .rar file holds a folder CLASS, and some tools make another round it.
std::string find_video(const DatasetConfig& config, const std::string& class_name, const std::string& file) {
  for (const fs::path& root : video_roots(config))
    for (const fs::path& folder : {root / class_name, root / class_name / class_name})
      if (is_no_folder(folder / file)) return (folder / file).string();
  return {};
}

}  // namespace

bool shows_hmdb51(const DatasetConfig& config) {
  for (const fs::path& folder : split_folders(config))
    for (const ClassList& list : lists_in(folder, config.split)) {
      if (!config.splits_dir.empty()) return true;
      for (const fs::path& root : video_roots(config))
        if (is_folder(root / list.name)) return true;
    }
  return false;
}

Listing read_hmdb51(const DatasetConfig& config, Subset subset) {
  if (config.split < 1 || config.split > 3) fail("dataset", "expected a split from 1 to 3, got {}", config.split);
  refuse_files(config);
  require_folder(config.root);
  std::vector<ClassList> lists;
  for (const fs::path& folder : split_folders(config))
    if (lists = lists_in(folder, config.split); !lists.empty()) break;
  if (lists.empty())
    fail<DataError>("dataset", "no split files: expected CLASS_test_split{}.txt in {}", config.split,
                    config.splits_dir.empty() ? config.root + ", its testTrainMulti_7030_splits or one beside it"
                                              : config.splits_dir);

  Listing listing;
  for (const ClassList& list : lists) listing.dataset.classes.push_back(list.name);
  const std::string wanted = subset == Subset::train ? "1" : "2";
  for (std::size_t label = 0; label < lists.size(); ++label) {
    const std::string& class_name = lists[label].name;
    const fs::path& path = lists[label].path;
    std::map<std::string, int> seen;
    for (const auto& [text, number] : read_lines(path)) {
      const auto [name, use] = split_last(text);
      if (use != "0" && use != "1" && use != "2")
        fail_at(path, number, "expected \"VIDEO 0\", 1 or 2, got {}", in_quotes(text));
      if (name.find('/') != std::string::npos)
        fail_at(path, number, "expected a file name without a folder, got {}", in_quotes(name));
      const std::string listed = fmt::format("{}/{}", class_name, name);
      const auto fault = [&, line = number](ListFault::Kind kind, const std::string& what) {
        listing.faults.push_back({kind, listed, fmt::format("{}:{}", path.string(), line), what});
      };
      const auto [first, fresh] = seen.emplace(name, number);
      if (!fresh) {
        fault(ListFault::duplicate, fmt::format("duplicate of line {}: {}", first->second, shown(name)));
        continue;
      }
      const std::string file = find_video(config, class_name, name);
      if (use != wanted) {
        if (use == "0" && !file.empty()) listing.set_aside.push_back(file);
        continue;
      }
      if (!file.empty()) {
        listing.dataset.videos.push_back({file, static_cast<std::int64_t>(label)});
        continue;
      }
      std::string elsewhere;
      for (const std::string& other : listing.dataset.classes)
        if (elsewhere.empty() && other != class_name) elsewhere = find_video(config, other, name);
      if (elsewhere.empty()) {
        fault(ListFault::missing, fmt::format("{} is not in {}", shown(listed), config.root));
      } else {
        fault(ListFault::mislabelled,
              fmt::format("{} is in the folder {}", shown(listed), fs::path(elsewhere).parent_path().string()));
        listing.dataset.videos.push_back({elsewhere, static_cast<std::int64_t>(label)});
      }
    }
  }
  return listing;
}

}  // namespace mcn
