// UCF101's split files.
#include <algorithm>
#include <map>

#include "data/listing.h"

namespace mcn {
namespace {

namespace fs = std::filesystem;

/// One spelling for UCF101's one class with two.
std::string canonical(std::string name) {
  for (auto at = name.find("HandStand"); at != std::string::npos; at = name.find("HandStand")) name[at + 4] = 's';
  return name;
}

/// "12 CliffDiving" a line; the ids are 1 to the number of classes in any order.
std::vector<std::string> read_classes(const fs::path& path) {
  const std::vector<Line> lines = read_lines(path);
  const auto count = static_cast<std::int64_t>(lines.size());
  std::vector<std::string> classes(lines.size());
  std::map<std::string, int> seen;
  for (const auto& [text, number] : lines) {
    const auto space = std::min(text.find_first_of(" \t"), text.size());
    const auto id = integer(std::string_view(text).substr(0, space));
    const std::string name(trimmed(std::string_view(text).substr(space)));
    if (name.empty() || !id) fail_at(path, number, "expected \"ID CLASS\", got {}", in_quotes(text));
    if (*id < 1 || *id > count) fail_at(path, number, "class id {} is out of range 1 to {}", *id, count);
    std::string& slot = classes[static_cast<std::size_t>(*id - 1)];
    if (!slot.empty()) fail_at(path, number, "class id {} is {} already", *id, shown(slot));
    const auto [first, fresh] = seen.emplace(canonical(name), number);
    if (!fresh) fail_at(path, number, "duplicate class {}, first in line {}", shown(name), first->second);
    slot = name;
  }
  return classes;
}

std::vector<fs::path> split_folders(const DatasetConfig& config) {
  if (!config.splits_dir.empty()) return {config.splits_dir};
  const fs::path top = without_slash(config.root);
  return {top / "ucfTrainTestlist", (top / ".." / "ucfTrainTestlist").lexically_normal()};
}

fs::path find_splits(const DatasetConfig& config) {
  const std::vector<fs::path> candidates = split_folders(config);
  for (const fs::path& candidate : candidates)
    if (is_folder(candidate)) return candidate;
  if (!config.splits_dir.empty()) fail<DataError>("dataset", "{}: no such folder of split files", config.splits_dir);
  fail<DataError>("dataset", "no split files: neither {} nor {} is there", candidates[0].string(),
                  candidates[1].string());
}

/// A path under either spelling of a class; empty if the file is under neither.
std::string find_video(const fs::path& root, const std::string& relative) {
  std::vector<std::string> names{relative};
  for (std::size_t from = 0;;) {
    const auto lower = relative.find("Handstand", from);
    const auto upper = relative.find("HandStand", from);
    const auto at = std::min(lower, upper);
    if (at == std::string::npos) break;
    for (std::size_t i = 0, known = names.size(); i < known; ++i) {
      names.push_back(names[i]);
      names.back()[at + 4] = relative[at + 4] == 's' ? 'S' : 's';
    }
    from = at + 1;
    if (names.size() >= 8) break;
  }
  for (const std::string& name : names)
    if (is_no_folder(root / name)) return (root / name).string();
  return {};
}

/// Takes "a b.avi 12" apart: a number after the last space is a label only if a name with an extension stands before
/// it.
std::pair<std::string, std::optional<std::int64_t>> split_label(const std::string& text) {
  const auto [name, last] = split_last(text);
  const auto label = integer(last);
  if (!label || fs::path(name).extension().empty()) return {text, std::nullopt};
  return {name, label};
}

/// The first other class whose folder has the file; empty if none does.
std::string other_class_with(const fs::path& root, const std::vector<std::string>& classes, const std::string& own,
                             const std::string& file) {
  for (const std::string& name : classes)
    if (name != own && is_no_folder(root / name / file)) return name;
  return {};
}

}  // namespace

bool shows_ucf101(const DatasetConfig& config) {
  for (const fs::path& folder : split_folders(config)) {
    if (!is_file(folder / "classInd.txt")) continue;
    if (!config.splits_dir.empty()) return true;
    // What lies beside the folder of one data set may be another's.
    if (folder.parent_path() == without_slash(config.root)) return true;
    try {
      for (const std::string& name : read_classes(folder / "classInd.txt"))
        if (is_folder(fs::path(config.root) / name)) return true;
    } catch (const DataError&) {
      return true;  // What is wrong with it is for the reader to say.
    }
  }
  return false;
}

Listing read_ucf101(const DatasetConfig& config, Subset subset) {
  if (config.split < 1 || config.split > 99)
    fail("dataset", "expected a split from 1 to 99 (UCF101 has 3), got {}", config.split);
  refuse_files(config);
  require_folder(config.root);
  const fs::path root = config.root;
  const fs::path splits = find_splits(config);
  const fs::path class_file = splits / "classInd.txt";
  const fs::path list = splits / fmt::format("{}list{:02}.txt", name_of(subset), config.split);

  Listing listing;
  std::vector<std::string>& classes = listing.dataset.classes;
  classes = read_classes(class_file);
  std::map<std::string, std::int64_t> ids;
  for (std::size_t i = 0; i < classes.size(); ++i) ids[canonical(classes[i])] = static_cast<std::int64_t>(i);
  std::map<std::string, int> seen;
  for (const auto& [text, number] : read_lines(list)) {
    const auto [name, label] = split_label(text);
    const auto slash = name.find('/');
    if (slash == std::string::npos || slash == 0 || slash + 1 == name.size())
      fail_at(list, number, "expected \"CLASS/VIDEO\" or \"CLASS/VIDEO LABEL\", got {}", in_quotes(text));
    for (const fs::path& part : fs::path(name))
      if (part == "..") fail_at(list, number, "{} leads out of the data set", in_quotes(name));
    const std::string class_name = name.substr(0, slash);
    const auto id = ids.find(canonical(class_name));
    if (id == ids.end()) fail_at(list, number, "class {} is not in {}", shown(class_name), class_file.string());
    if (label && (*label < 1 || *label > static_cast<std::int64_t>(classes.size())))
      fail_at(list, number, "label {} is out of range 1 to {}", *label, classes.size());

    const auto fault = [&, video = name, line = number](ListFault::Kind kind, const std::string& what) {
      listing.faults.push_back({kind, video, fmt::format("{}:{}", list.string(), line), what});
    };
    const auto [first, fresh] = seen.emplace(canonical(fs::path(name).lexically_normal().string()), number);
    if (!fresh) {
      fault(ListFault::duplicate, fmt::format("duplicate of line {}: {}", first->second, shown(name)));
      continue;
    }
    if (label && *label != id->second + 1)
      fault(ListFault::mislabelled, fmt::format("label {} disagrees with {}, where {} is {}", *label,
                                                class_file.string(), class_name, id->second + 1));
    const std::string path = find_video(root, name);
    if (!path.empty()) {
      listing.dataset.videos.push_back({path, id->second});
      continue;
    }
    const std::string elsewhere = other_class_with(root, classes, class_name, name.substr(slash + 1));
    if (elsewhere.empty()) {
      fault(ListFault::missing, fmt::format("{} is not in {}", shown(name), root.string()));
    } else {
      fault(ListFault::mislabelled, fmt::format("{} is in the folder {}", shown(name), elsewhere));
      listing.dataset.videos.push_back({(root / elsewhere / name.substr(slash + 1)).string(), id->second});
    }
  }
  return listing;
}

Dataset load_ucf101(const std::string& root, int split, Subset subset, const std::string& splits_dir) {
  return load_dataset({root, DatasetFormat::ucf101, split, splits_dir, {}, {}}, subset);
}

}  // namespace mcn
