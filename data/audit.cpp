// Looks at every file of a data set, several at a time.
#include "data/audit.h"

#include <xxhash.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <tuple>

#include "data/container.h"
#include "data/decoder.h"
#include "data/index_cache.h"
#include "data/listing.h"
#include "data/ordered.h"
#include "data/video_pool.h"

namespace mcn {
namespace {

namespace fs = std::filesystem;

struct Item {
  VideoEntry entry;
  Subset subset = Subset::train;
};

/// What a look into a video gave.
struct Look {
  std::optional<AuditFault> fault;
  std::string detail;
  std::int64_t bytes = 0, frames = 0;
  std::string index{};  ///< what is wrong with the cache's
};

/// Of containers that count frames truly: MP4 may say in an edit list that some are not to be shown.
std::int64_t promised_frames(const Decoder& decoder) {
  return std::string_view(decoder.format().iformat->name) == "avi" ? decoder.stream().nb_frames : 0;
}

Look look_once(const VideoSource& source, const AuditConfig& config) {
  Look look;
  const Deadline deadline(config.timeout_seconds);
  try {
    look.bytes = check_source(source, deadline);
    const std::int64_t declared = declared_bytes(source, deadline).value_or(0);
    if (declared > look.bytes)
      return {AuditFault::corrupt, fmt::format("cut off: {} bytes, its container has {}", look.bytes, declared),
              look.bytes, 0};
    Decoder decoder(source, {.timeout_seconds = config.timeout_seconds});
    bool ended = false;
    while (config.decode || look.frames < config.frames) {
      ended = decoder.next() == nullptr;
      if (ended) break;
      ++look.frames;
    }
    // Some encoders count a frame or two that they then put into another's packet.
    const std::int64_t slack = std::max<std::int64_t>(2, promised_frames(decoder) / 50);
    if (look.frames == 0)
      look = {AuditFault::corrupt, "no frame can be decoded", look.bytes, 0};
    else if (decoder.damaged() > 0)
      look = {AuditFault::corrupt, fmt::format("{} damaged packets", decoder.damaged()), look.bytes, look.frames};
    else if (decoder.cut_off() > 0)
      look = {AuditFault::corrupt, fmt::format("cut off after {} frames", look.frames), look.bytes, look.frames};
    else if (ended && look.frames + slack < promised_frames(decoder))
      look = {AuditFault::corrupt,
              fmt::format("{} frames, its header promises {}", look.frames, promised_frames(decoder)), look.bytes,
              look.frames};
    else if (look.frames < config.frames)
      look = {AuditFault::too_short, fmt::format("{} frames, a clip needs {}", look.frames, config.frames), look.bytes,
              look.frames};
  } catch (const DataError& error) {
    look.fault = deadline.over() ? AuditFault::stuck : AuditFault::corrupt;
    look.detail = error.what();
    // The finding names the video by itself.
    const std::string known = fmt::format("[video] {}: ", source.name);
    if (look.detail.starts_with(known)) look.detail.erase(0, known.size());
  }
  return look;
}

/// What the cache's index of a video says that the file does not; empty if they agree, or the cache has none.
std::string wrong_index(const VideoSource& source, const AuditConfig& config) {
  const IndexCacheEntry entry(config.index_folder, source);
  const auto kept = entry.load();
  if (!kept) return {};
  std::shared_ptr<const VideoIndex> made;
  std::string difference;
  try {
    made = Video(source, {.cache_bytes = 0, .timeout_seconds = config.timeout_seconds, .always_decode = kept->proven()})
               .index();
  } catch (const DataError& error) {
    return fmt::format("{} says: {} frames; {}; remove it", entry.path(), kept->info.frames, error.what());
  }
  if (kept->info.frames != made->info.frames)
    difference = fmt::format("{} frames, the file has {}", kept->info.frames, made->info.frames);
  else if (kept->proven() != made->proven())
    difference = "what the packets say, and the file needs to be decoded";
  else if (kept->fingerprints != made->fingerprints || kept->packets != made->packets)
    difference = "other frames than the file has";
  else
    return {};
  return fmt::format("{} says: {}; remove it", entry.path(), difference);
}

/// FFmpeg does not always tell when it had no memory for something: what looks wrong is looked at once more.
Look look_into(const VideoSource& source, const AuditConfig& config) {
  const auto once = [&] { return with_memory(source.name, [&] { return look_once(source, config); }); };
  Look look = once();
  if (look.fault == AuditFault::corrupt) look = once();
  if (!config.index_folder.empty() && look.fault != AuditFault::stuck) look.index = wrong_index(source, config);
  return look;
}

using Hash = std::pair<std::uint64_t, std::uint64_t>;

/// Nothing for a file that cannot be read to its end, or not in time: no Hash, or late.
struct HashLook {
  std::optional<Hash> hash;
  bool late = false;
};

HashLook hash_of(const VideoSource& source, std::int64_t bytes, double timeout_seconds) {
  const Deadline deadline(timeout_seconds);
  struct StateDeleter {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  const std::unique_ptr<XXH3_state_t, StateDeleter> state(XXH3_createState());
  if (!state) throw std::bad_alloc();
  XXH3_128bits_reset(state.get());
  std::vector<std::uint8_t> buffer(1 << 18);
  try {
    const FileBytes file(source, deadline);
    for (std::int64_t at = 0; at < bytes;) {
      const std::size_t got = file.read(at, buffer, deadline);
      if (got == 0) return {};
      XXH3_128bits_update(state.get(), buffer.data(), got);
      at += static_cast<std::int64_t>(got);
    }
  } catch (const DataError&) {
    return {std::nullopt, deadline.over()};
  }
  const XXH128_hash_t hash = XXH3_128bits_digest(state.get());
  return {Hash{hash.high64, hash.low64}, false};
}

fs::path normal(const fs::path& path) {
  std::error_code error;
  const fs::path absolute = fs::absolute(path, error);
  return (error ? path : absolute).lexically_normal();
}

/// Where nothing but the labels is known, folders count as classes if each has a label that most of its videos have,
/// every label is some folder's, and there are several: then a video with another label than its folder's stands out.
std::vector<std::pair<std::size_t, std::int64_t>> strangers(const std::vector<Item>& items) {
  std::map<std::string, std::map<std::int64_t, std::int64_t>> counts;
  for (const Item& item : items) ++counts[fs::path(item.entry.source.path).parent_path().string()][item.entry.label];
  std::map<std::string, std::int64_t> label_of;
  std::set<std::int64_t> all, majorities;
  for (const auto& [folder, labels] : counts) {
    const auto most = std::ranges::max_element(labels, {}, [](const auto& entry) { return entry.second; });
    std::int64_t total = 0;
    for (const auto& [label, count] : labels) {
      total += count;
      all.insert(label);
    }
    if (2 * most->second <= total) return {};
    label_of[folder] = most->first;
    majorities.insert(most->first);
  }
  if (majorities.size() < 2 || majorities.size() != all.size()) return {};
  std::vector<std::pair<std::size_t, std::int64_t>> result;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::int64_t expected = label_of[fs::path(items[i].entry.source.path).parent_path().string()];
    if (items[i].entry.label != expected) result.emplace_back(i, expected);
  }
  return result;
}

class Auditor {
 public:
  Auditor(const AuditConfig& config, const std::function<void(std::int64_t, std::int64_t)>& progress)
      : config_(config), progress_(progress) {
    // A file that there is no descriptor for would pass for a corrupt one.
    config_.threads = affordable_files(config.threads);
  }

