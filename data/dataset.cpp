// UCF101's split files.
#include "data/dataset.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string_view>

#include "kernels/error.h"

namespace mcn {
namespace {

namespace fs = std::filesystem;

struct Line {
  std::string text;
  int number = 0;
};

constexpr std::string_view blank = " \t\r\n\v\f";

std::string_view trimmed(std::string_view s) {
  const auto first = s.find_first_not_of(blank);
  if (first == std::string_view::npos) return {};
  return s.substr(first, s.find_last_not_of(blank) - first + 1);
}

/// The lines that are not blank, without space at their ends.
std::vector<Line> read_lines(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) fail<DataError>("dataset", "{}: no such file", path.string());
  std::ifstream file(path, std::ios::binary);
  if (!file) fail<DataError>("dataset", "{}: cannot be read", path.string());
  std::vector<Line> lines;
  std::string text;
  for (int number = 1; std::getline(file, text); ++number) {
    std::string_view line = text;
    if (number == 1 && line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
    line = trimmed(line);
    if (!line.empty()) lines.push_back({std::string(line), number});
  }
  if (file.bad()) fail<DataError>("dataset", "{}: cannot be read", path.string());
  if (lines.empty()) fail<DataError>("dataset", "{}: the file is empty", path.string());
  return lines;
}

template <class... Args>
[[noreturn]] void fail_at(const fs::path& path, int line, fmt::format_string<Args...> format, Args&&... args) {
  fail<DataError>("dataset", "{}:{}: {}", path.string(), line, fmt::format(format, std::forward<Args>(args)...));
}

std::optional<std::int64_t> integer(std::string_view s) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), value);
  if (error != std::errc() || end != s.data() + s.size()) return std::nullopt;
  return value;
}

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
    const auto space = text.find_first_of(blank);
    const auto id = integer(std::string_view(text).substr(0, space));
    if (space == std::string::npos || !id) fail_at(path, number, "expected \"ID CLASS\", got \"{}\"", text);
    const std::string name(trimmed(std::string_view(text).substr(space)));
    if (*id < 1 || *id > count) fail_at(path, number, "class id {} is out of range 1 to {}", *id, count);
    std::string& slot = classes[static_cast<std::size_t>(*id - 1)];
    if (!slot.empty()) fail_at(path, number, "class id {} is {} already", *id, slot);
    const auto [first, fresh] = seen.emplace(canonical(name), number);
    if (!fresh) fail_at(path, number, "duplicate class {}, first in line {}", name, first->second);
    slot = name;
  }
  return classes;
}

fs::path find_splits(const fs::path& root, const std::string& splits_dir) {
  std::error_code error;
  if (!splits_dir.empty()) {
    if (!fs::is_directory(splits_dir, error))
      fail<DataError>("dataset", "{}: no such folder of split files", splits_dir);
    return splits_dir;
  }
  // lexically_normal() leaves an empty last part of "a/", whose parent is "a".
  fs::path top = root.lexically_normal();
  if (!top.has_filename()) top = top.parent_path();
  const fs::path inside = top / "ucfTrainTestlist";
  const fs::path beside = (top / ".." / "ucfTrainTestlist").lexically_normal();
  for (const fs::path& candidate : {inside, beside})
    if (fs::is_directory(candidate, error)) return candidate;
  fail<DataError>("dataset", "no split files: neither {} nor {} is there", inside.string(), beside.string());
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
  for (const std::string& name : names) {
    std::error_code error;
    if (fs::exists(root / name, error)) return (root / name).string();
  }
  return {};
}

/// Takes "a b.avi 12" apart: a number after the last space is a label only if a name with an extension stands before
/// it.
std::pair<std::string, std::optional<std::int64_t>> split_label(const std::string& text) {
  const auto space = text.find_last_of(blank);
  if (space == std::string::npos) return {text, std::nullopt};
  const auto label = integer(std::string_view(text).substr(space + 1));
  const std::string name(trimmed(std::string_view(text).substr(0, space)));
  if (!label || fs::path(name).extension().empty()) return {text, std::nullopt};
  return {name, label};
}

}  // namespace

Dataset load_ucf101(const std::string& root, int split, Subset subset, const std::string& splits_dir) {
  if (split < 1 || split > 99) fail("dataset", "expected a split from 1 to 99 (UCF101 has 3), got {}", split);
  std::error_code error;
  if (!fs::is_directory(root, error)) fail<DataError>("dataset", "{}: no such folder", root);
  if (fs::is_empty(root, error) || error) fail<DataError>("dataset", "{}: the folder is empty", root);
  const fs::path splits = find_splits(root, splits_dir);
  const fs::path class_file = splits / "classInd.txt";
  const fs::path list = splits / fmt::format("{}list{:02}.txt", subset == Subset::train ? "train" : "test", split);

  Dataset dataset{read_classes(class_file), {}};
  std::map<std::string, std::int64_t> ids;
  for (std::size_t i = 0; i < dataset.classes.size(); ++i)
    ids[canonical(dataset.classes[i])] = static_cast<std::int64_t>(i);
  std::map<std::string, int> seen;
  for (const auto& [text, number] : read_lines(list)) {
    const auto [name, label] = split_label(text);
    const auto slash = name.find('/');
    if (slash == std::string::npos || slash == 0 || slash + 1 == name.size() || fs::path(name).is_absolute())
      fail_at(list, number, "expected \"CLASS/VIDEO\" or \"CLASS/VIDEO LABEL\", got \"{}\"", text);
    for (const fs::path& part : fs::path(name))
      if (part == "..") fail_at(list, number, "\"{}\" leads out of the data set", name);
    const std::string class_name = name.substr(0, slash);
    const auto id = ids.find(canonical(class_name));
    if (id == ids.end()) fail_at(list, number, "class {} is not in {}", class_name, class_file.string());
    if (label && (*label < 1 || *label > static_cast<std::int64_t>(dataset.classes.size())))
      fail_at(list, number, "label {} is out of range 1 to {}", *label, dataset.classes.size());
    if (label && *label != id->second + 1)
      fail_at(list, number, "label {} disagrees with {}, where {} is {}", *label, class_file.string(), class_name,
              id->second + 1);
    const auto [first, fresh] = seen.emplace(canonical(name), number);
    if (!fresh) fail_at(list, number, "duplicate of line {}: {}", first->second, name);
    const std::string path = find_video(root, name);
    if (path.empty()) fail_at(list, number, "{} is not in {}", name, root);
    dataset.videos.push_back({path, id->second});
  }
  return dataset;
}

}  // namespace mcn
