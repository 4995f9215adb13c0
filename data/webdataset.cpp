// WebDataset's tar shards. libarchive reads each once, from its beginning to its end, to tell where in it every video's
// bytes are; a video is then a range of the shard, and as easily reached as a file.
#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "data/file_bytes.h"
#include "data/listing.h"
#include "data/ordered.h"
#include "engine/io/json_text.h"
#include "kernels/error.h"

namespace mcn {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t block = 512;            // of a tar file; headers and data begin at multiples of it
constexpr std::int64_t most_classes = 100000;  // few enough that a wrong number makes no million of classes
constexpr std::int64_t most_label_bytes = 1 << 20;
constexpr std::int64_t most_rest = 1 << 20;  // zeros behind the end; tar's records have 10 KiB
constexpr std::size_t most_shards = 1000000;

struct ArchiveDeleter {
  void operator()(archive* a) const { archive_read_free(a); }
};
using Archive = std::unique_ptr<archive, ArchiveDeleter>;

template <class... Args>
[[noreturn]] void fail_in(const fs::path& shard, fmt::format_string<Args...> format, Args&&... args) {
  fail<DataError>("dataset", "{}: {}", shard.string(), fmt::format(format, std::forward<Args>(args)...));
}

/// a-{000..011}.tar or {a,b}.tar, also several braces in one pattern.
std::vector<std::string> expanded(const std::string& pattern) {
  const auto open = pattern.find('{');
  const auto close = pattern.find('}', open == std::string::npos ? 0 : open);
  if (open == std::string::npos && close == std::string::npos) return {pattern};
  const auto refuse = [&](const std::string& why) {
    fail<DataError>("dataset", "shards {}: {}", in_quotes(pattern), why);
  };
  if (open == std::string::npos || close == std::string::npos || pattern.find('{', open + 1) < close)
    refuse("expected braces in pairs, as in shard-{000000..000011}.tar");
  const std::string inside = pattern.substr(open + 1, close - open - 1);
  std::vector<std::string> parts;
  if (const auto dots = inside.find(".."); dots != std::string::npos) {
    const std::string first = inside.substr(0, dots), last = inside.substr(dots + 2);
    const auto from = integer(first), to = integer(last);
    if (!from || !to || *from < 0 || *to < *from) refuse("expected {FIRST..LAST} with numbers that rise");
    if (static_cast<std::size_t>(*to - *from) >= most_shards) refuse(fmt::format("more than {} shards", most_shards));
    // Leading zeros say how wide the numbers are.
    const std::size_t width = first.size() > 1 && first[0] == '0' ? first.size() : 0;
    for (std::int64_t i = *from; i <= *to; ++i) parts.push_back(fmt::format("{:0{}}", i, width));
  } else {
    for (std::size_t at = 0; at <= inside.size();) {
      const auto comma = std::min(inside.find(',', at), inside.size());
      parts.push_back(inside.substr(at, comma - at));
      at = comma + 1;
    }
  }
  const std::vector<std::string> rests = expanded(pattern.substr(close + 1));
  if (parts.size() * rests.size() > most_shards) refuse(fmt::format("more than {} shards", most_shards));
  std::vector<std::string> names;
  for (const std::string& part : parts)
    for (const std::string& rest : rests) names.push_back(fmt::format("{}{}{}", pattern.substr(0, open), part, rest));
  return names;
}

std::vector<fs::path> shards_in(const fs::path& folder) {
  std::vector<fs::path> shards;
  for (const fs::directory_entry& entry : entries_of(folder))
    if (entry.path().extension() == ".tar") shards.push_back(entry.path());
  return shards;
}

/// A shard's name from the first of its parts on that begins with a subset's word: "val-0.tar" of ucf-val-0.tar. Empty
/// if none does.
std::string from_subset_word(const fs::path& shard) {
  std::string rest = shard.filename().string();
  while (true) {
    for (const Subset subset : {Subset::train, Subset::test})
      for (const std::string& word : words_of(subset))
        if (rest.starts_with(word)) return rest;
    const auto end_of_part = rest.find_first_of("-_.");
    if (end_of_part == std::string::npos) return {};
    rest.erase(0, end_of_part + 1);
  }
}

std::vector<fs::path> default_shards(const DatasetConfig& config, Subset subset) {
  const fs::path root = config.root;
  std::vector<fs::path> loose = shards_in(root);
  const auto of_subset = [&](Subset which) {
    for (const std::string& word : words_of(which)) {
      if (auto shards = shards_in(root / word); !shards.empty()) return shards;
      std::vector<fs::path> shards;
      for (const fs::path& shard : loose)
        if (from_subset_word(shard).starts_with(word)) shards.push_back(shard);
      if (!shards.empty()) return shards;
    }
    return std::vector<fs::path>();
  };
  std::vector<fs::path> shards = of_subset(subset);
  // Shards that say nothing of subsets are to be trained on.
  if (shards.empty() && subset == Subset::train && of_subset(Subset::test).empty()) return loose;
  return shards;
}

/// A shard under way: libarchive for what the format means, the file itself for where things are.
class ShardReader {
 public:
  explicit ShardReader(fs::path path) : path_(std::move(path)), file_(source_of(path_), never_) {
    size_ = file_.size();
    archive_.reset(archive_read_new());
    if (!archive_) throw std::bad_alloc();
    archive_read_support_format_tar(archive_.get());
    // Shards joined by `cat` go on behind the first one's end mark.
    if (archive_read_set_option(archive_.get(), "tar", "read_concatenated_archives", "1") != ARCHIVE_OK) refuse();
    // Known only to be refused by name.
    archive_read_support_filter_gzip(archive_.get());
    archive_read_support_filter_bzip2(archive_.get());
    archive_read_support_filter_xz(archive_.get());
    archive_read_support_filter_zstd(archive_.get());
    archive_read_support_filter_lz4(archive_.get());
    constexpr std::size_t read_bytes = 10240;
    if (archive_read_open_filename(archive_.get(), path_.c_str(), read_bytes) != ARCHIVE_OK) refuse();
    // The last of the filters is the file itself.
    if (archive_filter_count(archive_.get()) > 1)
      fail_in(path_,
              "the shard is compressed ({}): expected plain tar, in which a video can be reached without the rest",
              archive_filter_name(archive_.get(), 0));
  }