  AuditReport run() {
    config_.dataset.format = detect_format(config_.dataset);
    report_.format = config_.dataset.format;
    for (const Subset subset : config_.subsets) take(subset);
    if (report_.format == DatasetFormat::list)
      for (const auto& [i, expected] : strangers(items_))
        find(AuditFault::mislabelled, i,
             fmt::format("label {}, most of its folder have {}", items_[i].entry.label, expected));
    const std::vector<std::size_t> twins = of_equal_size();
    total_ = static_cast<std::int64_t>(items_.size() + twins.size());
    look();
    compare(twins);
    count_unlisted();
    std::ranges::stable_sort(report_.findings, {}, &AuditFinding::fault);
    return std::move(report_);
  }

 private:
  void find(AuditFault fault, std::size_t item, const std::string& detail) {
    report_.findings.push_back({fault, items_[item].subset, items_[item].entry.source.name, detail});
  }

  void take(Subset subset) {
    Listing listing = read_listing(config_.dataset, subset);
    for (ListFault& fault : listing.faults) {
      constexpr std::array kinds{AuditFault::missing, AuditFault::mislabelled, AuditFault::duplicate};
      report_.findings.push_back({kinds[fault.kind], subset, fault.video, fault.where + ": " + fault.what});
      if (fault.kind == ListFault::missing) ++report_.listed;
    }
    for (const std::string& path : listing.set_aside) named_.insert(normal(path).string());
    for (VideoEntry& entry : listing.dataset.videos) {
      named_.insert(normal(entry.source.path).string());
      const auto [first, fresh] =
          by_place_.emplace(std::pair(normal(entry.source.path).string(), entry.source.offset), items_.size());
      if (fresh) {
        items_.push_back({std::move(entry), subset});
        continue;
      }
      const Item& other = items_[first->second];
      const std::string lists =
          other.subset == subset ? "listed twice"
                                 : fmt::format("in the lists of {} and of {}", name_of(other.subset), name_of(subset));
      report_.findings.push_back({AuditFault::duplicate, subset, entry.source.name,
                                  lists + (other.entry.label == entry.label ? "" : ", with another label")});
    }
  }

