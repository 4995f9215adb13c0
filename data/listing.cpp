// Lists as text, and files by name.
#include "data/listing.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <set>

#include "kernels/error.h"

namespace mcn {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view blank = " \t\r\n\v\f";

/// A path that the system fails to look at is not one where nothing is.
fs::file_status status_of(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::none && !is_fault_of_file(error.value()))
    fail_by_errno("dataset", path.string(), error.value());
  return status;
}

std::string read_text(const fs::path& path) {
  if (!is_file(path)) fail<DataError>("dataset", "{}: no such file", path.string());
  errno = 0;
  auto text = bytes_of_file(path);
  if (!text && errno != 0) fail_by_errno("dataset", path.string(), errno);
  if (!text) fail<DataError>("dataset", "{}: cannot be read", path.string());
  return std::move(*text);
}

std::string_view without_mark(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  return text;
}

/// Takes a CSV apart a byte at a time.
class CsvParser {
 public:
  CsvParser(std::string_view text, const fs::path& path) : text_(without_mark(text)), path_(path) {}

  std::vector<CsvRow> rows() {
    std::vector<CsvRow> rows;
    while (at_ < text_.size()) {
      CsvRow row = next_row();
      if (row.fields.size() > 1 || !trimmed(row.fields[0]).empty()) rows.push_back(std::move(row));
    }
    return rows;
  }

 private:
  [[nodiscard]] char here() const { return at_ < text_.size() ? text_[at_] : '\n'; }

  bool at_end_of_line() {
    if (here() == '\n') return true;
    return here() == '\r' && (at_ + 1 == text_.size() || text_[at_ + 1] == '\n');
  }

  CsvRow next_row() {
    CsvRow row{{}, line_};
    while (true) {
      row.fields.push_back(here() == '"' ? quoted_field() : plain_field());
      if (here() != ',' || at_ >= text_.size()) break;
      ++at_;
    }
    if (here() == '\r') ++at_;
    ++at_;
    ++line_;
    return row;
  }

  std::string plain_field() {
    std::string field;
    while (!at_end_of_line() && here() != ',') {
      if (here() == '"') fail_at(path_, line_, "a quote in the middle of a field: {}", in_quotes(field + "\""));
      if (here() == '\0') fail_at(path_, line_, "a NUL byte");
      field += text_[at_++];
    }
    return field;
  }

  std::string quoted_field() {
    const int first_line = line_;
    std::string field;
    for (++at_;; ++at_) {
      if (at_ >= text_.size()) fail_at(path_, first_line, "a quote that does not end: {}", in_quotes("\"" + field));
      const char c = text_[at_];
      if (c == '\0') fail_at(path_, line_, "a NUL byte");
      if (c == '\n') ++line_;
      if (c == '"') {
        if (at_ + 1 >= text_.size() || text_[at_ + 1] != '"') break;
        ++at_;
      }
      field += c;
    }
    ++at_;
    if (!at_end_of_line() && here() != ',')
      fail_at(path_, line_, "expected a comma after {}, got {}", in_quotes(field), in_quotes(text_.substr(at_, 1)));
    return field;
  }

  std::string_view text_;
  const fs::path& path_;
  std::size_t at_ = 0;
  int line_ = 1;
};

std::string lower_extension(const fs::path& name) {
  std::string extension = name.extension().string();
  for (char& c : extension)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return extension;
}

using FolderId = std::pair<dev_t, ino_t>;

void collect(const fs::path& folder, bool (*wanted)(const fs::path&), std::set<FolderId>& visited,
             std::vector<fs::path>& found) {
  struct stat status {};
  if (stat(folder.c_str(), &status) != 0) {
    if (!is_fault_of_file(errno)) fail_by_errno("dataset", folder.string(), errno);
    return;
  }
  if (!visited.emplace(status.st_dev, status.st_ino).second) return;
  for (const fs::directory_entry& entry : entries_of(folder)) {
    // An entry knows what it is from the folder: to ask of each of Kinetics' files would take minutes on some disks.
    std::error_code error;
    const bool folder_too = entry.is_directory(error);
    if (error && !is_fault_of_file(error.value())) fail_by_errno("dataset", entry.path().string(), error.value());
    if (folder_too)
      collect(entry.path(), wanted, visited, found);
    else if (wanted(entry.path()))
      found.push_back(entry.path());
  }
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(blank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blank) - first + 1);
}

std::pair<std::string, std::string> split_last(const std::string& text) {
  const auto space = text.find_last_of(blank);
  if (space == std::string::npos) return {text, {}};
  return {std::string(trimmed(std::string_view(text).substr(0, space))), text.substr(space + 1)};
}

