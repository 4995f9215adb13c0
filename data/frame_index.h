// The index of a video file: which frames it has, in the order of presentation, and from where each can be reached.
// Internal to data/.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/decoder.h"
#include "data/rgb.h"
#include "data/video.h"

namespace mcn {

struct VideoIndex {
  /// A packet from which frame and all after it can be decoded.
  struct Key {
    std::int64_t frame = 0;   ///< its number in order of presentation
    std::int64_t packet = 0;  ///< and in order of the file
    PacketPlace place;
  };

  VideoInfo info;
  Orientation orientation;
  std::vector<std::uint64_t> fingerprints;  ///< a frame each; empty: made without decoding
  std::vector<std::int64_t> packets;        ///< a frame each: the number of its packet; empty: no way to tell
  std::vector<Key> keys;                    ///< by frame; empty if the file can be read from its start only
  /// A decode that met damage, or an end that is not the file's. Not kept between processes.
  bool doubtful = false;
  bool may_skip = false;  ///< every packet gives one frame, and those of no reference may be skipped
  /// Cleared by the first Video whose seek went astray, so that others need not try. Never changes what is read.
  mutable std::atomic<bool> seekable{true};

  VideoIndex() = default;
  VideoIndex(const VideoIndex& other);
  VideoIndex& operator=(const VideoIndex&) = delete;

  [[nodiscard]] bool proven() const { return !fingerprints.empty(); }
};

using FrameCache = std::vector<ffmpeg::Frame>;

/// From the packets alone, with the first frames decoded; nullptr where the container does not say enough to be sure.
std::shared_ptr<const VideoIndex> index_by_packets(const VideoSource& source, const VideoOptions& options);
/// From a decode of the whole file, which may give no frame. cache receives all its frames if they fit into
/// cache_bytes, else nothing.
std::shared_ptr<const VideoIndex> index_by_decoding(const VideoSource& source, const VideoOptions& options,
                                                    FrameCache& cache);

}  // namespace mcn