  /// Goes to the next member; false at the end.
  bool next() {
    const int code = archive_read_next_header(archive_.get(), &entry_);
    // Looking for another archive behind the end, libarchive takes zeros that are no whole block for a truncated one.
    if (code == ARCHIVE_EOF || (code == ARCHIVE_FATAL && nothing_follows())) {
      require_end_mark();
      return false;
    }
    // A warning is of a name that the locale cannot spell, or the like.
    if (code != ARCHIVE_OK && code != ARCHIVE_WARN) refuse();
    const char* name = archive_entry_pathname(entry_);
    if (name == nullptr) fail_in(path_, "a member whose name cannot be read, at byte {}", offset());
    name_ = name;
    if (archive_entry_sparse_count(entry_) > 0)
      fail_in(path_, "{} is stored sparse: expected its bytes as they are", shown(name_));
    bytes_ = archive_entry_size(entry_);
    offset_ = archive_filter_bytes(archive_.get(), -1);
    if (bytes_ < 0 || offset_ % block != 0 || offset_ > size_ || bytes_ > size_ - offset_)
      fail_in(path_, "{} needs {} bytes from byte {} on, the shard has {}: it is truncated or damaged", shown(name_),
              bytes_, offset_, size_);
    end_ = offset_ + (bytes_ + block - 1) / block * block;
    return true;
  }

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] bool is_regular() const {
    return archive_entry_filetype(entry_) == AE_IFREG && archive_entry_hardlink(entry_) == nullptr;
  }
  [[nodiscard]] std::int64_t offset() const { return offset_; }
  [[nodiscard]] std::int64_t bytes() const { return bytes_; }

  /// The member's content.
  std::string content() {
    if (bytes_ > most_label_bytes)
      fail_in(path_, "{} has {} bytes, expected a label of at most {}", shown(name_), bytes_, most_label_bytes);
    std::string text(static_cast<std::size_t>(bytes_), '\0');
    std::size_t got = 0;
    while (got < text.size()) {
      const auto more = archive_read_data(archive_.get(), text.data() + got, text.size() - got);
      if (more <= 0) refuse();
      got += static_cast<std::size_t>(more);
    }
    return text;
  }

