// Folders of videos without any list. Folders of the first level are classes, where there are several.
#include <algorithm>
#include <set>

#include "data/listing.h"

namespace mcn {
namespace {

namespace fs = std::filesystem;

// The folder of a subset, such as train/ or val/; empty if there is none.
fs::path subset_folder(const fs::path& root, Subset subset) {
  for (const std::string& word : words_of(subset))
    if (is_folder(root / word)) return root / word;
  return {};
}

struct Video {
  fs::path path;
  std::string folder;  // of the first level; empty for a video that lies in none
};

std::vector<Video> videos_below(const fs::path& folder) {
  std::vector<Video> videos;
  for (const fs::path& path : files_below(folder)) {
    const fs::path relative = path.lexically_relative(folder);
    const bool inside = std::distance(relative.begin(), relative.end()) > 1;
    videos.push_back({path, inside ? relative.begin()->string() : ""});
  }
  return videos;
}

// In byte order; none unless every video lies in a folder and there are several of these.
std::vector<std::string> classes_of(const std::vector<const std::vector<Video>*>& subsets) {
  std::set<std::string> names;
  for (const auto* videos : subsets)
    for (const Video& video : *videos) names.insert(video.folder);
  if (names.contains("") || names.size() < 2) return {};
  return {names.begin(), names.end()};
}

}  // namespace

bool shows_folders(const DatasetConfig& config) {
  return files_of(config, Subset::train).empty() && files_of(config, Subset::test).empty() &&
         config.splits_dir.empty() && !files_below(config.root).empty();
}

Listing read_folders(const DatasetConfig& config, Subset subset) {
  refuse_split(config);
  refuse_splits_dir(config);
  refuse_files(config);
  require_folder(config.root);
  const fs::path root = without_slash(config.root);
  const fs::path own = subset_folder(root, subset);
  const fs::path other = subset_folder(root, subset == Subset::train ? Subset::test : Subset::train);
  // With train/ alone, there is nothing to test with.
  const bool divided = !own.empty() || !other.empty();
  if (divided && own.empty())
    fail<DataError>("dataset", "no {} videos: expected a folder {} in {}, which has {}", name_of(subset),
                    words_of(subset).front(), config.root, other.filename().string());
  const std::vector<Video> videos = videos_below(divided ? own : root);
  const std::vector<Video> others = divided && !other.empty() ? videos_below(other) : std::vector<Video>();
  if (videos.empty())
    fail<DataError>("dataset", "{}: no file with the ending of a video", (divided ? own : root).string());

  Listing listing;
  std::vector<std::string>& classes = listing.dataset.classes;
  classes = classes_of({&videos, &others});
  std::vector<std::int64_t> seen(classes.size() + 1);
  for (const Video& video : videos) {
    const auto label = classes.empty() ? -1 : std::ranges::lower_bound(classes, video.folder) - classes.begin();
    constexpr std::int64_t every = 5;
    const std::int64_t number = seen[static_cast<std::size_t>(label + 1)]++;
    const bool for_test = !classes.empty() && number % every == every - 1;
    if (divided || for_test == (subset == Subset::test)) listing.dataset.videos.push_back({video.path.string(), label});
  }
  if (listing.dataset.videos.empty())
    fail<DataError>("dataset", "{}: {}", config.root,
                    classes.empty() ? "videos without classes are for training alone: expected folders of classes, or "
                                      "a folder test beside one called train"
                                    : "every fifth video of a class is for testing, and no class has five");
  if (!divided && !classes.empty())
    listing.dataset.note =
        fmt::format("{} has class folders and no lists: every fifth video of a class is for testing", config.root);
  return listing;
}

}  // namespace mcn
