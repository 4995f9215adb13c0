// Checksums of names and labels.
#include "data/datasets/identity.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "engine/io/checksum.h"

namespace mcn {
namespace {

// Length before text: no two lists of texts give the same bytes.
void add(std::string& bytes, std::string_view text) { bytes += fmt::format("{}:{}", text.size(), text); }

// Bytes of the folder, with its slash, that the names have in common.
std::size_t common_folder(const std::vector<VideoEntry>& videos) {
  if (videos.empty()) return 0;
  std::string_view common = videos.front().source.name;
  for (const VideoEntry& video : videos) {
    const auto [here, there] = std::ranges::mismatch(common, video.source.name);
    common = common.substr(0, static_cast<std::size_t>(here - common.begin()));
  }
  const std::size_t slash = common.rfind('/');
  return slash == std::string_view::npos ? 0 : slash + 1;
}

}  // namespace

std::string identity_of_videos(const Dataset& dataset) {
  const std::size_t skipped = common_folder(dataset.videos);
  std::string names;
  for (const VideoEntry& video : dataset.videos) add(names, std::string_view(video.source.name).substr(skipped));
  return fmt::format("{} videos, {}", dataset.videos.size(), checksum(names));
}

std::string identity_of_labels(const Dataset& dataset) {
  std::string labels;
  for (const std::string& name : dataset.classes) add(labels, name);
  for (const VideoEntry& video : dataset.videos) labels += fmt::format(" {}", video.label);
  return checksum(labels);
}

}  // namespace mcn