  /// DataError unless the file holds, where the member is said to be, what libarchive reads from it.
  void verify_place() {
    if (bytes_ == 0) return;
    std::array<char, block> expected{}, found{};
    const auto length = static_cast<std::size_t>(std::min(bytes_, block));
    if (archive_read_data(archive_.get(), expected.data(), length) != static_cast<la_ssize_t>(length)) refuse();
    if (!read_at(offset_, {found.data(), length}) || std::memcmp(expected.data(), found.data(), length) != 0)
      fail_in(path_, "{} is not at byte {}: its data are not stored as they are", shown(name_), offset_);
  }

 private:
  static VideoSource source_of(const fs::path& path) {
    std::error_code error;
    if (!is_file(path)) fail_in(path, "no such file");
    if (fs::file_size(path, error) == 0) fail_in(path, "the file is empty");
    return path.string();
  }

  [[noreturn]] void refuse() {
    const int error = archive_errno(archive_.get());
    for (const int system : {ENOMEM, EIO, EMFILE, ENFILE, EINTR, EAGAIN})
      if (error == system) fail_by_errno("dataset", path_.string(), error);
    const char* text = archive_error_string(archive_.get());
    fail_in(path_, "not a tar file that can be read to its end ({})", shown(text != nullptr ? text : "no more data"));
  }

  bool read_at(std::int64_t offset, std::span<char> out) {
    return file_.read(offset, {reinterpret_cast<std::uint8_t*>(out.data()), out.size()}, never_) == out.size();
  }

  bool nothing_follows() {
    std::vector<char> rest(static_cast<std::size_t>(std::clamp(size_ - end_, std::int64_t{0}, most_rest)));
    return !rest.empty() && end_ + std::ssize(rest) == size_ && read_at(end_, rest) &&
           std::ranges::all_of(rest, [](char c) { return c == 0; });
  }

  // libarchive takes the end of the file for the end of the archive; but a shard that is cut off after a member ends
  // there, too.
  void require_end_mark() {
    std::array<char, block> mark{};
    if (!read_at(end_, mark) || std::ranges::any_of(mark, [](char c) { return c != 0; }))
      fail_in(path_, "expected the zeros that end a tar file at byte {}, of {} bytes: the shard is truncated", end_,
              size_);
  }

  fs::path path_;
  Deadline never_{0};
  FileBytes file_;
  std::int64_t size_ = 0, offset_ = 0, bytes_ = 0, end_ = 0;
  std::string name_;
  Archive archive_;
  archive_entry* entry_ = nullptr;
};

std::int64_t checked_label(const fs::path& shard, const std::string& member, std::optional<std::int64_t> label,
                           const std::string& text) {
  if (!label) fail_in(shard, "{}: expected a whole number for a label, got {}", shown(member), in_quotes(text));
  if (*label < 0 || *label >= most_classes)
    fail_in(shard, "{}: label {} is out of range 0 to {}", shown(member), *label, most_classes - 1);
  return *label;
}

std::int64_t label_of_cls(const fs::path& shard, const std::string& member, const std::string& text) {
  return checked_label(shard, member, integer(trimmed(text)), text);
}

/// Nothing if the JSON has no label: it may describe something else.
std::optional<std::int64_t> label_of_json(const fs::path& shard, const std::string& member, const std::string& text) {
  const auto json = parse_json(text);
  if (json.is_discarded()) fail_in(shard, "{}: not JSON, or nested too deeply: {}", shown(member), in_quotes(text));
  if (!json.is_object() || !json.contains("label")) return std::nullopt;
  const auto& label = json["label"];
  const std::string as_text = label.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  // A number beyond int64 is kept as another type of JSON's.
  return checked_label(shard, member, label.is_number_integer() ? integer(as_text) : std::nullopt, as_text);
}

struct Shard {
  std::vector<VideoEntry> videos;
  std::int64_t largest_label = 0;
};

/// A member's name up to a dot in its last part.
std::string key_of(const std::string& name, bool first_dot) {
  const auto slash = name.rfind('/');
  const auto base = slash == std::string::npos ? 0 : slash + 1;
  const auto dot = first_dot ? name.find('.', base) : name.rfind('.');
  return dot == std::string::npos || dot < base ? name : name.substr(0, dot);
}