  /// Of the videos that have the size of another; their hashes must tell.
  std::vector<std::size_t> of_equal_size() {
    std::map<std::int64_t, std::vector<std::size_t>> by_size;
    sizes_.assign(items_.size(), -1);
    for (std::size_t i = 0; i < items_.size(); ++i) {
      try {
        sizes_[i] = check_source(items_[i].entry.source);
        by_size[sizes_[i]].push_back(i);
      } catch (const DataError&) {
        continue;  // look() finds it
      }
    }
    std::vector<std::size_t> result;
    for (const auto& [size, which] : by_size)
      if (which.size() > 1) result.insert(result.end(), which.begin(), which.end());
    std::ranges::sort(result);
    return result;
  }

  void show() const {
    if (progress_) progress_(done_, total_);
  }
  void step() {
    ++done_;
    show();
  }

  void look() {
    stuck_.assign(items_.size(), false);
    // Before a file is opened, which may be stuck: the caller can stop from here on.
    show();
    Ordered<Look> looks(
        config_.threads, 16 * config_.threads, static_cast<std::int64_t>(items_.size()),
        [this](std::int64_t i) { return look_into(items_[static_cast<std::size_t>(i)].entry.source, config_); },
        config_.timeout_seconds);
    for (std::size_t i = 0; i < items_.size(); ++i) {
      const Look look = *looks.next([this] { show(); });
      stuck_[i] = look.fault == AuditFault::stuck;
      ++report_.listed;
      ++report_.checked;
      report_.bytes += look.bytes;
      report_.frames += look.frames;
      if (look.fault) find(*look.fault, i, look.detail);
      if (!look.index.empty()) find(AuditFault::wrong_index, i, look.index);
      step();
    }
  }

  void compare(const std::vector<std::size_t>& twins) {
    std::map<std::tuple<std::int64_t, Hash>, std::size_t> first_of;
    Ordered<HashLook> hashes(
        config_.threads, 16 * config_.threads, static_cast<std::int64_t>(twins.size()),
        [&](std::int64_t k) {
          const std::size_t i = twins[static_cast<std::size_t>(k)];
          if (stuck_[i]) return HashLook{};
          return hash_of(items_[i].entry.source, sizes_[i], config_.timeout_seconds);
        },
        config_.timeout_seconds);
    for (const std::size_t i : twins) {
      const auto [hash, late] = *hashes.next([this] { show(); });
      step();
      if (late) find(AuditFault::stuck, i, fmt::format("not read after {} s", config_.timeout_seconds));
      if (!hash) continue;
      const auto [first, fresh] = first_of.emplace(std::tuple(sizes_[i], *hash), i);
      if (fresh) continue;
      const Item& other = items_[first->second];
      find(AuditFault::duplicate, i,
           fmt::format("the same bytes as {} ({}{})", other.entry.source.name, name_of(other.subset),
                       other.entry.label == items_[i].entry.label ? "" : ", with another label"));
    }
  }

  // A file that only a list outside of this audit names is listed all the same. Who names one list may have no other.
  void note_names_of(Subset subset) {
    try {
      const Listing listing = read_listing(config_.dataset, subset);
      for (const std::string& path : listing.set_aside) named_.insert(normal(path).string());
      for (const VideoEntry& entry : listing.dataset.videos) named_.insert(normal(entry.source.path).string());
    } catch (const Error&) {
      return;
    }
  }

  void count_unlisted() {
    for (const Subset subset : {Subset::train, Subset::test})
      if (std::ranges::find(config_.subsets, subset) == config_.subsets.end()) note_names_of(subset);
    const bool shards = report_.format == DatasetFormat::webdataset;
    for (const fs::path& file : files_below(config_.dataset.root, shards ? is_tar_name : is_video_name))
      if (!named_.contains(normal(file).string())) ++report_.unlisted;
  }

  AuditConfig config_;
  const std::function<void(std::int64_t, std::int64_t)>& progress_;
  AuditReport report_;
  std::vector<Item> items_;
  std::vector<std::int64_t> sizes_;  // of items_; -1: not to be had
  std::vector<bool> stuck_;
  std::map<std::pair<std::string, std::int64_t>, std::size_t> by_place_;
  std::set<std::string> named_;
  std::int64_t done_ = 0, total_ = 0;
};

}  // namespace

const char* name_of(AuditFault fault) {
  constexpr std::array names{"missing", "corrupt", "stuck", "short", "duplicate", "mislabelled", "index"};
  return names[static_cast<std::size_t>(fault)];
}

std::int64_t AuditReport::count(AuditFault fault) const {
  return std::ranges::count(findings, fault, &AuditFinding::fault);
}

AuditReport audit(const AuditConfig& config, const std::function<void(std::int64_t, std::int64_t)>& progress) {
  if (config.threads < 1 || config.frames < 1)
    fail("audit", "threads and frames must be positive, got {} and {}", config.threads, config.frames);
  if (!(config.timeout_seconds >= 0))
    fail("audit", "the time that a file may take must not be negative, got {}", config.timeout_seconds);
  return Auditor(config, progress).run();
}

}  // namespace mcn
