// Indices of video files kept on disk, so that a file is looked through once and not at every start. Internal to data/.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "data/frame_index.h"

namespace mcn {

/// An index as an entry holds it, without the video's path.
std::string bytes_of_index(const VideoIndex& index);
/// nullptr for what cannot be one: a length or a number out of its range.
std::shared_ptr<VideoIndex> index_of_bytes(std::string_view bytes);

/// The entry of one video in a cache folder, a file named by a hash of the video's absolute path. It counts only for
/// the very path, size and modification time that the video has when this is constructed, and for this version of
/// FFmpeg and of the format; a damaged one does not count, and is written anew. Written whole or not at all, so that
/// processes may share a folder. A cache that cannot be read or written costs time, and throws nothing but
/// std::bad_alloc.
class IndexCacheEntry {
 public:
  IndexCacheEntry(const std::string& folder, const VideoSource& video);
  /// nullptr if there is none that counts.
  [[nodiscard]] std::shared_ptr<const VideoIndex> load() const;
  /// Keeps an index, unless the video has changed since this was constructed.
  void store(const VideoIndex& index) const;
  /// The entry's file.
  [[nodiscard]] const std::string& path() const { return file_; }

 private:
  std::string folder_, file_;
  VideoSource source_;
  std::string header_;  // what the entry must be for; empty: the video cannot be looked at
};

}  // namespace mcn