std::optional<std::int64_t> integer(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string shown(std::string_view text) {
  constexpr std::size_t longest = 160;
  return one_line(text.substr(0, longest)) + (text.size() > longest ? "..." : "");
}

std::vector<Line> parse_lines(std::string_view text, const fs::path& path) {
  text = without_mark(text);
  std::vector<Line> lines;
  for (int number = 1; !text.empty(); ++number) {
    const auto end = std::min(text.find('\n'), text.size());
    const std::string_view line = trimmed(text.substr(0, end));
    if (line.find('\0') != std::string_view::npos) fail_at(path, number, "a NUL byte in {}", in_quotes(line));
    if (!line.empty()) lines.push_back({std::string(line), number});
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  if (lines.empty()) fail<DataError>("dataset", "{}: the file is empty", path.string());
  return lines;
}

std::vector<Line> read_lines(const fs::path& path) { return parse_lines(read_text(path), path); }

std::vector<CsvRow> parse_csv(std::string_view text, const fs::path& path) {
  std::vector<CsvRow> rows = CsvParser(text, path).rows();
  if (rows.empty()) fail<DataError>("dataset", "{}: the file is empty", path.string());
  return rows;
}

std::vector<CsvRow> read_csv(const fs::path& path) { return parse_csv(read_text(path), path); }

void require_folder(const std::string& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) fail<DataError>("dataset", "{}: no such folder", path);
  const bool empty = fs::is_empty(path, error);
  if (error && !is_fault_of_file(error.value())) fail_by_errno("dataset", path, error.value());
  if (empty || error) fail<DataError>("dataset", "{}: the folder is empty", path);
}

fs::path without_slash(const fs::path& path) {
  // lexically_normal() leaves an empty last part of "a/", whose parent is "a".
  fs::path normal = path.lexically_normal();
  return normal.has_filename() ? normal : normal.parent_path();
}

bool is_folder(const fs::path& path) { return fs::is_directory(status_of(path)); }

bool is_file(const fs::path& path) { return fs::is_regular_file(status_of(path)); }

bool is_no_folder(const fs::path& path) {
  const fs::file_status status = status_of(path);
  return fs::exists(status) && !fs::is_directory(status);
}

bool is_mac_metadata(const fs::path& name) { return name.filename().native().starts_with("._"); }

std::vector<fs::directory_entry> entries_of(const fs::path& folder) {
  std::vector<fs::directory_entry> entries;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (!is_mac_metadata(entry->path())) entries.push_back(*entry);
  // A folder that the system failed to read is not one that has less in it.
  if (error && !is_fault_of_file(error.value())) fail_by_errno("dataset", folder.string(), error.value());
  std::ranges::sort(entries, {}, [](const fs::directory_entry& e) -> const std::string& { return e.path().native(); });
  return entries;
}

bool is_video_name(const fs::path& name) {
  constexpr std::array extensions{".avi", ".mp4", ".mkv", ".webm", ".mov", ".m4v", ".mpg",  ".mpeg", ".mpe",
                                  ".ogv", ".flv", ".wmv", ".asf",  ".3gp", ".ts",  ".m2ts", ".mts",  ".vob"};
  return std::ranges::find(extensions, lower_extension(name)) != extensions.end();
}

bool is_tar_name(const fs::path& name) { return lower_extension(name) == ".tar"; }

std::vector<fs::path> files_below(const fs::path& folder, bool (*wanted)(const fs::path&)) {
  std::vector<fs::path> found;
  std::set<FolderId> visited;
  collect(folder, wanted, visited, found);
  return found;
}

std::vector<fs::path> named_files(const DatasetConfig& config, const std::vector<std::string>& names) {
  std::vector<fs::path> paths;
  for (const std::string& name : names) {
    paths.push_back(place_of(config, name));
    if (!is_file(paths.back()))
      fail<DataError>("dataset", "{}: no such file, neither as it is nor in {}", name, config.root);
  }
  return paths;
}

fs::path place_of(const DatasetConfig& config, const std::string& name) {
  return is_file(name) ? fs::path(name) : fs::path(config.root) / name;
}

void refuse_files(const DatasetConfig& config) {
  for (const auto* files : {&config.train_files, &config.test_files})
    if (!files->empty())
      fail("dataset", "{} has official lists, expected no other, got {}", name_of(config.format), files->front());
}

void refuse_splits_dir(const DatasetConfig& config) {
  if (!config.splits_dir.empty())
    fail("dataset", "{} has no lists, expected no folder of them, got {}", name_of(config.format), config.splits_dir);
}

void refuse_split(const DatasetConfig& config) {
  if (config.split != 1) fail("dataset", "{} has one split, expected 1, got {}", name_of(config.format), config.split);
}

std::vector<std::string> words_of(Subset subset) {
  if (subset == Subset::train) return {"train", "training"};
  return {"val", "validate", "validation", "test", "testing"};
}

}  // namespace mcn