Shard read_shard(const fs::path& path) {
  struct Member {
    std::string name;
    VideoSource source;
  };
  std::vector<Member> members;
  std::unordered_map<std::string, int> seen;
  std::unordered_map<std::string, std::int64_t> labels;
  const auto note_label = [&](const std::string& member, std::int64_t label) {
    const auto [known, fresh] = labels.emplace(key_of(member, false), label);
    if (!fresh && known->second != label)
      fail_in(path, "{}: label {}, but {} before", shown(member), label, known->second);
  };
  for (ShardReader reader(path); reader.next();) {
    const std::string& name = reader.name();
    const std::string extension = fs::path(name).extension().string();
    const bool video = is_video_name(name);
    if (!video && extension != ".cls" && extension != ".json") continue;
    if (is_mac_metadata(name)) continue;
    if (!reader.is_regular()) fail_in(path, "{}: expected a file, got a link or another kind of member", shown(name));
    if (!seen.emplace(name, 0).second) fail_in(path, "two members named {}", shown(name));
    if (video) {
      reader.verify_place();
      members.push_back({name, {path.string(), reader.offset(), reader.bytes(), name}});
    } else if (extension == ".cls") {
      note_label(name, label_of_cls(path, name, reader.content()));
    } else if (const auto label = label_of_json(path, name, reader.content())) {
      note_label(name, *label);
    }
  }
  if (members.empty()) fail_in(path, "no video in it: expected members such as NAME.mp4 and NAME.cls");

  Shard shard;
  for (Member& member : members) {
    auto label = labels.find(key_of(member.name, false));
    // By WebDataset's rule, a.left.mp4 belongs to a.cls.
    if (label == labels.end()) label = labels.find(key_of(member.name, true));
    if (label == labels.end())
      fail_in(path, "{} has no label: neither a .cls beside it nor a .json with a label", shown(member.name));
    shard.videos.push_back({std::move(member.source), label->second});
    shard.largest_label = std::max(shard.largest_label, label->second);
  }
  return shard;
}

}  // namespace

bool shows_webdataset(const DatasetConfig& config) {
  for (const auto* files : {&config.train_files, &config.test_files})
    if (!files->empty()) return files->front().find(".tar") != std::string::npos;
  return !default_shards(config, Subset::train).empty();
}

Listing read_webdataset(const DatasetConfig& config, Subset subset) {
  refuse_split(config);
  refuse_splits_dir(config);
  require_folder(config.root);
  std::vector<std::string> names;
  for (const std::string& pattern : files_of(config, subset))
    std::ranges::move(expanded(pattern), std::back_inserter(names));
  std::vector<fs::path> paths = named_files(config, names);
  if (paths.empty()) paths = default_shards(config, subset);
  if (paths.empty())
    fail<DataError>("dataset", "no shards of {} videos in {}: expected {}/*.tar or {}*.tar, or their names",
                    name_of(subset), config.root, words_of(subset).front(), words_of(subset).front());
  std::map<std::string, int> seen;
  for (const fs::path& path : paths)
    if (!seen.emplace(path.lexically_normal().string(), 0).second)
      fail<DataError>("dataset", "{}: the shard is named twice", path.string());

  Listing listing;
  std::int64_t largest = 0;
  // What takes time is waiting for the disk, or the network behind it.
  constexpr int threads = 4;
  Ordered<Shard> shards(threads, 4 * threads, static_cast<std::int64_t>(paths.size()), [&paths](std::int64_t i) {
    const fs::path& path = paths[static_cast<std::size_t>(i)];
    try {
      return read_shard(path);
    } catch (const SystemError&) {
      return read_shard(path);  // a moment's failure goes by
    }
  });
  while (auto shard = shards.next()) {
    largest = std::max(largest, shard->largest_label);
    std::ranges::move(shard->videos, std::back_inserter(listing.dataset.videos));
  }
  for (std::int64_t label = 0; label <= largest; ++label) listing.dataset.classes.push_back(std::to_string(label));
  return listing;
}

}  // namespace mcn
